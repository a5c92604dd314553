#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "media/fetch.h"
#include "media/room.h"

namespace ernie::media {

// The http(s) part of fetch_media; same errors.
Result<std::vector<uint8_t>> fetch_http(std::string url, const FetchPolicy& policy,
                                        const std::atomic<bool>* cancelled, const Grow& grow);

}  // namespace ernie::media
