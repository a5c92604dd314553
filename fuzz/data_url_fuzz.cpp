// A data URL: what is decoded is at most what was allowed, and as much as the text has digits for.
#include <algorithm>

#include "base/check.h"
#include "fuzz/input.h"
#include "media/data_url.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ernie::fuzz::Input input(data, size);
  const size_t limit = 16 * size_t{input.byte()};
  const std::string_view url = input.rest();
  if (const auto bytes = ernie::media::decode_data_url(url, limit)) {
    CHECK(bytes->size() <= limit, "over the limit");
  }
  if (const auto bytes = ernie::media::decode_base64(url, limit)) {
    const auto digits = std::ranges::count_if(
        url, [](char c) { return std::string_view(" \t\r\n=").find(c) == std::string_view::npos; });
    CHECK(bytes->size() <= limit, "over the limit");
    CHECK(bytes->size() == static_cast<size_t>(digits) * 3 / 4, "another number of bytes");
  }
  return 0;
}
