#include "text/json_file.h"

#include <boost/json.hpp>
#include <fstream>
#include <sstream>

namespace ernie::text {

Result<std::string> read_file(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  std::ostringstream bytes;
  if (!stream || !(bytes << stream.rdbuf())) {
    return internal_error(path.string() +
                          ": expected a readable file; check the path and its "
                          "permissions, and that the download is complete");
  }
  return std::move(bytes).str();
}

Result<boost::json::object> read_json_object(const std::filesystem::path& path) {
  Result<std::string> text = read_file(path);
  if (!text) return text.error();
  boost::system::error_code code;
  boost::json::value value = boost::json::parse(*text, code);
  if (code) {
    return internal_error(path.string() + ": expected JSON, found an error: " + code.message() +
                          "; download the file again");
  }
  if (!value.is_object()) {
    return internal_error(path.string() + ": expected a JSON object at the top level");
  }
  return std::move(value.get_object());
}

}  // namespace ernie::text
