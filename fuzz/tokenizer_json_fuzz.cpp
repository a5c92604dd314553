// added_tokens.json, tokenizer_config.json and special_tokens_map.json, one after another with zero
// bytes between, beside a good tokenizer.model.
#include "base/check.h"
#include "fuzz/folder.h"
#include "fuzz/input.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const ernie::fuzz::Folder folder;
  static const bool copied = (folder.copy("tests/golden/model/tiny-a/tokenizer.model"), true);
  CHECK(copied, "");
  ernie::fuzz::Input input(data, size);
  for (const char* name : {"added_tokens.json", "tokenizer_config.json"}) {
    folder.write(name, input.part());
  }
  folder.write("special_tokens_map.json", input.rest());
  const auto tokenizer = ernie::text::Tokenizer::load(folder.path());
  if (!tokenizer) return 0;
  CHECK(tokenizer->vocab_size() < 10'000'000, "an id beyond reason");
  for (const int32_t id : tokenizer->encode("Hello <s><|IMAGE_START|></think>")) {
    CHECK(id >= 0 && id < tokenizer->vocab_size(), std::to_string(id));
  }
  return 0;
}
