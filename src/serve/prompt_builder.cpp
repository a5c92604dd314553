#include "serve/prompt_builder.h"

#include <utility>

namespace ernie::serve {
namespace {

Error too_long(const std::string& how_long, int max_model_len, const std::string& param) {
  return invalid_argument(
      "the prompt has " + how_long + " tokens, but prompt and answer together may have " +
          std::to_string(max_model_len) + " (--max-model-len); shorten the prompt",
      param, "context_length_exceeded");
}

struct Slot {
  const ContentPart* part;
  std::string param;  // for error messages
};

Result<std::vector<Slot>> collect_media(const ChatRequest& request, const ServiceConfig& config) {
  std::vector<Slot> slots;
  int images = 0;
  int videos = 0;
  for (size_t m = 0; m < request.messages.size(); ++m) {
    const auto& content = request.messages[m].content;
    for (size_t p = 0; p < content.size(); ++p) {
      if (content[p].kind == PartKind::kText) continue;
      slots.push_back(
          {&content[p], "messages[" + std::to_string(m) + "].content[" + std::to_string(p) + "]"});
      (content[p].kind == PartKind::kImage ? images : videos)++;
    }
  }
  auto check = [](const char* what, int count, int limit) -> Status {
    if (count <= limit) return {};
    return invalid_argument("the prompt has " + std::to_string(count) + " " + what +
                                "s, but at most " + std::to_string(limit) +
                                " are allowed (--limit-mm-per-prompt)",
                            "messages", "too_many_media");
  };
  if (auto s = check("image", images, config.max_images_per_prompt); !s) return s.error();
  if (auto s = check("video", videos, config.max_videos_per_prompt); !s) return s.error();
  return slots;
}

Result<model::PreparedMedia> prepare(const Slot& slot, const ChatService::Parts& parts,
                                     const ServiceConfig& config,
                                     const std::atomic<bool>& cancelled) {
  const auto at_slot = [&](Error error) {
    if (error.param.empty()) error.param = slot.param;
    return error;
  };
  const bool is_video = slot.part->kind == PartKind::kVideo;
  // A video is not kept: all its files would have to be held to see whether it is known.
  MediaCache* cache = is_video ? nullptr : parts.media_cache.get();
  Hash128 key;
  std::vector<std::vector<uint8_t>> files;
  for (const std::string& url : slot.part->urls) {
    auto bytes = media::fetch_media(url, config.fetch, &cancelled);
    if (!bytes) return at_slot(bytes.error());
    if (cache) {
      key = cache->key_of(*bytes);
      if (auto known = cache->find(key)) return std::move(*known);
    }
    files.push_back(std::move(*bytes));
  }
  model::MediaShape shape{.is_video = is_video, .frames = files.size()};
  if (!files.empty()) {
    const auto first = media::probe_image(files.front(), config.decode);
    if (!first) return at_slot(first.error());
    shape.height = first->height;
    shape.width = first->width;
  }
  auto prepared = parts.processor->prepare(
      shape, [&](size_t i) { return media::decode_image(files[i], config.decode); });
  if (!prepared) return at_slot(prepared.error());
  if (cache) cache->insert(key, *prepared);
  return prepared;
}

text::ChatInput template_input(const ChatRequest& request) {
  text::ChatInput input;
  input.enable_thinking = request.enable_thinking;
  input.template_kwargs = request.template_kwargs;
  for (const Message& message : request.messages) {
    text::ChatMessage out;
    out.role = message.role;
    out.reasoning_content = message.reasoning_content;
    for (const ContentPart& part : message.content) {
      const auto kind = part.kind == PartKind::kText    ? text::PartKind::kText
                        : part.kind == PartKind::kImage ? text::PartKind::kImage
                                                        : text::PartKind::kVideo;
      out.parts.push_back({kind, part.text});
    }
    input.messages.push_back(std::move(out));
  }
  return input;
}

}  // namespace

Result<std::shared_ptr<const model::Prompt>> build_chat_prompt(const ChatRequest& request,
                                                               const ChatService::Parts& parts,
                                                               const ServiceConfig& config,
                                                               const std::atomic<bool>& cancelled) {
  const int max_model_len = parts.engine->config().max_model_len;
  auto slots = collect_media(request, config);
  if (!slots) return slots.error();

  auto segments = parts.chat_template->render(template_input(request));
  if (!segments) return segments.error();
  size_t at_least = 0;
  for (const auto& segment : *segments) at_least += parts.tokenizer->min_tokens(segment.text);
  if (at_least > static_cast<size_t>(max_model_len)) {
    return too_long("at least " + std::to_string(at_least), max_model_len, "messages");
  }

  std::vector<model::PreparedMedia> media;
  for (const Slot& slot : *slots) {
    auto prepared = prepare(slot, parts, config, cancelled);
    if (!prepared) return prepared.error();
    at_least += prepared->tokens;
    if (at_least > static_cast<size_t>(max_model_len)) {
      return too_long("at least " + std::to_string(at_least), max_model_len, slot.param);
    }
    media.push_back(std::move(*prepared));
  }

  auto prompt = parts.processor->process(*segments, media, max_model_len);
  if (!prompt) return prompt.error();
  return std::make_shared<const model::Prompt>(std::move(*prompt));
}

Result<std::shared_ptr<const model::Prompt>> build_completion_prompt(
    const std::variant<std::string, std::vector<int32_t>>& prompt,
    const ChatService::Parts& parts) {
  const int max_model_len = parts.engine->config().max_model_len;
  std::vector<int32_t> tokens;
  if (const auto* text = std::get_if<std::string>(&prompt)) {
    const size_t at_least = parts.tokenizer->min_tokens(*text);
    if (at_least > static_cast<size_t>(max_model_len)) {
      return too_long("at least " + std::to_string(at_least), max_model_len, "prompt");
    }
    tokens = parts.tokenizer->encode(
        *text, {.parse_special = true, .max_tokens = static_cast<size_t>(max_model_len) + 1});
  } else {
    tokens = std::get<std::vector<int32_t>>(prompt);
  }
  if (tokens.size() >= static_cast<size_t>(max_model_len)) {
    return too_long(std::to_string(tokens.size()), max_model_len, "prompt");
  }
  auto out = parts.processor->from_tokens(std::move(tokens));
  if (!out) return out.error();
  return std::make_shared<const model::Prompt>(std::move(*out));
}

}  // namespace ernie::serve
