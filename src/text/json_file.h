#pragma once

#include <boost/json/object.hpp>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/result.h"

namespace ernie::text {

// Whether there is anything of that name, also a link that leads nowhere.
bool has_entry(const std::filesystem::path& path);

// Reads a whole file of at most 256 MiB. The error names it: it must be a regular file, so nothing
// is waited for.
Result<std::string> read_file(const std::filesystem::path& path);

// The text without the byte order mark that some editors put before it.
std::string_view without_byte_order_mark(std::string_view text);

// Reads a file that holds one JSON object. The error names the file and the place.
Result<boost::json::object> read_json_object(const std::filesystem::path& path);

}  // namespace ernie::text
