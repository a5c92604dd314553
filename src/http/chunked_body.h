#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "http/error.h"

namespace ernie::http {

// Decodes a chunked request body as its bytes come (RFC 9112, section 7.1). Strict: CRLF only, at
// most 16 hex digits, short extensions, no trailers but an empty one, and framing may cost at most
// as much as max_overhead plus the content itself, so that a body of one-byte chunks ends early.
class ChunkedBody {
 public:
  explicit ChunkedBody(size_t max_bytes) : max_bytes_(max_bytes) {}

  // Takes bytes from the front of `input` and appends content to `body`. Returns how many were
  // taken: all of them, unless the body ended or was refused.
  size_t push(std::string_view input, std::string& body);

  bool done() const { return state_ == State::kDone && !rejection_; }
  const std::optional<Rejection>& rejection() const { return rejection_; }

 private:
  enum class State { kSize, kExtension, kSizeLf, kData, kDataCr, kDataLf, kEndCr, kEndLf, kDone };

  bool step(char c);
  void reject(Rejection rejection) { rejection_.emplace(std::move(rejection)); }

  size_t max_bytes_;
  State state_ = State::kSize;
  uint64_t left_ = 0;  // of the current chunk
  int digits_ = 0;
  size_t content_ = 0;
  size_t overhead_ = 0;
  std::optional<Rejection> rejection_;
};

// What to answer when a body is larger than `limit` bytes.
Rejection body_too_large(size_t limit);

}  // namespace ernie::http
