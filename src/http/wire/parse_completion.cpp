#include <fmt/format.h>

#include <utility>

#include "http/wire/parse_common.h"

namespace ernie::http {
namespace {

namespace json = boost::json;

constexpr size_t kMaxPrompts = 256;

std::optional<std::vector<int32_t>> ids_of(const json::array& items) {
  if (items.empty()) return std::nullopt;
  std::vector<int32_t> ids;
  ids.reserve(items.size());
  for (const auto& item : items) {
    if (!item.is_int64() || item.as_int64() < 0 || item.as_int64() > INT32_MAX) return std::nullopt;
    ids.push_back(static_cast<int32_t>(item.as_int64()));
  }
  return ids;
}

// A string, a list of strings, a list of token ids, or a list of lists of token ids.
void parse_prompts(FieldReader& fields, serve::CompletionRequest* request) {
  const char* expected =
      "should be a string, a list of strings, a list of token ids or a list of such lists, none of "
      "them empty";
  const json::value* prompt = fields.value("prompt");
  if (!prompt) return fields.fail("prompt", "is missing", "missing_required_parameter");
  if (prompt->is_string()) {
    if (prompt->as_string().empty()) return fields.fail("prompt", "is empty");
    request->prompts.emplace_back(std::string(prompt->as_string()));
    return;
  }
  if (!prompt->is_array() || prompt->as_array().empty()) {
    return fields.fail("prompt", fmt::format("{}, got {}", expected, describe(*prompt)));
  }
  const auto& items = prompt->as_array();
  if (items.front().is_number()) {
    auto ids = ids_of(items);
    if (!ids) return fields.fail("prompt", "should hold token ids only");
    request->prompts.emplace_back(std::move(*ids));
    return;
  }
  if (items.size() > kMaxPrompts) {
    return fields.fail("prompt", "has " + std::to_string(items.size()) + " prompts; at most " +
                                     std::to_string(kMaxPrompts) + " are allowed");
  }
  for (const auto& item : items) {
    if (item.is_string() && !item.as_string().empty() && items.front().is_string()) {
      request->prompts.emplace_back(std::string(item.as_string()));
    } else if (item.is_array() && items.front().is_array()) {
      auto ids = ids_of(item.as_array());
      if (!ids) return fields.fail("prompt", expected);
      request->prompts.emplace_back(std::move(*ids));
    } else {
      return fields.fail("prompt", expected);
    }
  }
}

}  // namespace

Result<ParsedCompletion> parse_completion(const json::object& body) {
  FieldReader fields(body);
  ParsedCompletion out;
  out.request.model = fields.string("model", 1024).value_or("");
  parse_prompts(fields, &out.request);
  out.request.echo = fields.boolean("echo").value_or(false);
  out.request.options = parse_options(fields, out.request.echo ? 0 : 1);
  out.stream = parse_stream_options(fields);
  if (auto logprobs = fields.integer("logprobs", 0, 1'000'000)) {
    out.request.options.top_logprobs = static_cast<int>(*logprobs);
  }
  if (auto logprobs = fields.integer("prompt_logprobs", 0, 1'000'000)) {
    out.request.options.prompt_logprobs = static_cast<int>(*logprobs);
  }
  if (auto best_of = fields.integer("best_of", 1, 128);
      best_of && *best_of != out.request.options.n) {
    fields.fail("best_of", "is not supported unless it equals n", "unsupported_parameter");
  }
  const json::value* suffix = fields.value("suffix");
  if (suffix && !(suffix->is_string() && suffix->as_string().empty())) {
    fields.fail("suffix", "is not supported", "unsupported_parameter");
  }
  for (const char* key :
       {"tools", "functions", "messages", "thinking", "reasoning", "reasoning_effort",
        "thinking_budget", "enable_thinking", "reasoning_max_tokens", "continue_final_message"}) {
    fields.refuse(key, "send it to /v1/chat/completions");
  }
  fields.refuse("multimodal_data", "send media through /v1/chat/completions");
  refuse_unsupported(fields);
  if (auto status = fields.status(); !status) return status.error();
  if (out.request.prompts.size() * out.request.options.n > 1024) {
    return invalid_argument("prompts x n is " +
                                std::to_string(out.request.prompts.size() * out.request.options.n) +
                                "; at most 1024 choices can be asked for at once",
                            "n");
  }
  out.unknown_fields = fields.unread_keys();
  return out;
}

}  // namespace ernie::http
