#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/client_id.h"
#include "base/limiter.h"
#include "grammar/grammar_spec.h"
#include "text/chat_template.h"

namespace ernie::serve {

// What may stand between the tokens of JSON unless a request says otherwise. Small models fill an
// answer with spaces where any number of them may stand.
inline constexpr const char* kJsonWhitespace = R"(( |\n{1,2}[ \t]{0,24})?)";

// What an answer must look like, and the field that asks for it.
struct AnswerFormat {
  grammar::GrammarSpec grammar;
  std::string field;
};

// What chat and completion requests have in common. An absent optional takes the model's default
// (generation_config.json), then the server's. Ranges were checked when the request was parsed.
struct GenerationOptions {
  std::optional<float> temperature;
  std::optional<float> top_p;
  std::optional<int> top_k;
  std::optional<float> min_p;
  std::optional<float> repetition_penalty;
  std::optional<float> frequency_penalty;
  std::optional<float> presence_penalty;
  std::optional<uint64_t> seed;   // absent: drawn at random
  std::optional<int> max_tokens;  // 0: nothing is generated
  int min_tokens = 0;
  std::vector<std::string> stop;
  std::vector<int32_t> stop_token_ids;
  bool include_stop_str_in_output = false;
  bool ignore_eos = false;
  bool skip_special_tokens = true;
  int n = 1;
  int top_logprobs = -1;     // -1: no logprobs
  int prompt_logprobs = -1;  // the same of the prompt's tokens
  std::vector<std::pair<int32_t, float>> logit_bias;
  std::vector<std::string> bad_words;
  std::vector<int32_t> bad_words_token_ids;
  std::optional<AnswerFormat> format;
  bool return_token_ids = false;
  int max_streaming_response_tokens = 1;  // tokens gathered in one streamed chunk
  std::optional<int> timeout_ms;          // from arrival; past it the request ends with a timeout
  std::string request_id;                 // the client's; empty: one is made
  std::string cache_salt;                 // caches are shared with requests of the same one only
  ClientId client = 0;                    // who asks; clients take turns and have limits
};

// How much of an answer may be thinking.
struct ReasoningLimit {
  std::optional<int> tokens;
  double share = 0.8;  // of max_tokens, unless there are `tokens`; FastDeploy's default
};

// Which functions an answer may call, and how.
struct ToolUse {
  std::vector<grammar::ToolSpec> tools;  // none: a call is text
  bool required = false;                 // the answer is calls and nothing else
  bool parallel = true;                  // it may have several
  bool guaranteed = false;  // only these tools, with arguments that their schemas allow
};

struct ChatRequest {
  std::string model;
  text::ChatInput chat;
  ToolUse tool_use;
  GenerationOptions options;
  ReasoningLimit reasoning_limit;
  bool split_thinking = false;  // reasoning and content are told apart whatever the server's parser
  Limiter::Share bytes;         // of what the client sent; the strings here take no more
};

struct CompletionRequest {
  std::string model;
  std::vector<std::variant<std::string, std::vector<int32_t>>> prompts;
  GenerationOptions options;
  bool echo = false;     // the prompt is part of the answer, with logprobs if these are wanted
  Limiter::Share bytes;  // as in ChatRequest
};

}  // namespace ernie::serve
