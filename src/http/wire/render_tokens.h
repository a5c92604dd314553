#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "serve/chat_service.h"
#include "serve/rendered_prompt.h"

// Answers about tokens, as text: as values, ids would take several times its bytes.
namespace ernie::http {

std::string tokenize_answer(std::span<const int32_t> tokens,
                            const std::optional<std::vector<std::string>>& token_strs,
                            int max_model_len);
std::string tokenizer_info(const serve::SpecialTokens& tokens, std::string_view chat_template,
                           int vocab_size);
std::string detokenize_answer(std::string_view prompt);

// Prompts that are shown and not run: one of a chat, a list of those of a completion request.
std::string rendered_chat(const serve::RenderedPrompt& prompt, int max_model_len);
std::string rendered_completion(const std::vector<serve::RenderedPrompt>& prompts,
                                int max_model_len);

}  // namespace ernie::http
