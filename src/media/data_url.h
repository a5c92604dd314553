#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace ernie::media {

// Decodes base64 in the standard alphabet (RFC 4648 section 4). Spaces, tabs and line ends are
// skipped anywhere; padding may be missing, but where present it must be right and last. The
// URL-safe alphabet ('-', '_') is refused. Errors: code "invalid_base64", or ErrorKind::kTooLarge
// with "media_too_large" when the result would be over max_bytes.
Result<std::vector<uint8_t>> decode_base64(std::string_view text, size_t max_bytes);

// Decodes "data:[<media type>];base64,<data>", where the data may be percent-encoded, which takes a
// copy of them. The media type is ignored; errors as decode_base64.
Result<std::vector<uint8_t>> decode_data_url(std::string_view url, size_t max_bytes);

}  // namespace ernie::media
