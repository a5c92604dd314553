#include <cmath>

#include "base/check.h"
#include "model/testing/checkpoint_writer.h"
#include "serve/sampling.h"
#include "text/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const ernie::model::testing::TempFolder folder;
  static const auto tokenizer =
      ernie::take(ernie::text::Tokenizer::load("tests/golden/model/tiny-a"));
  folder.write("generation_config.json", {reinterpret_cast<const char*>(data), size});
  const auto defaults = ernie::serve::load_generation_defaults(folder.path(), tokenizer);
  if (!defaults) return 0;
  CHECK(std::isfinite(defaults->temperature) && defaults->top_p >= 0 && defaults->top_p <= 1,
        "a number out of range");
  for (const int32_t id : defaults->eos_token_ids) {
    CHECK(id >= 0 && id < tokenizer.vocab_size(), std::to_string(id));
  }
  return 0;
}
