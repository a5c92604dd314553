// tokenizer.json without a tokenizer.model: refused, or it encodes any text to ids that it has.
#include "base/check.h"
#include "model/testing/checkpoint_writer.h"
#include "text/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const ernie::model::testing::TempFolder folder;
  folder.write("tokenizer.json", {reinterpret_cast<const char*>(data), size});
  const auto tokenizer = ernie::text::Tokenizer::load(folder.path());
  if (!tokenizer) return 0;
  const auto ids =
      tokenizer->encode("ab abb, \u4f60\u597d <s>\xff 12\n", {.parse_special = size % 2 == 0});
  for (const int32_t id : ids) {
    CHECK(id >= 0 && id < tokenizer->vocab_size(), std::to_string(id));
  }
  (void)tokenizer->decode(ids, size % 3 == 0);
  return 0;
}
