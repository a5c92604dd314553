#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

// Answers about tokens, as text: as values, ids would take several times its bytes.
namespace ernie::http {

std::string tokenize_answer(std::span<const int32_t> tokens,
                            const std::optional<std::vector<std::string>>& token_strs,
                            int max_model_len);
std::string detokenize_answer(std::string_view prompt);

}  // namespace ernie::http
