#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/answer_syntax.h"
#include "text/stop_matcher.h"
#include "text/tokenizer.h"
#include "text/tool_call_scanner.h"

namespace ernie::text {

// What one answer is read by.
struct AnswerRules {
  AnswerSyntax syntax;
  bool tool_calls = false;        // tools were offered; otherwise a call is text
  bool one_call = false;          // the answer ends with its first call
  std::vector<std::string> stop;  // strings that end the content
  bool include_stop = false;      // and belong to it
};

// A piece of a tool call. The first piece of each call has the name.
struct ToolCallPiece {
  int index = 0;  // of the call in the answer
  std::string name;
  std::string arguments;
};

// Splits a model's output into its channels: reasoning, content and tool calls.
//
// The prompt decides where the answer starts: after an open <think> everything is reasoning until
// </think>, as FastDeploy's "ernie-45-vl" has it. Newlines directly after </think> belong to
// neither side (FastDeploy pull request 4241). A call stands between <tool_call> and </tool_call>
// as {"name": "...", "arguments": {...}}; newlines around it are dropped; what is no such call
// stays text. Stop strings are looked for in content only.
//
// Feed it what DetokenStream gives for each token, so that id and text stay together. Tags are
// found by id; by text only if the vocabulary has no id for them.
class AnswerParser {
 public:
  struct Delta {
    std::string reasoning;
    std::string content;
    std::vector<ToolCallPiece> calls;
  };

  AnswerParser(const Tokenizer& tokenizer, std::span<const int32_t> prompt, AnswerRules rules);

  Delta push(int32_t id, std::string_view text);
  // The end of the output; `text` is what DetokenStream::flush() gave.
  Delta flush(std::string_view text = {});

  // Whether this token ends what is being read, so that no character goes on behind it.
  bool is_tag(int32_t id) const { return ends_part(tag_of(id)); }
  // Whether output counts as thinking (and against reasoning_max_tokens).
  bool is_thinking() const { return part_ == Part::kThinking; }
  // Whether the answer has ended by a stop string or its only call. No push after that.
  bool has_ended() const { return ended_; }
  // The stop string that ended the answer; empty if none did.
  const std::string& stop_string() const { return stop_string_; }
  // Whether a whole call was found.
  bool has_calls() const { return calls_ > 0; }

 private:
  enum class Part { kThinking, kContent, kCall };
  enum Tag {
    kNoTag = -1,
    kThinkEndTag,
    kResponseBeginTag,
    kResponseEndTag,
    kCallBeginTag,
    kCallEndTag,
    kTags
  };

  Tag tag_of(int32_t id) const;
  bool ends_part(Tag tag) const;
  void look_for(Part part);
  void feed(std::string_view text, Delta& out);
  void add(std::string_view text, Delta& out);
  void on_tag(Tag tag, Delta& out);
  void add_thinking(std::string_view text, Delta& out);
  void add_content(std::string_view text, Delta& out);
  void add_to_call(std::string_view text, Delta& out);
  void show(std::string_view content, bool more_follows, Delta& out);
  void end_call(std::string_view tag, Delta& out);
  void give_back_call(std::string_view rest, Delta& out);

  AnswerRules rules_;
  std::optional<int32_t> ids_[kTags];
  Part part_ = Part::kContent;
  std::vector<Tag> sought_;  // by text in this part, in the matcher's order
  StopMatcher tags_{{}};
  StopMatcher stops_;
  bool trims_ = false;        // newlines at the beginning of what follows
  std::string newlines_;      // held back until more of the same part follows
  bool shows_begin_ = false;  // <think> is to be shown
  bool has_content_ = false;
  ToolCallScanner call_;
  std::string call_text_;  // until its name is known
  bool call_named_ = false;
  int calls_ = 0;      // whole ones
  int next_call_ = 0;  // index
  bool ended_ = false;
  std::string stop_string_;
};

}  // namespace ernie::text
