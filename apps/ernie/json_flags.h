#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "model/picture_limits.h"

namespace ernie::app {

struct MediaCounts {
  int images = 1;
  int videos = 1;
};

// --limit-mm-per-prompt: a JSON object with "image", "video" and "audio", merged over the defaults.
// Throws StartError.
MediaCounts parse_media_limits(const std::string& json);

// --mm-processor-kwargs: a JSON object with FastDeploy's names. Throws StartError.
model::PictureLimits parse_processor_kwargs(const std::string& json);

struct QuantizationFlag {
  std::optional<model::Quantization> weights;  // nothing: not said
  std::optional<KvType> kv_cache;              // by "kv_cache_quant_type"
};

// --quantization: a name, or a JSON object with FastDeploy's names. Throws StartError.
QuantizationFlag parse_quantization_flag(const std::string& text);

// --graph-optimization-config: a JSON object with FastDeploy's names. Throws StartError.
void parse_graph_config(const std::string& json, engine::EngineConfig& engine,
                        std::vector<std::string>& notes);

}  // namespace ernie::app
