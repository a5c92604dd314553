#include "text/reasoning_parser.h"

#include <algorithm>

namespace ernie::text {
namespace {

constexpr std::string_view kName = "ernie-45-vl";
constexpr std::string_view kStart = "<think>";
constexpr std::string_view kEnd = "</think>";

// Whether the last tag of the prompt is an open <think>.
bool prompt_opens_reasoning(const Tokenizer& tokenizer, std::span<const int32_t> prompt) {
  const auto start = tokenizer.think_start_id();
  const auto end = tokenizer.think_end_id();
  if (start && end) {
    const auto last = std::find_if(prompt.rbegin(), prompt.rend(),
                                   [&](int32_t id) { return id == *start || id == *end; });
    return last != prompt.rend() && *last == *start;
  }
  const std::string text = tokenizer.decode(prompt, /*skip_special=*/false);
  const size_t open = text.rfind(kStart);
  const size_t close = text.rfind(kEnd);
  return open != std::string::npos && (close == std::string::npos || open > close);
}

}  // namespace

Status ReasoningParser::check_name(std::string_view name, std::string_view param) {
  if (name == kName) return {};
  return invalid_argument(std::string(param) +
                              ": expected the name of a reasoning parser, one of: " +
                              std::string(kName) + "; found \"" + std::string(name) + "\"",
                          std::string(param));
}

Result<ReasoningParser> ReasoningParser::create(std::string_view name, const Tokenizer& tokenizer,
                                                std::span<const int32_t> prompt_ids) {
  if (Status known = check_name(name); !known) return known.error();
  const bool has_ids = tokenizer.think_start_id() && tokenizer.think_end_id();
  return ReasoningParser(has_ids ? tokenizer.think_end_id() : std::nullopt,
                         prompt_opens_reasoning(tokenizer, prompt_ids));
}

ReasoningParser::ReasoningParser(std::optional<int32_t> think_end_id, bool reasoning)
    : think_end_id_(think_end_id), reasoning_(reasoning), end_matcher_({std::string(kEnd)}) {}

ReasoningParser::Delta ReasoningParser::push(int32_t id, std::string_view text) {
  if (!reasoning_) return {{}, trim_content(text)};
  if (!think_end_id_) {
    StopMatcher::Output output = end_matcher_.push(text);
    if (!output.matched) return {std::move(output.text), {}};
    reasoning_ = false;
    trimming_ = true;
    return {std::move(output.text), trim_content(output.rest)};
  }
  if (id != *think_end_id_) return {std::string(text), {}};
  reasoning_ = false;
  trimming_ = true;
  // Before the tag's own text (absent when special tokens are skipped) may come what the stream
  // held back of earlier tokens.
  if (text.ends_with(kEnd)) text.remove_suffix(kEnd.size());
  return {std::string(text), {}};
}

ReasoningParser::Delta ReasoningParser::flush(std::string_view text) {
  if (!reasoning_) return {{}, trim_content(text)};
  if (think_end_id_) return {std::string(text), {}};
  StopMatcher::Output output = end_matcher_.push(text);
  return {output.text + end_matcher_.flush(), {}};
}

std::string ReasoningParser::trim_content(std::string_view text) {
  if (trimming_) {
    const size_t first = text.find_first_not_of('\n');
    text.remove_prefix(std::min(first, text.size()));
    trimming_ = text.empty();
  }
  return std::string(text);
}

}  // namespace ernie::text
