#pragma once

#include <atomic>
#include <memory>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/prompt.h"
#include "serve/chat_service.h"
#include "serve/request.h"

namespace ernie::serve {

// Turns a conversation into the model's input: template, media, tokens. Blocks while media is
// fetched; a true `cancelled` ends that early. Numbers, kinds, sizes and tokens of all media are
// checked by their headers before any is decoded; then one frame at a time is decoded, cut into
// patches and dropped. The URLs in `request` are used up. A prompt holds its share of
// `config.memory` as long as it lives.
Result<std::shared_ptr<const model::Prompt>> build_chat_prompt(ChatRequest& request,
                                                               const ChatService::Parts& parts,
                                                               const ServiceConfig& config,
                                                               const std::atomic<bool>& cancelled);

// The tokens of a text, in which special tokens count; at most max_model_len of them.
Result<std::vector<int32_t>> encode_text(std::string_view text, const ChatService::Parts& parts);

// A prompt of the completions API: text (special tokens in it count) or token ids.
Result<std::shared_ptr<const model::Prompt>> build_completion_prompt(
    std::variant<std::string, std::vector<int32_t>> prompt, const std::string& cache_salt,
    const ChatService::Parts& parts, const ServiceConfig& config);

}  // namespace ernie::serve
