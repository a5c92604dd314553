#include "serve/media_items.h"

#include <utility>

namespace ernie::serve {
namespace {

Error at(const MediaItem& item, Error error) {
  error.param = item.param;
  return error;
}

Status check_count(const char* what, int count, int limit) {
  if (count <= limit) return {};
  return invalid_argument("the prompt has " + std::to_string(count) + " " + what +
                              "s, but at most " + std::to_string(limit) +
                              " are allowed (--limit-mm-per-prompt)",
                          "messages", "too_many_media");
}

Status take_room(const MediaItem& item, size_t bytes, size_t& room, const ServiceConfig& config) {
  if (bytes > room) {
    return invalid_argument(
        "the files of the request's pictures and videos have together more "
        "than the limit of " +
            std::to_string(config.max_media_bytes) +
            " bytes; send fewer or "
            "smaller ones",
        item.param, "media_too_large");
  }
  room -= bytes;
  return {};
}

}  // namespace

Result<std::vector<MediaItem>> collect_media(const ChatRequest& request,
                                             const ChatService::Parts& parts,
                                             const ServiceConfig& config) {
  std::vector<MediaItem> items;
  int images = 0;
  int videos = 0;
  for (size_t m = 0; m < request.messages.size(); ++m) {
    const auto& content = request.messages[m].content;
    for (size_t p = 0; p < content.size(); ++p) {
      if (content[p].kind == PartKind::kText) continue;
      MediaItem item;
      item.part = &content[p];
      item.param = "messages[" + std::to_string(m) + "].content[" + std::to_string(p) + "]";
      item.shape.is_video = content[p].kind == PartKind::kVideo;
      item.shape.frames = content[p].urls.size();
      items.push_back(std::move(item));
      (content[p].kind == PartKind::kImage ? images : videos)++;
    }
  }
  if (auto s = check_count("image", images, config.max_images_per_prompt); !s) return s.error();
  if (auto s = check_count("video", videos, config.max_videos_per_prompt); !s) return s.error();
  for (const MediaItem& item : items) {
    auto s = parts.processor->check_frames(item.shape.is_video, item.shape.frames);
    if (!s) return at(item, s.error());
  }
  return items;
}

Status fetch_media(MediaItem& item, const ChatService::Parts& parts, const ServiceConfig& config,
                   const std::atomic<bool>& cancelled, size_t& room) {
  // A video is not kept: all its files would have to be held to see whether it is known.
  MediaCache* cache = item.shape.is_video ? nullptr : parts.media_cache.get();
  for (const std::string& url : item.part->urls) {
    auto file = media::fetch_media(url, config.fetch, &cancelled);
    if (!file) return at(item, file.error());
    if (cache) {
      item.key = cache->key_of(*file);
      item.known = cache->find(item.key);
      if (item.known) {
        item.tokens = item.known->tokens;
        return {};
      }
    }
    if (auto s = take_room(item, file->size(), room, config); !s) return s;
    const auto header = media::probe_image(*file, config.decode);
    if (!header) return at(item, header.error());
    if (item.files.empty()) {
      item.shape.height = header->height;
      item.shape.width = header->width;
    }
    item.files.push_back(std::move(*file));
  }
  const auto tokens = parts.processor->count_tokens(item.shape);
  if (!tokens) return at(item, tokens.error());
  item.tokens = *tokens;
  return {};
}

Result<model::PreparedMedia> decode_media(MediaItem item, const ChatService::Parts& parts,
                                          const ServiceConfig& config,
                                          const std::atomic<bool>& cancelled) {
  if (item.known) return std::move(*item.known);
  const auto decode = [&](size_t i) -> Result<media::Image> {
    if (cancelled)
      return Error{ErrorKind::kUnavailable, "the request was cancelled", {}, "cancelled"};
    const std::vector<uint8_t> file = std::move(item.files[i]);
    return media::decode_image(file, config.decode);
  };
  auto prepared = parts.processor->prepare(item.shape, decode);
  if (!prepared) return at(item, prepared.error());
  if (parts.media_cache && !item.shape.is_video) parts.media_cache->insert(item.key, *prepared);
  return prepared;
}

}  // namespace ernie::serve
