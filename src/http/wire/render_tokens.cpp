#include "http/wire/render_tokens.h"

#include <fmt/format.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/string_view.hpp>
#include <iterator>

namespace ernie::http {
namespace {

namespace json = boost::json;

std::string json_string(std::string_view text) { return json::serialize(json::string_view(text)); }

std::string ids_text(std::span<const int32_t> ids) {
  return fmt::format("[{}]", fmt::join(ids, ","));
}

std::string hex(const ContentKey& key) { return fmt::format("{:016x}", fmt::join(key.words, "")); }

json::object media_json(const serve::RenderedMedia& item) {
  return {{"kind", item.is_video ? "video" : "image"},
          {"hash", hex(item.hash)},
          {"begin", item.begin},
          {"tokens", item.tokens},
          {"grid", {{"frames", item.frames}, {"height", item.height}, {"width", item.width}}}};
}

// The members of one prompt, without braces.
std::string prompt_members(const serve::RenderedPrompt& prompt, int max_model_len) {
  json::array media;
  for (const serve::RenderedMedia& item : prompt.media) media.push_back(media_json(item));
  return fmt::format(
      R"("object":"prompt","prompt":{},"token_ids":{},"media":{},"prompt_tokens":{},)"
      R"("max_tokens":{},"max_model_len":{})",
      json_string(prompt.text), ids_text(prompt.prompt->tokens), json::serialize(media),
      prompt.prompt->tokens.size(), prompt.max_tokens, max_model_len);
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

std::string tokenizer_info(const serve::SpecialTokens& tokens, std::string_view chat_template,
                           int vocab_size) {
  const auto or_null = [](std::string_view text) {
    return text.empty() ? json::value(nullptr) : json::value(text);
  };
  return json::serialize(json::object{{"bos_token", or_null(tokens.bos)},
                                      {"eos_token", or_null(tokens.eos)},
                                      {"pad_token", or_null(tokens.pad)},
                                      {"unk_token", or_null(tokens.unk)},
                                      {"cls_token", or_null(tokens.cls)},
                                      {"sep_token", or_null(tokens.sep)},
                                      {"chat_template", or_null(chat_template)},
                                      {"vocab_size", vocab_size}});
}

std::string detokenize_answer(std::string_view prompt) {
  return fmt::format(R"({{"prompt":{}}})", json_string(prompt));
}

std::string rendered_chat(const serve::RenderedPrompt& prompt, int max_model_len) {
  return '{' + prompt_members(prompt, max_model_len) + '}';
}

std::string rendered_completion(const std::vector<serve::RenderedPrompt>& prompts,
                                int max_model_len) {
  std::string out = R"({"object":"list","data":[)";
  size_t total = 0;
  for (size_t i = 0; i < prompts.size(); ++i) {
    out += fmt::format(R"({}{{"index":{},)", i ? "," : "", i);
    out += prompt_members(prompts[i], max_model_len) + '}';
    total += prompts[i].prompt->tokens.size();
  }
  return out + fmt::format(R"(],"prompt_tokens":{}}})", total);
}

}  // namespace ernie::http
