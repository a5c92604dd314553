#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/request_memory.h"
#include "base/result.h"

namespace ernie::media {

// What a media URL of a request may reach. The defaults are safe for a public server.
struct FetchPolicy {
  // False: http(s) only to public addresses and to ports 80 and 443. True: any address and port.
  bool allow_private_media = false;
  std::string allowed_local_media_path;  // folder for file:// URLs; empty refuses them all
  size_t max_bytes = 64 * 1024 * 1024;   // of the media itself
  int timeout_ms = 10'000;               // of a whole fetch that has begun, with its redirects
  int low_speed_s = 5;                // a transfer slower than low_speed_bytes_per_s for this long
  int low_speed_bytes_per_s = 1'024;  // ends as a timeout
  int max_redirects = 3;
  size_t max_transfers = 64;            // at a time; a few more when many clients fetch
  size_t max_transfers_per_client = 8;  // the rest of a client's fetches wait for these
};

// Bytes with their share of the memory of all requests.
struct FetchedMedia {
  std::vector<uint8_t> bytes;
  Limiter::Share share;
};

// Whether a Fetcher is needed for the media of `url`: its scheme is http or https.
bool is_http_url(std::string_view url);

// Returns the bytes of a URL that needs no host. Safe to call from any number of threads.
//
//   data:     base64 only; the media type is ignored (see data_url.h for what is accepted)
//   file://   absolute path of a regular file beneath allowed_local_media_path; symbolic links may
//             not lead out of it
//
// Errors of this and of Fetcher, ErrorKind::kInvalidArgument unless noted, by `code`; their
// messages name no URL, host or path:
//   "media_url_blocked"    scheme, host, port, address, path or redirect not allowed
//   "invalid_base64"       malformed data URL
//   "media_too_large"      over max_bytes (kTooLarge for data URLs)
//   "media_fetch_timeout"  over timeout_ms, or too slow
//   "media_fetch_failed"   no such name, refused, HTTP status other than 200, cut short, unreadable
//   "cancelled"            kUnavailable: the request was cancelled
//   "shutting_down"        kUnavailable: the fetcher was stopped
//   "too_many_bytes"       kRateLimited: no room now in `memory`
Result<FetchedMedia> read_media(std::string_view url, const FetchPolicy& policy,
                                const RequestMemory& memory = {});

}  // namespace ernie::media
