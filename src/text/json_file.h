#pragma once

#include <boost/json/object.hpp>
#include <filesystem>
#include <string>

#include "base/result.h"

namespace ernie::text {

// Reads a whole file. The error names it.
Result<std::string> read_file(const std::filesystem::path& path);

// Reads a file that holds one JSON object. The error names the file and the place.
Result<boost::json::object> read_json_object(const std::filesystem::path& path);

}  // namespace ernie::text
