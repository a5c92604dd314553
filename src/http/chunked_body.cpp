#include "http/chunked_body.h"

#include <algorithm>

namespace ernie::http {
namespace {

constexpr size_t kMaxOverhead = 64 << 10;  // bytes of framing a body of any size may have

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

Rejection bad_chunk(const char* message) {
  return Rejection(invalid_argument(message, {}, "invalid_chunk"));
}

}  // namespace

Rejection body_too_large(size_t limit) {
  return Rejection(
      Error{ErrorKind::kTooLarge,
            "the request body is larger than the limit of " + std::to_string(limit) + " bytes",
            {},
            "content_too_large"});
}

bool ChunkedBody::step(char c) {
  switch (state_) {
    case State::kSize:
      if (const int digit = hex_value(c); digit >= 0) {
        if (++digits_ > 16) return false;
        left_ = left_ << 4 | static_cast<uint64_t>(digit);
        return true;
      }
      if (digits_ == 0) return false;
      if (c == ';') {
        state_ = State::kExtension;
        return true;
      }
      state_ = State::kSizeLf;
      return c == '\r';
    case State::kExtension:
      if (c == '\r') {
        state_ = State::kSizeLf;
        return true;
      }
      return c == '\t' || (c >= 0x20 && c < 0x7f);
    case State::kSizeLf:
      state_ = left_ > 0 ? State::kData : State::kEndCr;
      return c == '\n';
    case State::kDataCr:
      state_ = State::kDataLf;
      return c == '\r';
    case State::kDataLf:
      state_ = State::kSize;
      digits_ = 0;
      return c == '\n';
    case State::kEndCr:
      state_ = State::kEndLf;
      return c == '\r';
    case State::kEndLf:
      state_ = State::kDone;
      return c == '\n';
    case State::kData:
    case State::kDone:
      break;
  }
  return false;
}

size_t ChunkedBody::push(std::string_view input, std::string& body) {
  size_t taken = 0;
  while (taken < input.size() && !done() && !rejection_) {
    if (state_ == State::kData) {
      if (left_ > max_bytes_ - content_) {
        reject(body_too_large(max_bytes_));
        break;
      }
      const size_t n = std::min<uint64_t>(left_, input.size() - taken);
      body.append(input.substr(taken, n));
      taken += n;
      content_ += n;
      left_ -= n;
      if (left_ == 0) state_ = State::kDataCr;
      continue;
    }
    if (++overhead_ > kMaxOverhead + content_) {
      reject(bad_chunk("the chunks of the request body are too small or too long-winded"));
    } else if (!step(input[taken])) {
      reject(bad_chunk("the chunked request body is malformed"));
    } else {
      ++taken;
    }
  }
  return taken;
}

}  // namespace ernie::http
