#pragma once

#include <cstdint>
#include <string>

#include "text/tokenizer.h"

namespace ernie::text {

// Turns token ids into text, one at a time. Every delta is valid UTF-8: bytes of an unfinished
// character are held back, and bytes that can no longer become one are U+FFFD at once. All deltas
// plus flush() together equal Tokenizer::decode() of all ids.
class DetokenStream {
 public:
  // `tokenizer` must outlive the stream.
  explicit DetokenStream(const Tokenizer& tokenizer, bool skip_special = true)
      : tokenizer_(&tokenizer), skip_special_(skip_special) {}

  std::string push(int32_t id);
  // The end of the text: what was held back, as U+FFFD.
  std::string flush();

 private:
  const Tokenizer* tokenizer_;
  bool skip_special_;
  std::string held_;  // the bytes of an unfinished character, at most 3
};

}  // namespace ernie::text
