#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "media/fetch.h"
#include "media/room.h"

namespace ernie::media {

// The file:// part of read_media; same errors.
Result<std::vector<uint8_t>> read_file(std::string_view url, const FetchPolicy& policy,
                                       const Grow& grow);

// Opens `path` (relative) beneath the folder `folder_fd` for reading without blocking; returns a
// file descriptor or -errno. EXDEV and ELOOP mean that it led out of the folder. The first uses
// Linux's openat2; the second, for kernels and sandboxes without it, walks the path itself and
// refuses every symbolic link and "..".
int open_beneath(int folder_fd, const std::string& path);
int open_beneath_by_walking(int folder_fd, const std::string& path);

}  // namespace ernie::media
