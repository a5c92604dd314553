#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "http/error.h"
#include "http/message.h"

namespace ernie::http {

// The request line and the headers of one HTTP/1.x request, by the strict reading of RFC 9112:
// whatever two parsers could read differently is refused.
struct RequestHead {
  std::string method;
  std::string path;   // origin form only, as sent; escapes of reserved characters only ("%2F"), no
                      // empty, "." or ".." segments
  std::string query;  // without '?'
  int minor_version = 1;
  Headers headers;   // names in lower case, values without surrounding blanks
  std::string host;  // name or address of the Host header, lower case, without port or brackets
  uint64_t content_length = 0;
  bool chunked = false;
  bool keep_alive = true;
  bool expects_continue = false;

  std::string_view header(std::string_view name) const;
  bool has_body() const { return chunked || content_length > 0; }
};

// Finds the end of a request head in bytes as they come, holding back no verdict: a byte that can
// not stand where it does, a line or a head over its limit is refused at once, so that a TLS hello
// or an endless line gets its answer without a blank line to end it.
class HeadScanner {
 public:
  HeadScanner(size_t max_request_line, size_t max_head, size_t max_headers)
      : max_request_line_(max_request_line), max_head_(max_head), max_headers_(max_headers) {}

  // Looks at `bytes`, all that was received of this head so far, of which earlier calls have seen a
  // part. Returns the length of the head with its blank line once that is there.
  std::optional<size_t> scan(std::string_view bytes);
  // Why the head is refused, once it is.
  const std::optional<Rejection>& rejection() const { return rejection_; }

 private:
  bool step(unsigned char c);  // false: the blank line is complete, or rejection_ is set
  bool reject(int status, ErrorKind kind, const char* message, const char* code);

  size_t max_request_line_;
  size_t max_head_;
  size_t max_headers_;
  size_t seen_ = 0;
  size_t line_start_ = 0;
  size_t lines_ = 0;
  bool after_cr_ = false;
  std::optional<Rejection> rejection_;
};

// Parses a head that HeadScanner let pass.
struct ParsedHead {
  RequestHead head;
  std::optional<Rejection> rejection;  // set: nothing else counts
};
ParsedHead parse_request_head(std::string_view bytes);

}  // namespace ernie::http
