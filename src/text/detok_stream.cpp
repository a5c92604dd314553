#include "text/detok_stream.h"

#include "text/utf8.h"

namespace ernie::text {

std::string DetokenStream::push(int32_t id) {
  if (skip_special_ && tokenizer_->is_special(id)) return {};
  held_ += tokenizer_->token_bytes(id);
  std::string text;
  held_.erase(0, append_valid_utf8(held_, /*more_follows=*/true, text));
  return text;
}

std::string DetokenStream::flush() {
  std::string text;
  append_valid_utf8(held_, /*more_follows=*/false, text);
  held_.clear();
  return text;
}

}  // namespace ernie::text
