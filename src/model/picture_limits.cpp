#include "model/picture_limits.h"

#include <algorithm>
#include <limits>

#include "model/config_reader.h"
#include "model/fixed_settings.h"
#include "text/json_file.h"

namespace ernie::model {
namespace {

constexpr int kMostPixels = std::numeric_limits<int>::max();

void read_limit(ConfigReader& reader, const std::string& key, std::optional<int64_t>& limit) {
  if (!reader.has(key.c_str())) return;
  const int pixels = reader.integer(key.c_str(), 1, kMostPixels);
  if (!limit) limit = pixels;
}

void read_draws(ConfigReader& reader, std::optional<bool>& draws) {
  if (!reader.has("draw_on_frames")) return;
  const bool found = reader.boolean("draw_on_frames", true);
  if (!draws) draws = found;
}

// The limits of the image processor or the video processor that wrote the object: min_pixels and
// max_pixels, or transformers' "size". Other forms of "size" are of processors that cut to a size.
void read_bare_limits(ConfigReader& reader, std::optional<int64_t>& least,
                      std::optional<int64_t>& most) {
  require_picture_settings(reader);
  read_limit(reader, "min_pixels", least);
  read_limit(reader, "max_pixels", most);
  if (!reader.has_object("size")) return;
  ConfigReader size = reader.object("size");
  read_limit(size, "min_pixels", least);
  read_limit(size, "max_pixels", most);
  if (size.has("shortest_edge") && size.has("longest_edge")) {
    read_limit(size, "shortest_edge", least);
    read_limit(size, "longest_edge", most);
  }
  reader.adopt(size);
}

void read_image_processor(ConfigReader& reader, PictureLimits& limits) {
  read_limit(reader, "image_min_pixels", limits.image_min_pixels);
  read_limit(reader, "image_max_pixels", limits.image_max_pixels);
  read_limit(reader, "video_min_pixels", limits.video_min_pixels);
  read_limit(reader, "video_max_pixels", limits.video_max_pixels);
  read_bare_limits(reader, limits.image_min_pixels, limits.image_max_pixels);
  read_draws(reader, limits.draw_on_frames);
}

void read_frames(ConfigReader& reader, const char* key, std::optional<int>& limit) {
  if (!reader.has(key)) return;
  const int frames = reader.integer(key, -1, 10'000);
  if (!limit) limit = frames;
}

void read_video_processor(ConfigReader& reader, PictureLimits& limits) {
  read_frames(reader, "min_frames", limits.frames.min_frames);
  read_frames(reader, "max_frames", limits.frames.max_frames);
  read_bare_limits(reader, limits.video_min_pixels, limits.video_max_pixels);
  read_draws(reader, limits.draw_on_frames);
}

struct LimitFile {
  const char* name;
  void (*read)(ConfigReader&, PictureLimits&);
};

constexpr LimitFile kFiles[] = {{"processor_config.json", read_image_processor},
                                {"preprocessor_config.json", read_image_processor},
                                {"video_preprocessor_config.json", read_video_processor}};

Status read_file(const std::string& path, const LimitFile& file, PictureLimits& limits) {
  if (!text::has_entry(path)) return {};
  const Result<boost::json::object> json = text::read_json_object(path);
  if (!json) return json.error();
  ConfigReader reader(*json, path);
  file.read(reader, limits);
  ConfigReader image = reader.object("image_processor");
  read_image_processor(image, limits);
  reader.adopt(image);
  ConfigReader video = reader.object("video_processor");
  read_video_processor(video, limits);
  reader.adopt(video);
  if (reader.failed()) return reader.error();
  return {};
}

}  // namespace

Result<ProcessorOptions> load_processor_options(const ModelConfig& config,
                                                const std::string& model_dir,
                                                const PictureLimits& given) {
  PictureLimits limits = given;
  if (config.vision && !model_dir.empty()) {
    for (const LimitFile& file : kFiles) {
      const Status read = read_file(model_dir + "/" + file.name, file, limits);
      if (!read) return read.error();
    }
  }
  const ProcessorOptions usual;
  const Result<VideoSampling> video = choose_sampling(usual.video, limits.frames);
  if (!video) {
    return invalid_argument(
        "video_" + video.error().message + "; set it with --mm-processor-kwargs",
        "mm_processor_kwargs");
  }
  const ProcessorOptions options{
      .image_min_pixels = limits.image_min_pixels.value_or(usual.image_min_pixels),
      .image_max_pixels = limits.image_max_pixels.value_or(usual.image_max_pixels),
      .video_min_pixels = limits.video_min_pixels.value_or(usual.video_min_pixels),
      .video_max_pixels = limits.video_max_pixels.value_or(usual.video_max_pixels),
      .video = *video,
      .draw_on_frames = limits.draw_on_frames.value_or(usual.draw_on_frames)};
  const Status sane = check_options(options);
  if (!sane) return sane.error();
  return options;
}

}  // namespace ernie::model
