// A request head, in pieces as it may come: where it ends and whether it is refused do not depend
// on the pieces, and one that passes has nothing that another server could read differently.
#include <algorithm>
#include <optional>

#include "base/check.h"
#include "fuzz/input.h"
#include "http/request_head.h"

namespace {

using ernie::http::HeadScanner;

HeadScanner scanner() { return {200, 2'000, 20}; }

void check(const ernie::http::RequestHead& head) {
  CHECK(!head.chunked || head.content_length == 0, "two lengths");
  CHECK(head.path.starts_with('/'), head.path);
  for (const char* odd :
       {"//", "/./", "/../", "%0", "%25", "%2e", "%2E", "%5", "%6", "%7", "?", "#", "\\"})
    CHECK(head.path.find(odd) == std::string::npos, head.path);
  CHECK(!head.path.ends_with("/..") && !head.path.ends_with("/."), head.path);
  CHECK(head.minor_version == 0 || !head.host.empty(), "no host");
  for (const auto& [name, value] : head.headers) {
    CHECK(!name.empty() && std::ranges::none_of(name, [](char c) { return c >= 'A' && c <= 'Z'; }),
          name);
    CHECK(value.find_first_of(std::string_view("\r\n\0", 3)) == std::string::npos, value);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ernie::fuzz::Input input(data, size);
  const size_t piece = 1 + input.byte();
  const std::string_view bytes = input.rest();

  HeadScanner at_once = scanner();
  const std::optional<size_t> length = at_once.scan(bytes);
  HeadScanner in_pieces = scanner();
  std::optional<size_t> found;
  for (size_t come = 0; come < bytes.size() && !found && !in_pieces.rejection();) {
    come = std::min(come + piece, bytes.size());
    found = in_pieces.scan(bytes.substr(0, come));
  }
  CHECK(length == found, "another end in pieces");
  CHECK(at_once.rejection().has_value() == in_pieces.rejection().has_value(), "another verdict");
  if (!length) return 0;
  const auto parsed = ernie::http::parse_request_head(bytes.substr(0, *length));
  if (!parsed.rejection) check(parsed.head);
  return 0;
}
