#include "media/local_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/percent.h"
#include "media/file_descriptor.h"
#include "media/http_url.h"

namespace ernie::media {
namespace {

// O_NONBLOCK: opening a FIFO must not wait for a writer.
constexpr int kFileFlags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;

Error unreadable(const char* detail) {
  return invalid_argument(fmt::format("the local media file could not be read: {}", detail), {},
                          "media_fetch_failed");
}

// The path that a file URL names.
Result<std::string> url_path(std::string_view url) {
  constexpr std::string_view kScheme = "file://";
  if (url.size() < kScheme.size() || url.substr(4, 3) != "://") {
    return media_url_blocked("a file URL begins with \"file://\"");
  }
  std::string_view rest = url.substr(kScheme.size());
  rest = rest.substr(0, rest.find_first_of("?#"));
  if (rest.starts_with("localhost/")) rest.remove_prefix(std::strlen("localhost"));
  if (!rest.starts_with('/')) return media_url_blocked("a file URL names no host but a full path");
  std::optional<std::string> path = percent_decoded(rest);
  if (!path || path->find('\0') != std::string::npos) {
    return media_url_blocked("a %XX escape in it is malformed");
  }
  return std::move(*path);
}

// `path` relative to `folder`, or an empty string when it is not written as being inside.
std::string relative_to(const std::string& path, std::string folder) {
  while (folder.ends_with('/')) folder.pop_back();
  if (!path.starts_with(folder + "/")) return {};
  const size_t start = path.find_first_not_of('/', folder.size());
  return start == std::string::npos ? std::string() : path.substr(start);
}

std::string real_path(const std::string& path) {
  char* resolved = realpath(path.c_str(), nullptr);
  std::string out = resolved != nullptr ? resolved : "";
  std::free(resolved);
  return out;
}

Result<std::vector<uint8_t>> read_all(int fd, size_t max_bytes, const Grow& grow) {
  struct stat info {};
  if (fstat(fd, &info) != 0) return unreadable(std::strerror(errno));
  if (!S_ISREG(info.st_mode)) return media_url_blocked("it names no regular file");
  // One byte more than the size shows a file that grows; one over the limit shows that it is over.
  const size_t wanted = std::min<size_t>(info.st_size, max_bytes) + 1;
  if (!grow(wanted)) return no_room();
  std::vector<uint8_t> bytes(wanted);
  size_t filled = 0;
  while (filled < bytes.size()) {
    const ssize_t n = read(fd, bytes.data() + filled, bytes.size() - filled);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return unreadable(std::strerror(errno));
    if (n == 0) break;
    filled += n;
  }
  if (filled > max_bytes) {
    return invalid_argument(
        fmt::format("the local media file has more than the limit of {} bytes", max_bytes), {},
        "media_too_large");
  }
  bytes.resize(std::min<size_t>(filled, info.st_size));
  return bytes;
}

}  // namespace

int open_beneath_by_walking(int folder_fd, const std::string& path) {
  FileDescriptor folder(fcntl(folder_fd, F_DUPFD_CLOEXEC, 0));
  size_t start = 0;
  while (true) {
    const size_t end = std::min(path.find('/', start), path.size());
    const std::string part = path.substr(start, end - start);
    const bool last = path.find_first_not_of('/', end) == std::string::npos;
    if (part == "..") return -EXDEV;
    if (part.empty() && last) return -EISDIR;
    if (!part.empty() && part != ".") {
      const int flags = last ? kFileFlags | O_NOFOLLOW : O_PATH | O_CLOEXEC | O_NOFOLLOW;
      FileDescriptor next(openat(folder.get(), part.c_str(), flags));
      if (next.get() < 0) return -errno;
      struct stat info {};
      if (fstat(next.get(), &info) != 0) return -errno;
      if (S_ISLNK(info.st_mode)) return -ELOOP;
      if (last) return next.release();
      folder.reset(next.release());
    } else if (last) {
      return -EISDIR;
    }
    start = end + 1;
  }
}

int open_beneath(int folder_fd, const std::string& path) {
  open_how how{};
  how.flags = kFileFlags;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  const long fd = syscall(SYS_openat2, folder_fd, path.c_str(), &how, sizeof(how));
  if (fd >= 0) return static_cast<int>(fd);
  // Sandboxes that do not know the call answer EPERM.
  if (errno == ENOSYS || errno == EPERM) return open_beneath_by_walking(folder_fd, path);
  return -errno;
}

Result<std::vector<uint8_t>> read_file(std::string_view url, const FetchPolicy& policy,
                                       const Grow& grow) {
  if (policy.allowed_local_media_path.empty()) {
    return media_url_blocked(
        "local files are off; start the server with --allowed-local-media-path FOLDER");
  }
  const Result<std::string> path = url_path(url);
  if (!path) return path.error();
  const std::string folder = real_path(policy.allowed_local_media_path);
  std::string relative = relative_to(*path, policy.allowed_local_media_path);
  if (relative.empty()) relative = relative_to(*path, folder);
  if (relative.empty()) {
    return media_url_blocked("it names no file beneath the folder of --allowed-local-media-path");
  }
  const FileDescriptor folder_fd(open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (folder_fd.get() < 0) return unreadable("the folder of --allowed-local-media-path is missing");
  const int fd = open_beneath(folder_fd.get(), relative);
  if (fd == -EXDEV || fd == -ELOOP) {
    return media_url_blocked("it leads out of the folder of --allowed-local-media-path");
  }
  if (fd < 0) return unreadable(std::strerror(-fd));
  const FileDescriptor file(fd);
  return read_all(file.get(), policy.max_bytes, grow);
}

}  // namespace ernie::media
