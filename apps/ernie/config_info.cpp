#include "config_info.h"

#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <set>
#include <string>

#include "model/quantization.h"
#include "serve_flags.h"

namespace ernie::app {
namespace {

namespace json = boost::json;

const std::set<std::string> kHidden = {"model",
                                       "tokenizer",
                                       "config",
                                       "api-key",
                                       "api-key-file",
                                       "chat-template",
                                       "allowed-local-media-path"};

json::value flag_value(const CLI::Option& flag) {
  const std::string text = flag.count() > 0 ? flag.results().back() : flag.get_default_str();
  if (text.empty()) return nullptr;
  if (text == "true" || text == "false") return text == "true";
  const std::string type = flag.get_type_name();
  if (type != "INT" && type != "UINT" && type != "FLOAT") return json::value(text);
  boost::system::error_code is_text;
  const json::value number = json::parse(text, is_text);
  return is_text ? json::value(text) : number;
}

json::object experts_json(const model::ExpertGroup& experts) {
  return {{"num_experts", experts.num_experts}, {"intermediate_size", experts.intermediate_size}};
}

json::value moe_json(const std::optional<model::MoeConfig>& moe) {
  if (!moe) return nullptr;
  return {{"text", experts_json(moe->text)},
          {"vision", experts_json(moe->vision)},
          {"top_k", moe->top_k},
          {"num_shared_experts", moe->num_shared_experts},
          {"first_layer", moe->first_layer},
          {"last_layer", moe->last_layer},
          {"interval", moe->interval}};
}

json::value vision_json(const std::optional<model::VisionConfig>& vision) {
  if (!vision) return nullptr;
  return {{"depth", vision->depth},
          {"hidden_size", vision->hidden_size},
          {"num_heads", vision->num_heads},
          {"intermediate_size", vision->intermediate_size},
          {"patch_size", vision->patch_size},
          {"spatial_merge", vision->spatial_merge},
          {"temporal_merge", vision->temporal_merge}};
}

json::object model_json(const model::ModelConfig& config) {
  return {{"architecture", config.architecture},
          {"hidden_size", config.hidden_size},
          {"num_layers", config.num_layers},
          {"num_heads", config.num_heads},
          {"num_kv_heads", config.num_kv_heads},
          {"head_dim", config.head_dim},
          {"intermediate_size", config.intermediate_size},
          {"vocab_size", config.vocab_size},
          {"max_position_embeddings", config.max_position_embeddings},
          {"moe", moe_json(config.moe)},
          {"vision", vision_json(config.vision)}};
}

json::object engine_json(const engine::EngineConfig& config, const model::ModelConfig& model) {
  const auto weights = take(model::resolve_quantization(model, config.quantization));
  return {{"weights", model::describe(weights, config.dtype)},
          {"dtype", dtype_name(config.dtype)},
          {"kv_cache_dtype", kv_type_name(config.kv_type())},
          {"max_waiting_requests", config.max_waiting_requests},
          {"max_media_tokens", config.max_media_tokens},
          {"steps_in_flight", config.steps_in_flight},
          {"use_graphs", config.use_graphs}};
}

json::object memory_json(const engine::MemoryReport& memory) {
  return {{"device_total_bytes", memory.device_total_bytes},
          {"budget_bytes", memory.budget_bytes},
          {"weight_bytes", memory.weight_bytes},
          {"workspace_bytes", memory.workspace_bytes},
          {"kv_bytes", memory.kv_bytes},
          {"encoder_cache_bytes", memory.encoder_cache_bytes},
          {"block_bytes", memory.block_bytes},
          {"num_blocks", memory.num_blocks},
          {"encoder_cache_tokens", memory.encoder_cache_tokens}};
}

// Over the flags: what they came to.
void set_decided(const ServeOptions& options, ServedModel& model, json::object& flags) {
  const engine::Engine& engine = model.engine();
  const model::ProcessorOptions& pictures = model.processor();
  const engine::EngineConfig& config = engine.config();
  flags["api-key"] = options.server.api_keys.empty() ? "not set" : "set";
  flags["served-model-name"] = options.served_model_name;
  flags["no-web"] = !options.web;
  flags["cache-salt-by-key"] = options.cache_salt_by_key;
  flags["max-inflight-mb"] =
      (options.server.memory.held->limit() + options.server.memory.decoding->limit()) >> 20;
  flags["max-num-batched-tokens"] = config.max_num_batched_tokens;
  flags["max-encoder-cache"] = engine.memory().encoder_cache_tokens;
  flags["enable-prefix-caching"] = config.enable_prefix_caching;
  flags["enable-chunked-prefill"] = config.enable_chunked_prefill;
  flags["disable-chunked-mm-input"] = config.disable_chunked_mm_input;
  flags["check-invariants"] = config.check_invariants;
  flags["allow-private-media"] = options.service.fetch.allow_private_media;
  flags["limit-mm-per-prompt"] = {{"image", options.service.max_images_per_prompt},
                                  {"video", options.service.max_videos_per_prompt}};
  flags["mm-processor-kwargs"] = {
      {"image_min_pixels", pictures.image_min_pixels},
      {"image_max_pixels", pictures.image_max_pixels},
      {"video_min_pixels", pictures.video_min_pixels},
      {"video_max_pixels", pictures.video_max_pixels},
      {"video_fps", pictures.video.fps},
      {"video_min_frames", pictures.video.min_frames},
      {"video_max_frames", pictures.video.max_frames},
      {"video_target_frames", pictures.video.target_frames},
      {"video_frames_sample", model::frames_sample_name(pictures.video.frames_sample)},
      {"draw_on_frames", pictures.draw_on_frames}};
}

}  // namespace

json::object shown_flags(const CLI::App& app) {
  json::object out;
  for (const CLI::Option* flag : app.get_options()) {
    const std::string name = flag->get_lnames().front();
    if (is_without_effect(*flag)) continue;
    if (kHidden.contains(name))
      out[name] = flag->count() > 0 ? "set" : "not set";
    else
      out[name] = flag_value(*flag);
  }
  return out;
}

json::object config_info(const ServeOptions& options, ServedModel& model, double start_seconds) {
  const engine::Engine& engine = model.engine();
  json::object flags = options.shown_flags;
  set_decided(options, model, flags);
  return {{"flags", std::move(flags)},
          {"engine", engine_json(engine.config(), model.config())},
          {"model", model_json(model.config())},
          {"memory", memory_json(engine.memory())},
          {"start_seconds", start_seconds}};
}

}  // namespace ernie::app
