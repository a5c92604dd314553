// A chat template: an error, or text within the limits.
#include <boost/json/parse.hpp>

#include "base/check.h"
#include "text/jinja/interpreter.h"

namespace jinja = ernie::text::jinja;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto parsed = jinja::Template::parse({reinterpret_cast<const char*>(data), size});
  if (!parsed) return 0;
  static const jinja::Value variables = jinja::from_json(
      boost::json::parse(R"({"messages": [{"role": "system", "content": "be brief"},
          {"role": "user", "content": [{"type": "text", "text": "\u4f60"}, {"type": "image"}]}],
          "items": [3, 1.5, -4, null, true], "user": {"name": "Ada", "age": 36},
          "tools": [], "bos_token": "<s>", "add_generation_prompt": true})"),
      true);
  constexpr jinja::Limits kLimits{.steps = 20'000, .characters = 200'000};
  if (const auto text = parsed->render(*variables.dict(), kLimits)) {
    CHECK(text->size() <= static_cast<size_t>(kLimits.characters) + size, "over the limit");
  }
  return 0;
}
