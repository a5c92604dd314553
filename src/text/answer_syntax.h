#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "text/tokenizer.h"

namespace ernie::text {

// The tags that models of this family write around the parts of an answer.
inline constexpr std::string_view kThinkBegin = "<think>";
inline constexpr std::string_view kThinkEnd = "</think>";
inline constexpr std::string_view kResponseBegin = "<response>";
inline constexpr std::string_view kResponseEnd = "</response>";
inline constexpr std::string_view kCallBegin = "<tool_call>";
inline constexpr std::string_view kCallEnd = "</tool_call>";

// How a model writes its answers.
struct AnswerSyntax {
  enum class Thinking {
    kNone,   // the answer is plain text
    kShown,  // thinking is content, between its tags
    kSplit,  // thinking is reasoning, which ends at </think>
  };
  Thinking thinking = Thinking::kNone;
  // The content may stand between <response> and </response>; newlines next to tags belong to
  // neither side.
  bool response_tags = false;
  // A tool call counts only if no text stands before it.
  bool calls_first = false;
};

// Names of FastDeploy's and vLLM's parsers for this family. `param` names the field or flag in the
// error for another name, which lists the known ones.
//   reasoning: ernie-45-vl, ernie-45-vl-thinking, ernie-x1 (with response tags)
//   tools:     ernie-45-vl-thinking (calls come first), ernie-x1, ernie-45
Status set_reasoning_parser(std::string_view name, std::string_view param, AnswerSyntax& syntax);
Status set_tool_parser(std::string_view name, std::string_view param, AnswerSyntax& syntax);

// Whether a prompt leaves thinking open: its last think tag is <think>. Tags are compared by id; by
// text only if the vocabulary has no ids for them.
bool opens_thinking(const Tokenizer& tokenizer, std::span<const int32_t> prompt);

}  // namespace ernie::text
