#pragma once

#include <cstddef>
#include <functional>

#include "base/result.h"

// How the parts of read_media take room for bytes; not for use outside this folder.
namespace ernie::media {

// Takes so many bytes more; false where there is no room for them.
using Grow = std::function<bool(size_t bytes)>;

constexpr const char* kNoRoom = "too_many_bytes";

inline Error no_room() { return {ErrorKind::kRateLimited, "no room for the media", {}, kNoRoom}; }

}  // namespace ernie::media
