#include "serve/choice_stream.h"

#include <fmt/format.h>

#include <random>
#include <utility>

namespace ernie::serve {
namespace {

TokenProbability probability(const text::Tokenizer& tokenizer, int32_t token, float logprob) {
  return {tokenizer.token_text(token), std::string(tokenizer.token_bytes(token)), logprob, token};
}

TokenLogprobs token_logprobs(const text::Tokenizer& tokenizer, int32_t token, float logprob,
                             const std::vector<ops::TokenLogprob>& top) {
  TokenLogprobs entry{.token = probability(tokenizer, token, logprob)};
  for (const auto& other : top) {
    entry.top.push_back(probability(tokenizer, other.token, other.logprob));
  }
  return entry;
}

// In FastDeploy's form.
std::string new_call_id() {
  thread_local std::mt19937_64 random = [] {
    std::random_device device;
    std::seed_seq seed{device(), device(), device(), device()};
    return std::mt19937_64(seed);
  }();
  return fmt::format("chatcmpl-tool-{:016x}{:016x}", random(), random());
}

}  // namespace

ChoiceStream::ChoiceStream(const text::Tokenizer& tokenizer, text::AnswerParser parser,
                           ChoiceOptions options)
    : tokenizer_(&tokenizer),
      options_(options),
      detokenizer_(tokenizer, options_.skip_special_tokens),
      parser_(std::move(parser)) {
  pending_.index = options_.index;
}

Delta ChoiceStream::prompt(const engine::PromptEvent& event) const {
  Delta delta{.index = options_.index};
  for (const engine::PromptToken& token : event.tokens) {
    delta.prompt.push_back(
        {token_logprobs(*tokenizer_, token.token, token.logprob.value_or(0), token.top),
         token.rank});
  }
  return delta;
}

std::optional<Delta> ChoiceStream::push(const engine::TokenEvent& event) {
  ++generated_tokens_;
  ++pending_tokens_;
  if (parser_.is_thinking() && !event.is_stop) ++reasoning_tokens_;
  if (options_.want_token_ids) pending_.token_ids.push_back(event.token);
  if (options_.want_logprobs) {
    pending_.logprobs.push_back(token_logprobs(*tokenizer_, event.token, event.logprob, event.top));
    pending_.logprobs.back().is_content =
        !event.is_stop && !parser_.is_thinking() && !parser_.is_tag(event.token);
  }
  if (event.is_stop) return std::nullopt;  // finish() follows

  std::string text = parser_.is_tag(event.token) ? detokenizer_.flush() : std::string();
  text += detokenizer_.push(event.token);
  add(parser_.push(event.token, text));
  if (parser_.has_ended()) return end(engine::FinishReason::kStop);
  return take(false);
}

std::optional<Delta> ChoiceStream::finish(engine::FinishReason reason) {
  if (finished_) return std::nullopt;
  add(parser_.flush(detokenizer_.flush()));
  return end(parser_.has_ended() ? engine::FinishReason::kStop : reason);
}

void ChoiceStream::add(text::AnswerParser::Delta delta) {
  pending_.reasoning += delta.reasoning;
  pending_.content += delta.content;
  for (text::ToolCallPiece& piece : delta.calls) {
    const bool begins = !piece.name.empty();
    if (!begins && !pending_.calls.empty() && pending_.calls.back().index == piece.index) {
      pending_.calls.back().arguments += piece.arguments;
      continue;
    }
    pending_.calls.push_back({piece.index, begins ? new_call_id() : std::string(),
                              std::move(piece.name), std::move(piece.arguments)});
  }
}

std::optional<Delta> ChoiceStream::take(bool force) {
  if (!force && pending_tokens_ < options_.tokens_per_delta) return std::nullopt;
  const bool empty = pending_.content.empty() && pending_.reasoning.empty() &&
                     pending_.calls.empty() && pending_.token_ids.empty() &&
                     pending_.logprobs.empty();
  if (empty && !force) return std::nullopt;
  pending_tokens_ = 0;
  Delta out = std::move(pending_);
  pending_ = Delta{.index = options_.index};
  return out;
}

Delta ChoiceStream::end(engine::FinishReason reason) {
  finished_ = true;
  Delta out = *take(true);
  out.stop_string = parser_.stop_string();
  if (reason == engine::FinishReason::kCancelled) {
    out.finish_reason = "abort";
  } else if (reason != engine::FinishReason::kStop) {
    out.finish_reason = "length";
  } else {
    out.finish_reason = parser_.has_calls() ? "tool_calls" : "stop";
  }
  return out;
}

}  // namespace ernie::serve
