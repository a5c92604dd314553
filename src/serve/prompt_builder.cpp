#include "serve/prompt_builder.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <iterator>
#include <latch>
#include <utility>

#include "base/failure.h"
#include "base/log.h"
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
  std::shared_ptr<const Limiter::Share> share;
};

std::shared_ptr<const model::Prompt> hold(model::Prompt prompt,
                                          std::shared_ptr<const Limiter::Share> share) {
  auto held = std::make_shared<HeldPrompt>(HeldPrompt{std::move(prompt), std::move(share)});
  return {held, &held->prompt};
}

size_t token_bytes(const model::Prompt& prompt) {
  return prompt.tokens.size() *
         (sizeof(prompt.tokens[0]) + sizeof(prompt.positions[0]) + sizeof(prompt.is_vision[0]));
}

// The media of one request while they are decoded. Those who help may come late, after its end.
class DecodeWork {
 public:
  DecodeWork(std::vector<MediaItem> items, const ChatService::Parts& parts,
             const ServiceConfig& config, const std::atomic<bool>& cancelled, std::string id)
      : items_(std::move(items)),
        results_(items_.size()),
        undone_(static_cast<ptrdiff_t>(items_.size())),
        parts_(parts),
        config_(config),
        cancelled_(cancelled),
        id_(std::move(id)) {}

  size_t size() const { return results_.size(); }

  // Decodes items that nobody has taken, until there are none. After a failure they are only
  // dropped.
  void run() {
    for (size_t i = next_++; i < size(); i = next_++) {
      MediaItem item = std::move(items_[i]);
      if (!has_failed_) results_[i] = decode(std::move(item));
      if (!results_[i] || !*results_[i]) has_failed_ = true;
      log_progress(++done_);
      undone_.count_down();
    }
  }

  // The results in order, or the first failure.
  Result<std::vector<model::PreparedMedia>> wait() {
    undone_.wait();
    for (const auto& result : results_) {
      if (result && !*result) return result->error();
    }
    std::vector<model::PreparedMedia> out;
    for (auto& result : results_) out.push_back(std::move(**result));
    return out;
  }

 private:
  // Every few seconds, while many are decoded.
  void log_progress(size_t done) {
    constexpr std::chrono::seconds kEvery{5};
    auto next = next_progress_.load();
    const auto now = std::chrono::steady_clock::now();
    if (now < next || !next_progress_.compare_exchange_strong(next, now + kEvery)) return;
    log::info("request {}: {} of its {} pictures and videos are decoded", id_, done, size());
  }

  Result<model::PreparedMedia> decode(MediaItem item) const {
    try {
      return decode_media(std::move(item), parts_, config_, cancelled_);
    } catch (const std::exception& e) {
      return failure_of_request(e);
    }
  }

  std::vector<MediaItem> items_;
  std::vector<std::optional<Result<model::PreparedMedia>>> results_;
  std::atomic<size_t> next_{0};
  std::atomic<bool> has_failed_{false};
  std::latch undone_;
  const ChatService::Parts& parts_;
  const ServiceConfig& config_;
  const std::atomic<bool>& cancelled_;
  const std::string id_;  // of the request
  std::atomic<size_t> done_{0};
  std::atomic<std::chrono::steady_clock::time_point> next_progress_{
      std::chrono::steady_clock::now() + std::chrono::seconds(5)};
};

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

Result<std::vector<std::string>> ChatPromptBuilder::begin() {
  auto items = collect_media(request_, parts_, config_, cache_salt_);
  if (!items) return items.error();
  auto segments = parts_.chat_template->render(request_.chat);
  if (!segments) return segments.error();
  size_t tokens = 0;
  for (const auto& segment : *segments) tokens += parts_.tokenizer->min_tokens(segment.text);
  items_ = std::move(*items);
  segments_ = std::move(*segments);
  if (auto s = count_tokens(tokens, "messages"); !s) return s.error();
  std::vector<std::string> urls;
  for (const MediaItem& item : items_) {
    std::ranges::copy_if(item.part->urls, std::back_inserter(urls), media::is_http_url);
  }
  return urls;
}

Result<bool> ChatPromptBuilder::read(const TakeFetched& take, const std::atomic<bool>& cancelled) {
  for (; next_item_ < items_.size(); ++next_item_) {
    MediaItem& item = items_[next_item_];
    while (const std::string* url = serve::next_url(item)) {
      auto file = media::is_http_url(*url)
                      ? take()
                      : std::optional(media::read_media(*url, config_.fetch, config_.memory));
      if (!file) return false;
      auto added =
          add_media(item, std::move(*file), parts_, config_, request_.bytes, room_, cancelled);
      if (!added) return added.error();
    }
    if (auto s = count_tokens(item.cost.tokens, item.param); !s) return s.error();
  }
  return true;
}

Status ChatPromptBuilder::decode(const std::vector<size_t>& items,
                                 const std::atomic<bool>& cancelled, TaskPool& decoders) {
  std::vector<MediaItem> files;
  files.reserve(items.size());
  for (const size_t i : items) files.push_back(std::move(items_[i]));
  const auto work = std::make_shared<DecodeWork>(std::move(files), parts_, config_, cancelled,
                                                 request_.options.request_id);
  const auto helpers = std::min(work->size(), static_cast<size_t>(config_.decoder_threads) + 1);
  for (size_t i = 1; i < helpers; ++i) {
    decoders.post(request_.options.client, [work] { work->run(); });
  }
  work->run();
  auto decoded = work->wait();
  if (!decoded) return decoded.error();
  for (size_t i = 0; i < items.size(); ++i) media_[items[i]] = std::move((*decoded)[i]);
  return {};
}

Result<model::Prompt> ChatPromptBuilder::prompt() const {
  auto prompt = parts_.processor->process(segments_, media_, parts_.engine->config().max_model_len);
  if (prompt) set_salt(*prompt, cache_salt_);
  return prompt;
}

Result<std::shared_ptr<const model::Prompt>> ChatPromptBuilder::build(
    const std::atomic<bool>& cancelled, TaskPool& decoders) {
  size_t patch_bytes = 0;
  for (const MediaItem& item : items_) patch_bytes += item.cost.patch_bytes;
  auto share = config_.memory.held->acquire(patch_bytes);
  if (!share) return config_.memory.exhausted();
  share_ = std::make_shared<Limiter::Share>(std::move(*share));
  media_.resize(items_.size());
  std::vector<size_t> unseen;
  for (size_t i = 0; i < items_.size(); ++i) {
    auto record = items_[i].known ? std::nullopt : find_record(items_[i], parts_);
    (record ? late_ : unseen).push_back(i);
    if (record) media_[i] = std::move(*record);
  }
  if (auto s = decode(unseen, cancelled, decoders); !s) return s.error();
  auto built = prompt();
  if (!built) return built.error();
  // Its tokens stand in memory twice when it is completed, for which there must be room then.
  if (!share_->grow(token_bytes(*built) * (lacks_pixels() ? 2 : 1))) {
    return config_.memory.exhausted();
  }
  return hold(std::move(*built), share_);
}

Result<std::shared_ptr<const model::Prompt>> ChatPromptBuilder::complete(
    const std::atomic<bool>& cancelled, TaskPool& decoders) {
  // The scheduler knows the prompt by these; a broken video may not be decoded alike twice.
  std::vector<std::vector<ContentKey>> hashes;
  hashes.reserve(late_.size());
  for (const size_t i : late_) hashes.push_back(media_[i].hashes);
  if (auto s = decode(late_, cancelled, decoders); !s) return s.error();
  for (size_t i = 0; i < late_.size(); ++i) media_[late_[i]].hashes = std::move(hashes[i]);
  auto built = prompt();
  if (!built) return built.error();
  return hold(std::move(*built), share_);
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
  auto share = std::make_shared<Limiter::Share>(*config.memory.held->acquire(0));
  if (!share->grow(token_bytes(*out))) return config.memory.exhausted();
  return hold(std::move(*out), std::move(share));
}

}  // namespace ernie::serve
