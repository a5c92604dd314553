#include "text/answer_syntax.h"

#include <algorithm>
#include <array>

namespace ernie::text {
namespace {

struct Named {
  std::string_view name;
  bool variant;
};

// The variant of the reasoning parsers is response_tags, that of the tool parsers calls_first.
constexpr std::array<Named, 3> kReasoningParsers = {
    {{"ernie-45-vl", false}, {"ernie-45-vl-thinking", false}, {"ernie-x1", true}}};
constexpr std::array<Named, 3> kToolParsers = {
    {{"ernie-45-vl-thinking", true}, {"ernie-x1", false}, {"ernie-45", false}}};

Result<bool> find(const std::array<Named, 3>& parsers, std::string_view kind, std::string_view name,
                  std::string_view param) {
  std::string known;
  for (const Named& parser : parsers) {
    if (parser.name == name) return parser.variant;
    known += (known.empty() ? "" : ", ") + std::string(parser.name);
  }
  return invalid_argument(std::string(param) + ": expected the name of a " + std::string(kind) +
                              " parser, one of: " + known + "; found \"" + std::string(name) + "\"",
                          std::string(param));
}

}  // namespace

Status set_reasoning_parser(std::string_view name, std::string_view param, AnswerSyntax& syntax) {
  const Result<bool> response_tags = find(kReasoningParsers, "reasoning", name, param);
  if (!response_tags) return response_tags.error();
  syntax.thinking = AnswerSyntax::Thinking::kSplit;
  syntax.response_tags = *response_tags;
  return {};
}

Status set_tool_parser(std::string_view name, std::string_view param, AnswerSyntax& syntax) {
  const Result<bool> calls_first = find(kToolParsers, "tool call", name, param);
  if (!calls_first) return calls_first.error();
  syntax.calls_first = *calls_first;
  return {};
}

bool opens_thinking(const Tokenizer& tokenizer, std::span<const int32_t> prompt) {
  const auto start = tokenizer.think_start_id();
  const auto end = tokenizer.think_end_id();
  if (start && end) {
    const auto last = std::find_if(prompt.rbegin(), prompt.rend(),
                                   [&](int32_t id) { return id == *start || id == *end; });
    return last != prompt.rend() && *last == *start;
  }
  const std::string text = tokenizer.decode(prompt, /*skip_special=*/false);
  const size_t open = text.rfind(kThinkBegin);
  const size_t close = text.rfind(kThinkEnd);
  return open != std::string::npos && (close == std::string::npos || open > close);
}

}  // namespace ernie::text
