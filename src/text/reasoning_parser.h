#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "text/stop_matcher.h"
#include "text/tokenizer.h"

namespace ernie::text {

// Splits a model's output into reasoning (before </think>) and content (after it), as FastDeploy's
// "ernie-45-vl" does. The prompt decides where it starts: after an open <think> everything is
// reasoning until </think>; otherwise everything is content. Newlines directly after </think>
// belong to neither (FastDeploy pull request 4241); all other newlines are kept.
//
// Feed it what DetokenStream gives for each token, before any stop matching, so that id and text
// stay together. Tags are found by id; by text only if the vocabulary has no ids for them.
class ReasoningParser {
 public:
  struct Delta {
    std::string reasoning;
    std::string content;
  };

  // An unknown name is an error that lists the known ones. `param` names the field or flag.
  static Status check_name(std::string_view name, std::string_view param = "reasoning_parser");
  static Result<ReasoningParser> create(std::string_view name, const Tokenizer& tokenizer,
                                        std::span<const int32_t> prompt_ids);

  Delta push(int32_t id, std::string_view text);
  // The end of the output; `text` is what DetokenStream::flush() gave.
  Delta flush(std::string_view text = {});

  // True while output counts as reasoning (and against reasoning_max_tokens).
  bool is_reasoning() const { return reasoning_; }

 private:
  ReasoningParser(std::optional<int32_t> think_end_id, bool reasoning);
  std::string trim_content(std::string_view text);

  std::optional<int32_t> think_end_id_;
  bool reasoning_;
  bool trimming_ = false;    // dropping the newlines after </think>
  StopMatcher end_matcher_;  // used only without think_end_id_
};

}  // namespace ernie::text
