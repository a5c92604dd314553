#include "text/json_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <cerrno>
#include <cstring>
#include <utility>

namespace ernie::text {

namespace {

constexpr size_t kMostBytes = size_t{256} << 20;

Error unreadable(const std::filesystem::path& path, const std::string& found) {
  return internal_error(path.string() + ": expected a readable file, found " + found +
                        "; check the path and its permissions, and that the download is complete");
}

}  // namespace

bool has_entry(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::exists(std::filesystem::symlink_status(path, ignored));
}

Result<std::string> read_file(const std::filesystem::path& path) {
  // O_NONBLOCK: opening a pipe must not wait for a writer.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return unreadable(path, std::strerror(errno));
  struct stat info {};
  std::string text;
  std::string fault;
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    fault = "a folder, pipe or device";
  } else if (static_cast<size_t>(info.st_size) > kMostBytes) {
    fault = std::to_string(info.st_size) + " bytes where at most " + std::to_string(kMostBytes) +
            " make sense";
  } else {
    text.resize(static_cast<size_t>(info.st_size));
    size_t size = 0;
    while (size < text.size()) {
      const ssize_t n = read(fd, text.data() + size, text.size() - size);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) fault = std::strerror(errno);
      if (n <= 0) break;
      size += static_cast<size_t>(n);
    }
    text.resize(size);
  }
  close(fd);
  if (!fault.empty()) return unreadable(path, fault);
  return text;
}

std::string_view without_byte_order_mark(std::string_view text) {
  constexpr std::string_view kMark = "\xEF\xBB\xBF";
  if (text.starts_with(kMark)) text.remove_prefix(kMark.size());
  return text;
}

Result<boost::json::object> read_json_object(const std::filesystem::path& path) {
  Result<std::string> text = read_file(path);
  if (!text) return text.error();
  boost::system::error_code code;
  boost::json::value value = boost::json::parse(without_byte_order_mark(*text), code);
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
