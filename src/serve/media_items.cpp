#include "serve/media_items.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <utility>

#include "media/time_stamp.h"
#include "media/video.h"
#include "model/video_sampling.h"

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

// Of an item before its first file.
ContentKey first_key(const text::ChatPart& part, const ContentKey& cache_salt) {
  std::string settings = part.is_video_file                    ? "file"
                         : part.kind == text::PartKind::kVideo ? "frames"
                                                               : "image";
  const auto add = [&](const auto& field) {
    settings += field ? fmt::format(" {}", *field) : " -";
  };
  add(part.frames.fps);
  add(part.frames.min_frames);
  add(part.frames.max_frames);
  add(part.frames.target_frames);
  add(part.frames.frames_sample);
  return content_key(cache_salt, settings.data(), settings.size());
}

// Whether the cache has the picture. A video's pixels are not kept: all its files would have to be
// held to see whether it is known.
bool find_known(MediaItem& item, const ChatService::Parts& parts) {
  if (!parts.media_cache || item.shape.is_video) return false;
  item.known = parts.media_cache->find(item.key);
  if (!item.known) return false;
  item.cost.tokens = item.known->tokens;
  for (const auto& unit : item.known->units) item.cost.patch_bytes += unit->pixels.size();
  return true;
}

Status check_memory(const MediaItem& item, size_t bytes, const ServiceConfig& config) {
  const bool is_file = item.part->is_video_file && item.files.empty();
  const size_t limit = (is_file ? config.memory.videos : config.memory.decoding)->limit();
  if (bytes <= limit) return {};
  const char* kind = item.shape.is_video ? "video" : "image";
  return invalid_argument(
      fmt::format("the {} is too large: decoding it takes {} bytes, the limit is {} bytes ({} of "
                  "--max-inflight-mb); send a smaller one",
                  kind, bytes, limit, is_file ? "three eighths" : "half"),
      item.param, fmt::format("{}_too_large", kind));
}

// What is needed beside the decoder to resize a frame of this height.
size_t resizing_bytes(const MediaItem& item, int height) {
  return size_t{3} * static_cast<size_t>(item.cost.resized_width) * static_cast<size_t>(height);
}

// Reads the header of the item's next file and holds it against the limits.
Status add_file(MediaItem& item, media::FetchedMedia file, const ChatService::Parts& parts,
                const ServiceConfig& config, const std::atomic<bool>& cancelled) {
  auto picture = media::PictureFile::open(std::move(file), *parts.media_decoder, config.decode,
                                          config.memory, cancelled);
  if (!picture) return at(item, picture.error());
  if (item.files.empty()) {
    item.shape.height = picture->height();
    item.shape.width = picture->width();
    const auto cost = parts.processor->cost(item.shape);
    if (!cost) return at(item, cost.error());
    item.cost = *cost;
  }
  const size_t bytes = picture->decoding_bytes() + resizing_bytes(item, picture->height());
  if (auto s = check_memory(item, bytes, config); !s) return s;
  item.files.push_back({std::move(*picture), bytes});
  return {};
}

struct VideoShare {
  Limiter::Share of_videos;
  Limiter::Share of_all;
};

std::optional<VideoShare> wait_for_video(size_t bytes, const ServiceConfig& config,
                                         const std::atomic<bool>& cancelled) {
  auto of_videos = config.memory.videos->wait(bytes, cancelled);
  if (!of_videos) return std::nullopt;
  auto of_all = config.memory.decoding->wait(bytes, cancelled);
  if (!of_all) return std::nullopt;
  return VideoShare{std::move(*of_videos), std::move(*of_all)};
}

// Chooses the frames of a video file and holds them against the limits.
Status add_video(MediaItem& item, media::FetchedMedia file, const ChatService::Parts& parts,
                 const ServiceConfig& config, const std::atomic<bool>& cancelled) {
  auto sampling = model::choose_sampling(parts.processor->options().video, item.part->frames);
  if (!sampling) {
    Error error = sampling.error();
    error.param = fmt::format("{}.video_url.{}", item.param, error.param);
    return error;
  }
  item.video_file = std::move(file);
  const std::vector<uint8_t>& bytes = item.video_file.bytes;
  const size_t opening = config.video.open_bytes + bytes.size();
  if (auto s = check_memory(item, opening, config); !s) return s;
  {
    const auto share = wait_for_video(opening, config, cancelled);
    if (!share) return request_cancelled();
    auto video = media::VideoFile::open(bytes, *parts.media_decoder, config.video, cancelled);
    if (!video) return at(item, video.error());
    item.video = std::move(*video);
  }
  const media::VideoInfo& info = item.video->info();
  const bool is_random = sampling->frames_sample == model::FramesSample::kRandom;
  const uint64_t seed = is_random ? content_key(bytes.data(), bytes.size()).words[0] : 0;
  item.numbers = model::sample_frames(*sampling, info.frames, info.fps, seed);
  const double duration = info.frames / info.fps;
  item.seconds.clear();
  for (const uint32_t number : item.numbers) {
    item.seconds.push_back(number * duration / info.frames);
  }
  item.shape.frames = item.numbers.size();
  item.shape.height = info.height;
  item.shape.width = info.width;
  const auto cost = parts.processor->cost(item.shape);
  if (!cost) return at(item, cost.error());
  item.cost = *cost;
  // A frame that comes twice is kept until it does.
  const size_t frame =
      size_t{3} * static_cast<size_t>(info.width) * static_cast<size_t>(info.height);
  item.video_bytes = info.decoding_bytes + frame + resizing_bytes(item, info.height);
  return check_memory(item, item.video_bytes, config);
}

// Frames that come as pictures are as far apart as the request says.
void set_seconds(MediaItem& item) {
  constexpr double kUsualFps = 2;
  const double given = item.part->frames.fps.value_or(-1);
  const double fps = given > 0 ? given : kUsualFps;
  for (size_t i = 0; i < item.shape.frames; ++i) {
    item.seconds.push_back(static_cast<double>(i) / fps);
  }
}

// Draws the time on each frame of a video, in a size that the first one decides.
class FrameMarker {
 public:
  FrameMarker(const MediaItem& item, const model::ProcessorOptions& options)
      : seconds_(item.seconds) {
    const bool draws = item.shape.is_video && options.draw_on_frames;
    if (draws) stamper_.emplace(item.shape.width, item.shape.height);
  }

  Result<media::Image> mark(size_t i, Result<media::Image> frame) const {
    if (frame && stamper_) stamper_->draw(*frame, seconds_[i]);
    return frame;
  }

 private:
  const std::vector<double>& seconds_;
  std::optional<media::TimeStamper> stamper_;
};

// The frames of a video file, one after the other.
class VideoFrames {
 public:
  VideoFrames(media::VideoFile& video, std::span<const uint32_t> numbers)
      : video_(video), numbers_(numbers) {}

  Status start(const std::atomic<bool>& cancelled) {
    std::vector<uint32_t> distinct(numbers_.begin(), numbers_.end());
    distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
    return video_.start(distinct, cancelled);
  }

  Result<media::Image> next(size_t i, const std::atomic<bool>& cancelled) {
    const bool is_again = i > 0 && numbers_[i] == numbers_[i - 1];
    const bool comes_again = i + 1 < numbers_.size() && numbers_[i] == numbers_[i + 1];
    if (is_again) return comes_again ? last_ : std::move(last_);
    auto image = video_.next(cancelled);
    if (image && comes_again) last_ = *image;
    return image;
  }

 private:
  media::VideoFile& video_;
  std::span<const uint32_t> numbers_;
  media::Image last_;
};

Result<model::PreparedMedia> decode_video(MediaItem& item, const ChatService::Parts& parts,
                                          const ServiceConfig& config,
                                          const std::atomic<bool>& cancelled) {
  const auto share = wait_for_video(item.video_bytes, config, cancelled);
  if (!share) return request_cancelled();
  VideoFrames frames(*item.video, item.numbers);
  if (auto s = frames.start(cancelled); !s) return s.error();
  FrameMarker marker(item, parts.processor->options());
  return parts.processor->prepare(item.shape, [&](size_t i) -> Result<media::Image> {
    return marker.mark(i, frames.next(i, cancelled));
  });
}

Result<model::PreparedMedia> decode_pictures(MediaItem& item, const ChatService::Parts& parts,
                                             const ServiceConfig& config,
                                             const std::atomic<bool>& cancelled) {
  FrameMarker marker(item, parts.processor->options());
  std::optional<Limiter::Share> frame;  // of the one that is decoded and resized
  return parts.processor->prepare(item.shape, [&](size_t i) -> Result<media::Image> {
    MediaItem::File file = std::move(item.files[i]);
    frame.reset();
    frame = config.memory.decoding->wait(file.decoding_bytes, cancelled);
    if (!frame) return request_cancelled();
    return marker.mark(i, file.picture.decode(cancelled));
  });
}

// All units have one shape.
model::PreparedMedia without_pixels(model::PreparedMedia media) {
  const model::PatchGrid& first = *media.units.front();
  const auto shape = std::make_shared<const model::PatchGrid>(
      model::PatchGrid{first.frames, first.height, first.width, {}});
  std::ranges::fill(media.units, shape);
  return media;
}

}  // namespace

Result<std::vector<MediaItem>> collect_media(ChatRequest& request, const ChatService::Parts& parts,
                                             const ServiceConfig& config,
                                             const ContentKey& cache_salt) {
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
      item.key = first_key(content[p], cache_salt);
      if (item.shape.is_video) set_seconds(item);
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
  const bool is_complete = item.known || item.video || item.files.size() == urls.size();
  return is_complete ? nullptr : &urls[item.files.size()];
}

Status add_media(MediaItem& item, Result<media::FetchedMedia> file, const ChatService::Parts& parts,
                 const ServiceConfig& config, Limiter::Share& urls, size_t& room,
                 const std::atomic<bool>& cancelled) {
  if (!file) return at(item, file.error());
  std::string& url = item.part->urls[item.files.size()];
  urls.shrink_to(urls.amount() - std::min(urls.amount(), url.size()));
  std::string().swap(url);
  item.key = content_key(item.key, file->bytes.data(), file->bytes.size());
  if (find_known(item, parts)) return {};
  if (auto s = take_room(item, file->bytes.size(), room, config); !s) return s;
  if (item.part->is_video_file && media::is_video_file(file->bytes)) {
    return add_video(item, std::move(*file), parts, config, cancelled);
  }
  return add_file(item, std::move(*file), parts, config, cancelled);
}

std::optional<model::PreparedMedia> find_record(const MediaItem& item,
                                                const ChatService::Parts& parts) {
  const engine::Engine& engine = *parts.engine;
  if (!engine.config().enable_prefix_caching && engine.memory().encoder_cache_tokens == 0) {
    return std::nullopt;
  }
  return parts.media_records->find(item.key);
}

Result<model::PreparedMedia> decode_media(MediaItem item, const ChatService::Parts& parts,
                                          const ServiceConfig& config,
                                          const std::atomic<bool>& cancelled) {
  if (item.known) return std::move(*item.known);
  auto prepared = item.video ? decode_video(item, parts, config, cancelled)
                             : decode_pictures(item, parts, config, cancelled);
  if (!prepared) return at(item, prepared.error());
  parts.media_records->insert(item.key, without_pixels(*prepared));
  if (parts.media_cache && !item.shape.is_video) parts.media_cache->insert(item.key, *prepared);
  return prepared;
}

}  // namespace ernie::serve
