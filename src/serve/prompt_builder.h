#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/content_key.h"
#include "base/result.h"
#include "media/fetch.h"
#include "model/prompt.h"
#include "serve/chat_service.h"
#include "serve/media_items.h"
#include "serve/request.h"
#include "serve/task_pool.h"
#include "text/chat_template.h"

namespace ernie::serve {

// Turns a conversation into the model's input: template, media, tokens; in steps, so that no thread
// waits for a host. Numbers, kinds, sizes and tokens of all media are checked by their headers
// before any is decoded. The URLs in the request are used up. One thread at a time.
class ChatPromptBuilder {
 public:
  // All outlive the builder.
  ChatPromptBuilder(ChatRequest& request, const ChatService::Parts& parts,
                    const ServiceConfig& config);

  // The URLs of files that a media::Fetcher must get, in the order in which read() takes them.
  Result<std::vector<std::string>> begin();

  // Reads the headers of all files, then true: build(). False: `take` does not have the next file
  // yet; call again when it has.
  using TakeFetched = std::function<std::optional<Result<media::FetchedMedia>>()>;
  Result<bool> read(const TakeFetched& take, const std::atomic<bool>& cancelled);

  // Decodes the media, with the help of `decoders` several at once: of each one frame at a time,
  // which is cut into patches and dropped. Those that were seen before are left for complete(). A
  // true `cancelled` ends that early. The prompt holds its share of `config.memory` as long as it
  // lives.
  Result<std::shared_ptr<const model::Prompt>> build(const std::atomic<bool>& cancelled,
                                                     TaskPool& decoders);

  // Whether units of that prompt lack their pixels; then, once, complete() gives the same prompt
  // with all pixels.
  bool lacks_pixels() const { return !late_.empty(); }
  Result<std::shared_ptr<const model::Prompt>> complete(const std::atomic<bool>& cancelled,
                                                        TaskPool& decoders);

 private:
  Status decode(const std::vector<size_t>& items, const std::atomic<bool>& cancelled,
                TaskPool& decoders);
  Result<model::Prompt> prompt() const;
  Status count_tokens(size_t more, const std::string& param);

  ChatRequest& request_;
  const ChatService::Parts& parts_;
  const ServiceConfig& config_;
  const ContentKey cache_salt_;
  std::vector<text::PromptSegment> segments_;
  std::vector<MediaItem> items_;
  std::vector<model::PreparedMedia> media_;  // of items_
  std::vector<size_t> late_;                 // of those, the ones that were not decoded
  std::shared_ptr<Limiter::Share> share_;    // of the prompt
  size_t next_item_ = 0;
  size_t at_least_ = 0;  // tokens, from what is known so far
  size_t room_;          // bytes that files may still take
};

// The tokens of a text, in which special tokens count; at most max_model_len of them.
Result<std::vector<int32_t>> encode_text(std::string_view text, const ChatService::Parts& parts);

// A prompt of the completions API: text (special tokens in it count) or token ids.
Result<std::shared_ptr<const model::Prompt>> build_completion_prompt(
    std::variant<std::string, std::vector<int32_t>> prompt, const std::string& cache_salt,
    const ChatService::Parts& parts, const ServiceConfig& config);

}  // namespace ernie::serve
