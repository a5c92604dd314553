#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "serve/output.h"
#include "text/answer_parser.h"
#include "text/detok_stream.h"
#include "text/tokenizer.h"

namespace ernie::serve {

struct ChoiceOptions {
  int index = 0;
  bool skip_special_tokens = true;
  bool want_logprobs = false;
  bool want_token_ids = false;
  int tokens_per_delta = 1;
};

// Turns the tokens of one choice into deltas of its channels. It does not know the engine; its
// owner passes events on and acts on what it returns. Not thread-safe.
class ChoiceStream {
 public:
  ChoiceStream(const text::Tokenizer& tokenizer, text::AnswerParser parser, ChoiceOptions options);

  // The prompt's next tokens.
  Delta prompt(const engine::PromptEvent& event) const;

  // The delta to send now, if any. After a delta with a finish_reason nothing more may be pushed.
  std::optional<Delta> push(const engine::TokenEvent& event);
  std::optional<Delta> finish(engine::FinishReason reason);

  bool finished() const { return finished_; }
  int generated_tokens() const { return generated_tokens_; }
  int reasoning_tokens() const { return reasoning_tokens_; }

 private:
  void add(text::AnswerParser::Delta delta);
  std::optional<Delta> take(bool force);
  Delta end(engine::FinishReason reason);

  const text::Tokenizer* tokenizer_;
  ChoiceOptions options_;
  text::DetokenStream detokenizer_;
  text::AnswerParser parser_;
  Delta pending_;
  int pending_tokens_ = 0;
  int generated_tokens_ = 0;
  int reasoning_tokens_ = 0;
  bool finished_ = false;
};

}  // namespace ernie::serve
