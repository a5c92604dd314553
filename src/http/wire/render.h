#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "serve/output.h"

// Answers of the OpenAI API as JSON.
namespace ernie::http {

// What every object of one answer carries.
struct AnswerHead {
  std::string id;
  std::string model;
  int64_t created = 0;  // seconds since 1970
};

boost::json::object usage_json(const serve::Usage& usage);

// A choice of a complete answer, gathered from its deltas.
struct GatheredChoice {
  std::string content;
  std::string reasoning;
  std::vector<serve::ToolCallDelta> calls;  // whole
  std::string finish_reason;
  std::string stop_string;
  int64_t text_begin = 0;  // characters of an echoed prompt before the first token
  std::vector<int32_t> token_ids;
  std::vector<serve::TokenLogprobs> logprobs;
  size_t placed = 0;  // so many of these belong to what came; those behind to what is held back
  std::vector<serve::PromptLogprobs> prompt;

  void add(const serve::Delta& delta);
};

// What of the prompt is shown, when the request asked for it.
struct ShowOptions {
  bool logprobs = false;
  int echo_logprobs = -1;    // alternatives of the prompt's tokens among logprobs; -1: not there
  int prompt_logprobs = -1;  // those in prompt_logprobs
  bool token_ids = false;
  bool split_reasoning = false;  // a reasoning parser is at work
  bool functions_only = false;   // a call is shown in the older form, as function_call
};

// The log-probabilities from `first` up to `last` that belong to the content.
boost::json::array content_logprobs(const GatheredChoice& choice, size_t first, size_t last);

// Complete answers, as text: as values, log probabilities would take ten times its bytes.
std::string chat_answer(const AnswerHead& head, const std::vector<GatheredChoice>& choices,
                        const serve::PromptInfo& prompt, const serve::Usage& usage,
                        const ShowOptions& show);
std::string completion_answer(const AnswerHead& head, const std::vector<GatheredChoice>& choices,
                              const serve::PromptInfo& prompt, const serve::Usage& usage,
                              const ShowOptions& show);

// Chunks of a streamed answer. The first chunk of a chat choice names the role and has no text.
boost::json::object chat_role_chunk(const AnswerHead& head, int index,
                                    const serve::PromptInfo& prompt, const ShowOptions& show);
boost::json::object chat_chunk(const AnswerHead& head, const serve::Delta& delta,
                               const ShowOptions& show);
// `text_begin`: characters of the choice's text before this chunk's first token.
boost::json::object completion_chunk(const AnswerHead& head, const serve::Delta& delta,
                                     const ShowOptions& show, int64_t text_begin = 0);
// The first chunk of a choice with the log-probabilities of the prompt, as text. `chunk` is that
// without them: chat_role_chunk(), or completion_chunk() with the text that is echoed.
std::string chat_prompt_chunk(const boost::json::object& chunk,
                              const std::vector<serve::PromptLogprobs>& prompt,
                              const ShowOptions& show);
std::string completion_prompt_chunk(boost::json::object chunk,
                                    const std::vector<serve::PromptLogprobs>& prompt,
                                    const ShowOptions& show);
boost::json::object usage_chunk(const AnswerHead& head, const char* object,
                                const serve::Usage& usage);

// Characters of a text; of one cut between tokens, each counts where it begins.
int64_t characters(std::string_view text);
// Characters of the tokens that a delta has log probabilities for.
int64_t token_characters(const serve::Delta& delta);

// One server-sent event.
std::string sse_event(const boost::json::object& data);
std::string sse_event(std::string_view json);
inline constexpr const char* kSseDone = "data: [DONE]\n\n";

}  // namespace ernie::http
