#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "model/config.h"
#include "model/processor.h"
#include "text/chat_template.h"

namespace ernie::model {

// The limits that were given by a flag (FastDeploy's --mm-processor-kwargs).
struct PictureLimits {
  std::optional<int64_t> image_min_pixels;
  std::optional<int64_t> image_max_pixels;
  std::optional<int64_t> video_min_pixels;
  std::optional<int64_t> video_max_pixels;
  text::FrameChoice frames;  // of videos
  std::optional<bool> draw_on_frames;
};

// A limit is the given one, else that of the model's folder (processor_config.json,
// preprocessor_config.json, video_preprocessor_config.json, in this order), else the default.
// Errors name file, key, value and what was expected. Without a folder no file is read.
Result<ProcessorOptions> load_processor_options(const ModelConfig& config,
                                                const std::string& model_dir,
                                                const PictureLimits& given);

}  // namespace ernie::model
