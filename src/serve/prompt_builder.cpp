#include "serve/prompt_builder.h"

#include <utility>

#include "model/processor.h"
#include "serve/media_items.h"

namespace ernie::serve {
namespace {

Error too_long(const std::string& how_long, int max_model_len, const std::string& param) {
  return model::prompt_too_long(how_long, static_cast<size_t>(max_model_len), param);
}

// Requests without a salt share one.
ContentKey salt_key(const std::string& salt) {
  return salt.empty() ? ContentKey{} : content_key(salt.data(), salt.size());
}

void set_salt(model::Prompt& prompt, const ContentKey& salt) {
  prompt.cache_salt = salt;
  if (salt == ContentKey{}) return;
  for (model::MediaUnit& unit : prompt.media) {
    unit.hash = content_key(salt, unit.hash.words.data(), sizeof(unit.hash.words));
  }
}

// Keeps a prompt's share for as long as the prompt.
struct HeldPrompt {
  model::Prompt prompt;
  Limiter::Share share;
};

// `share` is that of its patches and grows by its tokens.
Result<std::shared_ptr<const model::Prompt>> hold(model::Prompt prompt, Limiter::Share share,
                                                  const ServiceConfig& config) {
  constexpr size_t kTokenBytes =
      sizeof(prompt.tokens[0]) + sizeof(prompt.positions[0]) + sizeof(prompt.is_vision[0]);
  if (!share.grow(prompt.tokens.size() * kTokenBytes)) return config.memory.exhausted();
  auto held = std::make_shared<HeldPrompt>(HeldPrompt{std::move(prompt), std::move(share)});
  return std::shared_ptr<const model::Prompt>(held, &held->prompt);
}

}  // namespace

ChatPromptBuilder::ChatPromptBuilder(ChatRequest& request, const ChatService::Parts& parts,
                                     const ServiceConfig& config)
    : request_(request),
      parts_(parts),
      config_(config),
      cache_salt_(salt_key(request.options.cache_salt)),
      room_(config.max_media_bytes) {}

Status ChatPromptBuilder::count_tokens(size_t more, const std::string& param) {
  at_least_ += more;
  const int max_model_len = parts_.engine->config().max_model_len;
  if (at_least_ <= static_cast<size_t>(max_model_len)) return {};
  return too_long("at least " + std::to_string(at_least_), max_model_len, param);
}

Status ChatPromptBuilder::begin() {
  auto items = collect_media(request_, parts_, config_);
  if (!items) return items.error();
  auto segments = parts_.chat_template->render(request_.chat);
  if (!segments) return segments.error();
  size_t tokens = 0;
  for (const auto& segment : *segments) tokens += parts_.tokenizer->min_tokens(segment.text);
  items_ = std::move(*items);
  segments_ = std::move(*segments);
  return count_tokens(tokens, "messages");
}

Result<std::optional<std::string>> ChatPromptBuilder::next_url(const std::atomic<bool>& cancelled) {
  if (!segments_) {
    if (auto s = begin(); !s) return s.error();
  }
  for (; next_item_ < items_.size(); ++next_item_) {
    MediaItem& item = items_[next_item_];
    while (const std::string* url = serve::next_url(item)) {
      if (!fetched_ && media::is_http_url(*url)) return std::optional(*url);
      auto file =
          fetched_ ? std::move(*fetched_) : media::read_media(*url, config_.fetch, config_.memory);
      fetched_.reset();
      auto added = add_media(item, std::move(file), parts_, config_, cache_salt_, request_.bytes,
                             room_, cancelled);
      if (!added) return added.error();
    }
    if (auto s = count_tokens(item.cost.tokens, item.param); !s) return s.error();
  }
  return std::optional<std::string>();
}

void ChatPromptBuilder::put(Result<media::FetchedMedia> fetched) { fetched_ = std::move(fetched); }

Result<std::shared_ptr<const model::Prompt>> ChatPromptBuilder::build(
    const std::atomic<bool>& cancelled) {
  size_t patch_bytes = 0;
  for (const MediaItem& item : items_) patch_bytes += item.cost.patch_bytes;
  auto share = config_.memory.held->acquire(patch_bytes);
  if (!share) return config_.memory.exhausted();
  std::vector<model::PreparedMedia> media;
  for (MediaItem& item : items_) {
    auto prepared = decode_media(std::move(item), parts_, config_, cancelled);
    if (!prepared) return prepared.error();
    media.push_back(std::move(*prepared));
  }

  auto prompt = parts_.processor->process(*segments_, media, parts_.engine->config().max_model_len);
  if (!prompt) return prompt.error();
  set_salt(*prompt, cache_salt_);
  return hold(std::move(*prompt), std::move(*share), config_);
}

Result<std::vector<int32_t>> encode_text(std::string_view text, const ChatService::Parts& parts) {
  const int max_model_len = parts.engine->config().max_model_len;
  const auto limit = static_cast<size_t>(max_model_len);
  const size_t at_least = parts.tokenizer->min_tokens(text);
  if (at_least > limit) {
    return too_long("at least " + std::to_string(at_least), max_model_len, "prompt");
  }
  auto tokens = parts.tokenizer->encode(text, {.parse_special = true, .max_tokens = limit + 1});
  if (tokens.size() > limit) {
    return too_long("at least " + std::to_string(tokens.size()), max_model_len, "prompt");
  }
  return tokens;
}

Result<std::shared_ptr<const model::Prompt>> build_completion_prompt(
    std::variant<std::string, std::vector<int32_t>> prompt, const std::string& cache_salt,
    const ChatService::Parts& parts, const ServiceConfig& config) {
  const int max_model_len = parts.engine->config().max_model_len;
  std::vector<int32_t> tokens;
  if (const auto* text = std::get_if<std::string>(&prompt)) {
    auto encoded = encode_text(*text, parts);
    if (!encoded) return encoded.error();
    tokens = std::move(*encoded);
  } else {
    tokens = std::move(std::get<std::vector<int32_t>>(prompt));
  }
  if (tokens.size() >= static_cast<size_t>(max_model_len)) {
    return too_long(std::to_string(tokens.size()), max_model_len, "prompt");
  }
  auto out = parts.processor->from_tokens(std::move(tokens));
  if (!out) return out.error();
  set_salt(*out, salt_key(cache_salt));
  return hold(std::move(*out), *config.memory.held->acquire(0), config);
}

}  // namespace ernie::serve
