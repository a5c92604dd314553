#include "json_flags.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "base/result.h"

namespace ernie::app {
namespace {

namespace json = boost::json;

json::object parse_object(const std::string& flag, const std::string& text) {
  if (text.empty()) return {};
  boost::system::error_code error;
  json::value value = json::parse(text, error);
  if (error || !value.is_object())
    throw StartError(flag + " must be a JSON object such as {\"image\": 4}; found " + text);
  return std::move(value.as_object());
}

int64_t integer(const std::string& flag, const std::string& key, const json::value& value,
                int64_t low, int64_t high) {
  if (!value.is_int64() || value.as_int64() < low || value.as_int64() > high)
    throw StartError(flag + ": \"" + key + "\" must be an integer from " + std::to_string(low) +
                     " to " + std::to_string(high) + "; found " + json::serialize(value));
  return value.as_int64();
}

double number(const std::string& flag, const std::string& key, const json::value& value, double low,
              double high) {
  const bool is_number = value.is_number();
  const double found = is_number ? value.to_number<double>() : 0;
  if (!is_number || found < low || found > high)
    throw StartError(flag + ": \"" + key + "\" must be a number from " + fmt::format("{}", low) +
                     " to " + fmt::format("{}", high) + "; found " + json::serialize(value));
  return found;
}

// FastDeploy's names of 8 bits without zero points. Scales are always made while serving.
KvType parse_kv_cache_quant_type(const std::string& flag, const json::value& value) {
  if (value == "int8") return KvType::kInt8;
  if (value == "float8_e4m3fn" || value == "block_wise_fp8") return KvType::kFp8;
  throw StartError(flag + ": \"kv_cache_quant_type\" is " + json::serialize(value) +
                   "; it must be \"int8\", \"float8_e4m3fn\" or \"block_wise_fp8\"");
}

}  // namespace

QuantizationFlag parse_quantization_flag(const std::string& text) {
  const std::string flag = "--quantization";
  const auto take = [&](auto result, const std::string& what) {
    if (!result) throw StartError(what + " " + result.error().message);
    return *result;
  };
  if (text.empty() || text == "none") return {};
  if (text.find('{') == std::string::npos) return {take(model::parse_quantization(text), flag), {}};
  QuantizationFlag out;
  bool vision_too = true;
  const auto weights = [&]() -> model::Quantization& {
    return out.weights ? *out.weights : out.weights.emplace();
  };
  for (const auto& field : parse_object(flag, text)) {
    const std::string name(field.key());
    const json::value& value = field.value();
    if (!value.is_string() && !value.is_bool())
      throw StartError(flag + ": \"" + name + "\" must be text; found " + json::serialize(value));
    const auto format = [&] {
      return take(model::parse_weight_format(value.is_string() ? std::string(value.as_string())
                                                               : json::serialize(value)),
                  flag + ": \"" + name + "\"");
    };
    if (name == "dense_quant_type") {
      weights().dense = format();
    } else if (name == "moe_quant_type") {
      weights().text_experts = format();
    } else if (name == "image_moe_quant_type") {
      weights().vision_experts = format();
      vision_too = false;
    } else if (name == "kv_cache_quant_type") {
      out.kv_cache = parse_kv_cache_quant_type(flag, value);
    } else if (name != "quantization" || value != "mix_quant") {
      throw StartError(flag + ": unknown \"" + name + "\": " + json::serialize(value) +
                       "; the keys are \"dense_quant_type\", \"moe_quant_type\", "
                       "\"image_moe_quant_type\", \"kv_cache_quant_type\" and "
                       "\"quantization\": \"mix_quant\"");
    }
  }
  if (vision_too && out.weights) out.weights->vision_experts = out.weights->text_experts;
  return out;
}

MediaCounts parse_media_limits(const std::string& text) {
  const std::string flag = "--limit-mm-per-prompt";
  MediaCounts out;
  for (const auto& [key, value] : parse_object(flag, text)) {
    const int count = static_cast<int>(integer(flag, key, value, 0, 10'000));
    if (key == "image")
      out.images = count;
    else if (key == "video")
      out.videos = count;
    else if (key != "audio")  // FastDeploy's default names it; no model here hears
      throw StartError(flag + ": unknown key \"" + std::string(key) +
                       "\"; the keys are \"image\", \"video\" and \"audio\"");
  }
  return out;
}

model::PictureLimits parse_processor_kwargs(const std::string& text) {
  const std::string flag = "--mm-processor-kwargs";
  constexpr int64_t kMaxPixels = int64_t{1} << 31;
  model::PictureLimits out;
  const auto fixed = [&](const std::string& key, const json::value& value) {
    if (integer(flag, key, value, 1, 16) != 2)
      throw StartError(flag + ": \"" + key + "\" is fixed by the model's weights; it must be 2");
  };
  for (const auto& [name, value] : parse_object(flag, text)) {
    const std::string key(name);
    if (key == "image_min_pixels") {
      out.image_min_pixels = integer(flag, key, value, 1, kMaxPixels);
    } else if (key == "image_max_pixels") {
      out.image_max_pixels = integer(flag, key, value, 1, kMaxPixels);
    } else if (key == "video_min_pixels") {
      out.video_min_pixels = integer(flag, key, value, 1, kMaxPixels);
    } else if (key == "video_max_pixels") {
      out.video_max_pixels = integer(flag, key, value, 1, kMaxPixels);
    } else if (key == "video_max_frames") {
      out.frames.max_frames = static_cast<int>(integer(flag, key, value, 1, 10'000));
    } else if (key == "spatial_conv_size" || key == "temporal_conv_size") {
      fixed(key, value);
    } else if (key == "video_min_frames") {
      out.frames.min_frames = static_cast<int>(integer(flag, key, value, -1, 10'000));
    } else if (key == "video_target_frames") {
      out.frames.target_frames = static_cast<int>(integer(flag, key, value, -1, 10'000));
    } else if (key == "video_fps") {
      out.frames.fps = number(flag, key, value, -1, 1'000);
    } else if (key == "video_frames_sample") {
      if (!value.is_string())
        throw StartError(flag + ": \"" + key + "\" must be a string; found " +
                         json::serialize(value));
      out.frames.frames_sample = std::string(value.as_string());
    } else if (key == "draw_on_frames") {
      if (!value.is_bool())
        throw StartError(flag + ": \"draw_on_frames\" must be true or false; found " +
                         json::serialize(value));
      out.draw_on_frames = value.as_bool();
    } else {
      throw StartError(flag + ": unknown key \"" + key +
                       "\"; the keys are image_min_pixels, image_max_pixels, video_min_pixels, "
                       "video_max_pixels, video_fps, video_min_frames, video_max_frames, "
                       "video_target_frames, video_frames_sample and draw_on_frames");
    }
  }
  return out;
}

void parse_graph_config(const std::string& text, engine::EngineConfig& engine,
                        std::vector<std::string>& notes) {
  const std::string flag = "--graph-optimization-config";
  for (const auto& [name, value] : parse_object(flag, text)) {
    const std::string key(name);
    if (key == "use_cudagraph") {
      if (!value.is_bool())
        throw StartError(flag + ": \"" + key + "\" must be true or false; found " +
                         json::serialize(value));
      engine.use_graphs = value.as_bool();
    } else if (key == "cudagraph_capture_sizes") {
      if (!value.is_array() || value.as_array().empty())
        throw StartError(flag + ": \"" + key + "\" must be a list of numbers of sequences; found " +
                         json::serialize(value));
      for (const json::value& size : value.as_array())
        engine.max_graph_seqs =
            std::max(engine.max_graph_seqs, static_cast<int>(integer(flag, key, size, 1, 256)));
      notes.push_back(flag + ": of \"" + key + "\" the largest counts; steps of up to " +
                      std::to_string(engine.max_graph_seqs) + " sequences run as graphs");
    } else if (key == "graph_opt_level" || key == "full_cuda_graph" ||
               key == "use_unique_memory_pool" || key == "cudagraph_only_prefill" ||
               key == "draft_model_use_cudagraph") {
      notes.push_back(flag + ": \"" + key + "\" has no effect: whole decode steps are captured");
    } else {
      throw StartError(flag + ": unknown key \"" + key +
                       "\"; the keys are use_cudagraph, cudagraph_capture_sizes and FastDeploy's "
                       "others");
    }
  }
}

}  // namespace ernie::app
