#include "engine/request_check.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "sched/scheduler.h"

namespace ernie::engine {
namespace {

Status check_media(const model::Prompt& prompt, const model::ModelConfig& model_config,
                   const model::StepLimits& limits) {
  if (!prompt.media.empty() && !model_config.vision) {
    return invalid_argument("this model takes text only, but the request holds pictures or videos",
                            "messages", "unsupported_parameter");
  }
  for (const model::MediaUnit& unit : prompt.media) {
    const int64_t patches =
        int64_t{unit.patches->frames} * unit.patches->height * unit.patches->width;
    if (patches > limits.max_media_patches) {
      return invalid_argument(
          fmt::format("{} {} patches, but this server takes at most {}",
                      unit.is_video ? "two frames of a video have" : "a picture has", patches,
                      limits.max_media_patches),
          "messages", unit.is_video ? "video_too_large" : "image_too_large");
    }
  }
  return {};
}

// A device may have no room for more: what gets past here would end the process.
Status check_draw(const SamplingParams& sampling, const ops::SamplerLimits& limits) {
  const auto check = [](const char* param, size_t wanted, int limit) -> Status {
    if (wanted <= static_cast<size_t>(limit)) return {};
    return invalid_argument(
        fmt::format("{} holds or asks for {} tokens, but the device gives at most {}", param,
                    wanted, limit),
        param);
  };
  Status status =
      check("top_logprobs", std::max(sampling.options.top_logprobs, 0), limits.top_logprobs);
  if (status)
    status = check("prompt_logprobs", std::max(sampling.prompt_logprobs, 0), limits.top_logprobs);
  if (status) status = check("logit_bias", sampling.logit_bias.size(), limits.logit_biases);
  if (status)
    status = check(
        "bad_words",
        sampling.bad_token_ids.size() + sampling.bad_words.size() + sampling.stop_token_ids.size(),
        limits.banned_tokens);
  return status;
}

}  // namespace

int max_generated(const GenerationRequest& request, const EngineConfig& config) {
  const auto prompt = static_cast<int>(request.prompt->tokens.size());
  return std::min(request.sampling.max_tokens, config.max_model_len - prompt);
}

Status check_request(const GenerationRequest& request, const EngineConfig& config,
                     const model::ModelConfig& model_config, const model::StepLimits& limits,
                     const sched::SchedulerConfig& scheduler, const ops::SamplerLimits& sampler) {
  CHECK(request.prompt && request.sink, "a request without prompt or sink");
  const model::Prompt& prompt = *request.prompt;
  const size_t tokens = prompt.tokens.size();
  CHECK(prompt.positions.size() == tokens && prompt.is_vision.size() == tokens,
        "the arrays of a prompt differ in length");
  if (tokens == 0) return invalid_argument("the prompt is empty", "messages");
  if (tokens >= static_cast<size_t>(config.max_model_len)) {
    return invalid_argument(
        fmt::format("the prompt has {} tokens, but the context holds {} with the answer; shorten "
                    "the prompt",
                    tokens, config.max_model_len),
        "messages", "context_length_exceeded");
  }
  if (request.sampling.max_tokens < 0) {
    return invalid_argument(
        fmt::format("max_tokens must be at least 0, got {}", request.sampling.max_tokens),
        "max_tokens");
  }
  if (Status media = check_media(prompt, model_config, limits); !media) return media;
  if (Status draw = check_draw(request.sampling, sampler); !draw) return draw;
  const auto length = static_cast<int64_t>(tokens);
  const int most = std::max(max_generated(request, config), 1);
  return sched::Scheduler::check_fits(scheduler, length, length + most);
}

}  // namespace ernie::engine
