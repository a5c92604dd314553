#include "serve/media_items.h"

#include <algorithm>
#include <span>
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

// Whether the cache has the picture of this file. A video is not kept: all its files would have to
// be held to see whether it is known.
bool find_known(MediaItem& item, std::span<const uint8_t> file, const ContentKey& cache_salt,
                const ChatService::Parts& parts) {
  if (!parts.media_cache || item.shape.is_video) return false;
  item.key = content_key(cache_salt, file.data(), file.size());
  item.known = parts.media_cache->find(item.key);
  if (!item.known) return false;
  item.cost.tokens = item.known->tokens;
  for (const auto& unit : item.known->units) item.cost.patch_bytes += unit->pixels.size();
  return true;
}

// Reads the header of the item's next file and holds it against the limits.
Status add_file(MediaItem& item, media::FetchedMedia file, const ChatService::Parts& parts,
                const ServiceConfig& config) {
  const auto header = media::probe_image(file.bytes, config.decode);
  if (!header) return at(item, header.error());
  if (item.files.empty()) {
    item.shape.height = header->height;
    item.shape.width = header->width;
    const auto cost = parts.processor->cost(item.shape);
    if (!cost) return at(item, cost.error());
    item.cost = *cost;
  }
  const size_t bytes =
      header->decoding_bytes + size_t{3} * item.cost.resized_width * header->height;
  const size_t limit = config.memory.decoding->limit();
  if (bytes > limit) {
    return invalid_argument("the image is too large: decoding it takes " + std::to_string(bytes) +
                                " bytes, the limit is " + std::to_string(limit) +
                                " bytes (half of --max-inflight-mb); send a smaller one",
                            item.param, "image_too_large");
  }
  item.files.push_back({std::move(file), bytes});
  return {};
}

}  // namespace

Result<std::vector<MediaItem>> collect_media(ChatRequest& request, const ChatService::Parts& parts,
                                             const ServiceConfig& config) {
  std::vector<MediaItem> items;
  int images = 0;
  int videos = 0;
  for (size_t m = 0; m < request.chat.messages.size(); ++m) {
    auto& content = request.chat.messages[m].parts;
    for (size_t p = 0; p < content.size(); ++p) {
      if (content[p].kind == text::PartKind::kText) continue;
      MediaItem item;
      item.part = &content[p];
      item.param = "messages[" + std::to_string(m) + "].content[" + std::to_string(p) + "]";
      item.shape.is_video = content[p].kind == text::PartKind::kVideo;
      item.shape.frames = content[p].urls.size();
      items.push_back(std::move(item));
      (content[p].kind == text::PartKind::kImage ? images : videos)++;
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

const std::string* next_url(const MediaItem& item) {
  const std::vector<std::string>& urls = item.part->urls;
  return item.known || item.files.size() == urls.size() ? nullptr : &urls[item.files.size()];
}

Status add_media(MediaItem& item, Result<media::FetchedMedia> file, const ChatService::Parts& parts,
                 const ServiceConfig& config, const ContentKey& cache_salt, Limiter::Share& urls,
                 size_t& room) {
  if (!file) return at(item, file.error());
  std::string& url = item.part->urls[item.files.size()];
  urls.shrink_to(urls.amount() - std::min(urls.amount(), url.size()));
  std::string().swap(url);
  if (find_known(item, file->bytes, cache_salt, parts)) return {};
  if (auto s = take_room(item, file->bytes.size(), room, config); !s) return s;
  return add_file(item, std::move(*file), parts, config);
}

Result<model::PreparedMedia> decode_media(MediaItem item, const ChatService::Parts& parts,
                                          const ServiceConfig& config,
                                          const std::atomic<bool>& cancelled) {
  if (item.known) return std::move(*item.known);
  std::optional<Limiter::Share> frame;  // of the one that is decoded and resized
  const auto decode = [&](size_t i) -> Result<media::Image> {
    const MediaItem::File file = std::move(item.files[i]);
    frame.reset();
    frame = config.memory.decoding->wait(file.decoding_bytes, cancelled);
    if (!frame) {
      return Error{ErrorKind::kUnavailable, "the request was cancelled", {}, "cancelled"};
    }
    return media::decode_image(file.media.bytes, config.decode);
  };
  auto prepared = parts.processor->prepare(item.shape, decode);
  if (!prepared) return at(item, prepared.error());
  if (parts.media_cache && !item.shape.is_video) parts.media_cache->insert(item.key, *prepared);
  return prepared;
}

}  // namespace ernie::serve
