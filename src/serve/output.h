#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace ernie::serve {

struct TokenProbability {
  std::string text;   // valid UTF-8
  std::string bytes;  // what the token stands for, raw
  float logprob = 0;
  int32_t id = 0;
};

struct TokenLogprobs {
  TokenProbability token;
  std::vector<TokenProbability> top;  // by falling probability
  bool is_content = true;             // neither thinking, nor a tag or an end
};

// A token of the prompt. The first has no log-probability, nor have placeholders of pictures.
struct PromptLogprobs {
  TokenLogprobs logprobs;
  int rank = 0;  // of the token among all, from 1; 0: it has no log-probability

  bool known() const { return rank > 0; }
};

// A piece of a tool call. The first piece of each call has its id and name.
struct ToolCallDelta {
  int index = 0;  // of the call in its choice
  std::string id;
  std::string name;
  std::string arguments;  // JSON text
};

// A piece of one choice. Text fields hold only what may be shown: never part of a stop string or of
// a broken character.
struct Delta {
  int index = 0;  // of the choice
  std::string content;
  std::string reasoning;
  std::vector<ToolCallDelta> calls;
  std::vector<int32_t> token_ids;       // generated since the last delta
  std::vector<TokenLogprobs> logprobs;  // one for each of token_ids, when asked for
  // The next tokens of the prompt, when asked for: in deltas of their own before all others.
  std::vector<PromptLogprobs> prompt;
  // "stop", "length", "tool_calls" or "abort": the choice ends.
  std::optional<std::string> finish_reason;
  std::string stop_string;  // that ended it, if one did
};

struct Usage {
  int prompt_tokens = 0;
  int completion_tokens = 0;
  int cached_tokens = 0;
  int image_tokens = 0;
  int video_tokens = 0;
  int reasoning_tokens = 0;
};

// Known when the prompt has been processed, before the first delta.
struct PromptInfo {
  std::vector<std::vector<int32_t>> token_ids;  // per prompt; filled when return_token_ids is set
  std::vector<std::string> texts;  // per prompt; filled when return_token_ids or echo is set
};

// Receives the output of one request: on_start, any number of deltas, then on_done or on_error,
// once. on_error may come first or in the middle. Calls never overlap; they come from service
// threads and must not block.
class OutputSink {
 public:
  virtual ~OutputSink() = default;
  virtual void on_start(const PromptInfo& info) = 0;
  virtual void on_delta(const Delta& delta, const Usage& so_far) = 0;
  virtual void on_done(const Usage& usage) = 0;
  virtual void on_error(const Error& error) = 0;
};

// A request under way. Dropping the pointer does not end it.
class Generation {
 public:
  virtual ~Generation() = default;
  virtual void cancel() = 0;                  // from any thread, any number of times
  virtual void fail(const Error& error) = 0;  // the same, and the sink gets the error
  // The same; the sink gets what there is, with finish_reason "abort", or the error if the prompt
  // is not ready yet.
  virtual void abort(const Error& error) = 0;
};

}  // namespace ernie::serve
