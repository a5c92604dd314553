#include "http/wire/render_tokens.h"

#include <fmt/format.h>

#include <boost/json/serialize.hpp>
#include <boost/json/string_view.hpp>
#include <iterator>

namespace ernie::http {
namespace {

std::string json_string(std::string_view text) {
  return boost::json::serialize(boost::json::string_view(text));
}

std::string ids_text(std::span<const int32_t> ids) {
  return fmt::format("[{}]", fmt::join(ids, ","));
}

}  // namespace

std::string tokenize_answer(std::span<const int32_t> tokens,
                            const std::optional<std::vector<std::string>>& token_strs,
                            int max_model_len) {
  std::string out = fmt::format(R"({{"count":{},"max_model_len":{},"tokens":{},"token_strs":)",
                                tokens.size(), max_model_len, ids_text(tokens));
  if (!token_strs) return out + "null}";
  out += '[';
  for (const std::string& text : *token_strs) {
    if (out.back() != '[') out += ',';
    out += json_string(text);
  }
  return out + "]}";
}

std::string detokenize_answer(std::string_view prompt) {
  return fmt::format(R"({{"prompt":{}}})", json_string(prompt));
}

}  // namespace ernie::http
