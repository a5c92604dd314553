#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "serve/output.h"
#include "text/detok_stream.h"
#include "text/reasoning_parser.h"
#include "text/stop_matcher.h"
#include "text/tokenizer.h"

namespace ernie::serve {

struct ChoiceOptions {
  int index = 0;
  std::vector<std::string> stop;
  bool include_stop_str = false;
  bool skip_special_tokens = true;
  bool want_logprobs = false;
  bool want_token_ids = false;
  int tokens_per_delta = 1;
};

// Turns the tokens of one choice into deltas: text, reasoning split, stop strings. It does not know
// the engine; its owner passes events on and acts on what it returns. Not thread-safe.
class ChoiceStream {
 public:
  ChoiceStream(const text::Tokenizer& tokenizer, std::optional<text::ReasoningParser> reasoning,
               ChoiceOptions options);

  // The delta to send now, if any. After a delta with a finish_reason nothing more may be pushed.
  std::optional<Delta> push(const engine::TokenEvent& event);
  std::optional<Delta> finish(engine::FinishReason reason);

  bool finished() const { return finished_; }
  int generated_tokens() const { return generated_tokens_; }
  int reasoning_tokens() const { return reasoning_tokens_; }

 private:
  void add_text(text::ReasoningParser::Delta text);
  void add_to(std::string& target, text::StopMatcher& matcher, const std::string& text);
  std::optional<Delta> take(bool force);
  Delta end(std::string finish_reason);

  const text::Tokenizer* tokenizer_;
  ChoiceOptions options_;
  text::DetokenStream detokenizer_;
  std::optional<text::ReasoningParser> reasoning_;
  text::StopMatcher reasoning_stops_;
  text::StopMatcher content_stops_;
  Delta pending_;
  int pending_tokens_ = 0;
  int generated_tokens_ = 0;
  int reasoning_tokens_ = 0;
  bool stop_matched_ = false;
  bool finished_ = false;
};

}  // namespace ernie::serve
