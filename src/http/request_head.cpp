#include "http/request_head.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "http/host.h"

namespace ernie::http {
namespace {

constexpr std::string_view kTokenMarks = "!#$%&'*+-.^_`|~";
constexpr std::string_view kReservedMarks = "!$&'()*+,;=:@/";
constexpr std::string_view kPathMarks = "-._~!$&'()*+,;=:@/";

bool is_alnum(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
bool is_token_char(char c) { return is_alnum(c) || kTokenMarks.find(c) != kTokenMarks.npos; }
bool is_token(std::string_view s) {
  return !s.empty() && std::all_of(s.begin(), s.end(), is_token_char);
}

std::string lower(std::string_view s) {
  std::string out(s);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

std::string_view trim(std::string_view s) {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\t')) s.remove_suffix(1);
  return s;
}

Rejection bad(std::string message, std::string code = "invalid_http_request") {
  return Rejection(invalid_argument(std::move(message), {}, std::move(code)));
}

using Verdict = std::optional<Rejection>;

// Whether an escape of a character that has a meaning of its own begins at `at`. Those of others
// would give one path several spellings.
bool escapes_reserved(std::string_view path, size_t at) {
  unsigned char c = 0;
  const std::string_view digits = path.substr(at + 1, 2);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), c, 16);
  return error == std::errc() && end == digits.data() + 2 &&
         kReservedMarks.find(static_cast<char>(c)) != kReservedMarks.npos;
}

Verdict check_path(std::string_view path) {
  const auto wrong = [](const char* what) {
    return bad(std::string("the request path must ") + what, "invalid_path");
  };
  if (path.empty() || path[0] != '/') return wrong("start with '/'");
  for (size_t i = 0; i < path.size(); ++i) {
    if (path[i] == '%' && escapes_reserved(path, i)) continue;
    if (!is_alnum(path[i]) && kPathMarks.find(path[i]) == kPathMarks.npos)
      return wrong("hold only path characters, of which no unreserved one is escaped");
  }
  for (size_t start = 1; start < path.size();) {
    const size_t end = std::min(path.find('/', start), path.size());
    const std::string_view segment = path.substr(start, end - start);
    if (segment.empty() || segment == "." || segment == "..")
      return wrong("have no empty and no dot segments");
    start = end + 1;
  }
  return {};
}

Verdict check_query(std::string_view query) {
  for (size_t i = 0; i < query.size(); ++i) {
    const char c = query[i];
    if (c == '%' && i + 2 < query.size() && is_hex(query[i + 1]) && is_hex(query[i + 2])) {
      i += 2;
    } else if (c != '?' && !is_alnum(c) && kPathMarks.find(c) == kPathMarks.npos) {
      return bad("the query of the request URI holds a character that must be escaped",
                 "invalid_path");
    }
  }
  return {};
}

Verdict parse_request_line(std::string_view line, RequestHead& head) {
  const size_t first = line.find(' ');
  const size_t last = line.rfind(' ');
  if (first == line.npos || first == last || line.find(' ', first + 1) != last)
    return bad("the request line must be: method, one space, path, one space, HTTP/1.1");
  head.method = line.substr(0, first);
  if (!is_token(head.method)) return bad("the request method is not a token");

  const std::string_view version = line.substr(last + 1);
  if (version.size() != 8 || version.substr(0, 5) != "HTTP/" || !is_digit(version[5]) ||
      version[6] != '.' || !is_digit(version[7]))
    return bad("the request line must end in HTTP/1.1 or HTTP/1.0");
  if (version[5] != '1')
    return Rejection(505, invalid_argument("this server speaks HTTP/1.1 and HTTP/1.0 only", {},
                                           "http_version_not_supported"));
  head.minor_version = version[7] == '0' ? 0 : 1;

  const std::string_view target = line.substr(first + 1, last - first - 1);
  const size_t mark = target.find('?');
  head.path = target.substr(0, mark);
  if (mark != target.npos) head.query = target.substr(mark + 1);
  if (auto wrong = check_path(head.path)) return wrong;
  return check_query(head.query);
}

Verdict parse_header(std::string_view line, RequestHead& head) {
  if (line[0] == ' ' || line[0] == '\t')
    return bad("header lines must not be folded (a line starts with a blank)");
  const size_t colon = line.find(':');
  if (colon == line.npos) return bad("a header line has no colon");
  const std::string_view name = line.substr(0, colon);
  if (!is_token(name)) return bad("a header name is empty or holds a character not allowed there");
  std::string_view value = line.substr(colon + 1);
  std::string key = lower(name);
  if (key == "content-length") {
    // One blank after the colon is what every client sends; more of them is how smugglers hide
    // digits from one of two parsers.
    if (!value.empty() && value[0] == ' ') value.remove_prefix(1);
  } else {
    value = trim(value);
  }
  head.headers.emplace_back(std::move(key), value);
  return {};
}

size_t count(const RequestHead& head, std::string_view name) {
  return std::count_if(head.headers.begin(), head.headers.end(),
                       [&](const auto& header) { return header.first == name; });
}

Verdict read_framing(RequestHead& head) {
  const size_t lengths = count(head, "content-length");
  const size_t encodings = count(head, "transfer-encoding");
  if (lengths > 0 && encodings > 0)
    return bad("Content-Length and Transfer-Encoding must not come together");
  if (lengths > 1) return bad("Content-Length must not be repeated", "invalid_content_length");
  if (lengths == 1) {
    const std::string_view value = head.header("content-length");
    const auto [end, error] =
        std::from_chars(value.data(), value.data() + value.size(), head.content_length);
    if (value.empty() || !std::all_of(value.begin(), value.end(), is_digit) || value.size() > 19 ||
        error != std::errc() || end != value.data() + value.size())
      return bad("Content-Length must be a decimal number of at most 19 digits",
                 "invalid_content_length");
  }
  if (encodings > 0) {
    if (head.minor_version == 0) return bad("Transfer-Encoding is not part of HTTP/1.0");
    if (encodings > 1 || lower(head.header("transfer-encoding")) != "chunked")
      return bad("Transfer-Encoding must be exactly: chunked", "invalid_transfer_encoding");
    head.chunked = true;
  }
  return {};
}

Verdict read_host(RequestHead& head) {
  if (count(head, "host") != 1)
    return bad("a request must have exactly one Host header", "invalid_host");
  auto host = parse_host(head.header("host"));
  if (!host)
    return bad("the Host header must be a name or address and an optional port", "invalid_host");
  head.host = std::move(*host);
  return {};
}

Verdict read_connection(RequestHead& head) {
  head.keep_alive = head.minor_version == 1;
  for (const auto& [name, value] : head.headers) {
    if (name != "connection") continue;
    const std::string options = "," + lower(value) + ",";
    std::string compact;
    std::copy_if(options.begin(), options.end(), std::back_inserter(compact),
                 [](char c) { return c != ' ' && c != '\t'; });
    if (compact.find(",close,") != compact.npos) head.keep_alive = false;
  }
  const std::string_view expect = head.header("expect");
  if (!expect.empty()) {
    if (lower(expect) != "100-continue")
      return Rejection(417, invalid_argument("the only expectation met is 100-continue", {},
                                             "expectation_failed"));
    head.expects_continue = head.minor_version == 1;
  }
  return {};
}

}  // namespace

std::string_view RequestHead::header(std::string_view name) const {
  for (const auto& [key, value] : headers)
    if (key == name) return value;
  return {};
}

bool HeadScanner::reject(int status, ErrorKind kind, const char* message, const char* code) {
  rejection_.emplace(status, Error{kind, message, {}, code});
  return false;
}

bool HeadScanner::step(unsigned char c) {
  const size_t line_bytes = seen_ - line_start_;  // before this byte
  if (after_cr_) {
    if (c != '\n')
      return reject(400, ErrorKind::kInvalidArgument, "a carriage return stands alone",
                    "invalid_http_request");
    after_cr_ = false;
    if (line_bytes == 1) {
      if (lines_ > 0) return false;
      return reject(400, ErrorKind::kInvalidArgument, "the request line is empty",
                    "invalid_http_request");
    }
    ++lines_;
    line_start_ = seen_ + 1;
    return true;
  }
  if (c == '\r') {
    after_cr_ = true;
    return true;
  }
  if (lines_ == 0) {
    if (line_bytes >= max_request_line_)
      return reject(414, ErrorKind::kInvalidArgument, "the request line is longer than allowed",
                    "uri_too_long");
    // Printable ASCII only; a method starts with a letter.
    if (c < 0x20 || c > 0x7e || (line_bytes == 0 && !is_alnum(static_cast<char>(c))))
      return reject(400, ErrorKind::kInvalidArgument,
                    "this port speaks plain HTTP/1.1; the request line holds a byte not allowed "
                    "there",
                    "invalid_http_request");
    return true;
  }
  if (line_bytes == 0 && lines_ > max_headers_)
    return reject(431, ErrorKind::kHeaderTooLarge, "the request has more headers than allowed",
                  "headers_too_large");
  if ((c < 0x20 && c != '\t') || c == 0x7f)
    return reject(400, ErrorKind::kInvalidArgument,
                  "a header holds a control character, or a line feed without carriage return",
                  "invalid_http_request");
  return true;
}

std::optional<size_t> HeadScanner::scan(std::string_view bytes) {
  for (; seen_ < bytes.size() && !rejection_; ++seen_) {
    if (lines_ > 0 && seen_ >= max_head_) {
      reject(431, ErrorKind::kHeaderTooLarge, "the request headers are larger than allowed",
             "headers_too_large");
      break;
    }
    if (!step(static_cast<unsigned char>(bytes[seen_])))
      return rejection_ ? std::nullopt : std::optional(seen_ + 1);
  }
  return std::nullopt;
}

ParsedHead parse_request_head(std::string_view bytes) {
  ParsedHead out;
  bool first = true;
  while (!out.rejection) {
    const size_t end = bytes.find("\r\n");
    const std::string_view line = bytes.substr(0, end);
    if (end == bytes.npos || line.empty()) break;
    out.rejection = first ? parse_request_line(line, out.head) : parse_header(line, out.head);
    first = false;
    bytes.remove_prefix(end + 2);
  }
  if (!out.rejection) out.rejection = read_framing(out.head);
  if (!out.rejection) out.rejection = read_host(out.head);
  if (!out.rejection) out.rejection = read_connection(out.head);
  return out;
}

}  // namespace ernie::http
