#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "media/picture_file.h"
#include "media/video.h"
#include "model/processor.h"
#include "serve/chat_service.h"
#include "serve/request.h"

namespace ernie::serve {

// A picture or video of a request on its way into the prompt. Nothing is decoded before the headers
// of all items are known to be within the limits.
struct MediaItem {
  // One frame as it was sent or fetched.
  struct File {
    media::PictureFile picture;
    size_t decoding_bytes = 0;  // with what resizing takes
  };

  text::ChatPart* part = nullptr;
  std::string param;  // for error messages
  model::MediaShape shape;
  model::MediaCost cost;
  std::vector<File> files;
  media::FetchedMedia video_file;         // in place of files
  std::optional<media::VideoFile> video;  // of it
  size_t video_bytes = 0;                 // most memory that decoding and resizing its frames takes
  std::vector<uint32_t> numbers;          // of its frames, never falling
  std::vector<double> seconds;            // when each frame of a video is shown
  ContentKey key;  // in the caches: of its files so far and all else that decides what they become
  std::optional<model::PreparedMedia> known;  // from the cache; it needs no files
};

// The items of a request in the order of its messages. Their numbers, kinds and frames are within
// the limits; sizes and tokens are not known yet.
Result<std::vector<MediaItem>> collect_media(ChatRequest& request, const ChatService::Parts& parts,
                                             const ServiceConfig& config,
                                             const ContentKey& cache_salt);

// The URL of the file that comes next; null when the item needs no more.
const std::string* next_url(const MediaItem& item);

// Takes the file of next_url(), or why there is none, drops the URL, of which a data URL may be
// large, and reads the file's header. `room` is how many bytes the files of the request may still
// take, and becomes less.
Status add_media(MediaItem& item, Result<media::FetchedMedia> file, const ChatService::Parts& parts,
                 const ServiceConfig& config, Limiter::Share& urls, size_t& room,
                 const std::atomic<bool>& cancelled);

// What an item whose files are all there was when it was last decoded, without pixels; none if that
// is not known, or of no use since the engine keeps nothing.
std::optional<model::PreparedMedia> find_record(const MediaItem& item,
                                                const ChatService::Parts& parts);

// Decodes one frame at a time, when there is room; each file and frame is dropped before the next
// is decoded.
Result<model::PreparedMedia> decode_media(MediaItem item, const ChatService::Parts& parts,
                                          const ServiceConfig& config,
                                          const std::atomic<bool>& cancelled);

}  // namespace ernie::serve
