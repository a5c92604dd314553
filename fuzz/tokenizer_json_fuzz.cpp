// added_tokens.json, tokenizer_config.json and special_tokens_map.json, one after another with zero
// bytes between, beside a good tokenizer.model.
#include "base/check.h"
#include "fuzz/input.h"
#include "model/testing/checkpoint_writer.h"
#include "text/json_file.h"
#include "text/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const ernie::model::testing::TempFolder folder;
  static const std::string model =
      ernie::take(ernie::text::read_file("tests/golden/model/tiny-a/tokenizer.model"));
  folder.write("tokenizer.model", model);
  ernie::fuzz::Input input(data, size);
  for (const char* name : {"added_tokens.json", "tokenizer_config.json"}) {
    folder.write(name, std::string(input.part()));
  }
  folder.write("special_tokens_map.json", std::string(input.rest()));
  const auto tokenizer = ernie::text::Tokenizer::load(folder.path());
  if (!tokenizer) return 0;
  CHECK(tokenizer->vocab_size() < 10'000'000, "an id beyond reason");
  for (const int32_t id : tokenizer->encode("Hello <s><|IMAGE_START|></think>")) {
    CHECK(id >= 0 && id < tokenizer->vocab_size(), std::to_string(id));
  }
  return 0;
}
