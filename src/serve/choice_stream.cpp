#include "serve/choice_stream.h"

#include <utility>

namespace ernie::serve {
namespace {

TokenProbability probability(const text::Tokenizer& tokenizer, int32_t token, float logprob) {
  return {tokenizer.token_text(token), std::string(tokenizer.token_bytes(token)), logprob};
}

}  // namespace

ChoiceStream::ChoiceStream(const text::Tokenizer& tokenizer,
                           std::optional<text::ReasoningParser> reasoning, ChoiceOptions options)
    : tokenizer_(&tokenizer),
      options_(std::move(options)),
      detokenizer_(tokenizer, options_.skip_special_tokens),
      reasoning_(std::move(reasoning)),
      reasoning_stops_(options_.stop, options_.include_stop_str),
      content_stops_(options_.stop, options_.include_stop_str) {
  pending_.index = options_.index;
}

std::optional<Delta> ChoiceStream::push(const engine::TokenEvent& event) {
  ++generated_tokens_;
  ++pending_tokens_;
  if (reasoning_ && reasoning_->is_reasoning() && !event.is_stop) ++reasoning_tokens_;
  if (options_.want_token_ids) pending_.token_ids.push_back(event.token);
  if (options_.want_logprobs) {
    TokenLogprobs entry{probability(*tokenizer_, event.token, event.logprob), {}};
    for (const auto& alternative : event.top) {
      entry.top.push_back(probability(*tokenizer_, alternative.token, alternative.logprob));
    }
    pending_.logprobs.push_back(std::move(entry));
  }
  if (event.is_stop) return std::nullopt;  // finish() follows

  const std::string text = detokenizer_.push(event.token);
  add_text(reasoning_ ? reasoning_->push(event.token, text)
                      : text::ReasoningParser::Delta{{}, text});
  if (stop_matched_) return end("stop");
  return take(false);
}

std::optional<Delta> ChoiceStream::finish(engine::FinishReason reason) {
  if (finished_) return std::nullopt;
  const std::string rest = detokenizer_.flush();
  add_text(reasoning_ ? reasoning_->flush(rest) : text::ReasoningParser::Delta{{}, rest});
  if (!stop_matched_) {
    pending_.reasoning += reasoning_stops_.flush();
    pending_.content += content_stops_.flush();
  }
  const bool stopped = stop_matched_ || reason == engine::FinishReason::kStop;
  return end(stopped ? "stop" : "length");
}

void ChoiceStream::add_text(text::ReasoningParser::Delta text) {
  add_to(pending_.reasoning, reasoning_stops_, text.reasoning);
  if (stop_matched_) return;
  if (!text.content.empty() && reasoning_ && !reasoning_->is_reasoning()) {
    pending_.reasoning += reasoning_stops_.flush();
  }
  add_to(pending_.content, content_stops_, text.content);
}

void ChoiceStream::add_to(std::string& target, text::StopMatcher& matcher,
                          const std::string& text) {
  if (text.empty()) return;
  auto out = matcher.push(text);
  target += out.text;
  stop_matched_ = out.matched.has_value();
}

std::optional<Delta> ChoiceStream::take(bool force) {
  if (!force && pending_tokens_ < options_.tokens_per_delta) return std::nullopt;
  const bool empty = pending_.content.empty() && pending_.reasoning.empty() &&
                     pending_.token_ids.empty() && pending_.logprobs.empty();
  if (empty && !force) return std::nullopt;
  pending_tokens_ = 0;
  Delta out = std::move(pending_);
  pending_ = Delta{.index = options_.index};
  return out;
}

Delta ChoiceStream::end(std::string finish_reason) {
  finished_ = true;
  Delta out = *take(true);
  out.finish_reason = std::move(finish_reason);
  return out;
}

}  // namespace ernie::serve
