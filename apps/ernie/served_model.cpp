#include "served_model.h"

#include <limits>

#include "base/check.h"
#include "base/log.h"
#include "devices.h"
#include "engine_metrics.h"

namespace ernie::app {
namespace {

std::shared_ptr<const text::ChatTemplate> make_template(const ServeOptions& options,
                                                        const model::ModelConfig& config,
                                                        const std::string& folder) {
  if (!options.chat_template.empty()) {
    auto given = text::ChatTemplate::from_jinja(options.chat_template);
    if (!given) throw StartError("--chat-template: " + given.error().message);
    return std::move(*given);
  }
  auto own = take(text::ChatTemplate::from_checkpoint(folder));
  if (own) return own;
  return text::ChatTemplate::builtin(config.vision ? text::BuiltinTemplate::kErnieVl
                                                   : text::BuiltinTemplate::kErnieText);
}

void use_template_syntax(const text::ChatTemplate& chat, text::AnswerSyntax& syntax) {
  const std::string parser = chat.tool_parser();
  if (parser.empty()) return;
  const Status known = text::set_tool_parser(parser, "tool_call_parser", syntax);
  CHECK(known.ok(), known.error().message);
}

// -1 takes what the device gives.
void check_limits(const ServeOptions& options, const ops::SamplerLimits& limits) {
  const int wanted = options.service.max_logprobs;
  if (wanted <= limits.top_logprobs || wanted == std::numeric_limits<int>::max()) return;
  throw StartError("--max-logprobs is " + std::to_string(wanted) +
                   ", but this device gives at most " + std::to_string(limits.top_logprobs) +
                   "; lower it, or use -1 for the most");
}

}  // namespace

ServedModel::ServedModel(const ServeOptions& options, StartClock& clock, obs::Metrics& metrics,
                         std::function<void(const std::string&)> on_fatal) {
  clock.begin("find the model");
  engine::EngineConfig engine_config = options.engine;
  engine_config.model_dir = take(model::resolve_model(options.model));
  const std::string& folder = engine_config.model_dir;

  clock.begin("read configuration");
  config_ = take(model::load_config(folder));
  const model::ModelConfig& config = config_;
  processor_ = take(model::load_processor_options(config, folder, options.picture_limits));
  engine_config.max_media_tokens = model::max_media_tokens(config, processor_);
  auto tokenizer = std::make_shared<const text::Tokenizer>(take(text::Tokenizer::load(folder)));
  serve::ChatService::Parts parts{
      .tokenizer = tokenizer,
      .chat_template = make_template(options, config, folder),
      // Served without vision experts, marks of pictures in a prompt are text.
      .processor = take(model::Processor::create(
          engine_config.text_only ? model::without_vision(config) : config, tokenizer, processor_)),
      .defaults = take(serve::load_generation_defaults(folder, *tokenizer)),
      .vocab_size = config.vocab_size};
  parts.media_decoder =
      std::make_shared<media::MediaDecoder>(media::MediaDecoder::default_program());
  if (config.vision && !engine_config.text_only && !parts.media_decoder->is_there()) {
    log::warn(
        "video files and pictures in BMP, TIFF, AVIF and HEIC are refused: there is no {} that can "
        "be run",
        media::MediaDecoder::default_program());
  }
  if (options.media_cache_bytes > 0) {
    parts.media_cache = std::make_shared<serve::MediaCache>(options.media_cache_bytes);
  }
  parts.on_finished = [&metrics](const serve::RequestRecord& record) {
    metrics.record_finished(to_timings(record));
  };

  clock.begin("plan memory");
  engine_config.on_fatal = std::move(on_fatal);
  engine_config.on_load_progress = load_progress(clock);
  const Devices devices = choose_devices(options, engine_config);
  check_limits(options, devices.sizing.sampler_limits());
  engine_ = engine::Engine::start(config, engine_config, devices.make_backend,
                                  devices.make_communicators);
  clock.end();

  parts.engine = engine_.get();
  serve::ServiceConfig service = options.service;
  if (options.tool_call_parser.empty()) {
    use_template_syntax(*parts.chat_template, service.syntax);
  }
  service_ = serve::ChatService::create(std::move(parts), std::move(service));
}

}  // namespace ernie::app
