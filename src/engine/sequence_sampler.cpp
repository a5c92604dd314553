#include "engine/sequence_sampler.h"

#include <algorithm>
#include <map>

namespace ernie::engine {
namespace {

void sort_unique(std::vector<int32_t>& ids) {
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
}

// Biases of the same token add up.
std::vector<ops::TokenBias> merged(const std::vector<std::pair<int32_t, float>>& biases) {
  std::map<int32_t, float> sums;
  for (const auto& [token, bias] : biases) sums[token] += bias;
  std::vector<ops::TokenBias> out;
  out.reserve(sums.size());
  for (const auto& [token, bias] : sums) out.push_back({token, bias});
  return out;
}

// Of a word of two tokens or more.
int32_t last_but_one(const std::vector<int32_t>& word) { return word[word.size() - 2]; }

std::vector<ops::TokenCount> counts_of(std::vector<int32_t> prompt) {
  sort_unique(prompt);
  std::vector<ops::TokenCount> counts;
  counts.reserve(prompt.size());
  for (const int32_t token : prompt) counts.push_back({token, 0});
  return counts;
}

}  // namespace

SequenceSampler::SequenceSampler(const model::Prompt& prompt, SamplingParams params, int vocab_size)
    : params_(std::move(params)),
      grammar_begun_(params_.grammar_after < 0),
      vocab_size_(vocab_size) {
  if (params_.grammar) matcher_.emplace(params_.grammar);
  auto tables = std::make_shared<SamplingTables>();
  tables->biases = merged(params_.logit_bias);
  tables->banned = params_.bad_token_ids;
  tables->banned_early = tables->banned;
  tables->banned_early.insert(tables->banned_early.end(), params_.stop_token_ids.begin(),
                              params_.stop_token_ids.end());
  sort_unique(tables->banned);
  sort_unique(tables->banned_early);
  tables->bad_words = std::move(params_.bad_words);
  std::ranges::sort(tables->bad_words, {}, last_but_one);
  tables_ = std::move(tables);
  if (params_.options.has_penalties()) counts_ = counts_of(prompt.tokens);
}

bool SequenceSampler::next_but_one_waits() const {
  // The last token inside the budget may end the thought by itself.
  const bool budget_ends = accepted_ + 1 == params_.thinking.max_tokens && !thought_ended_;
  return params_.options.has_penalties() || budget_ends || matcher_ || !tables_->bad_words.empty();
}

SampleSpec SequenceSampler::next(bool one_is_pending) {
  const int32_t index = accepted_ + (one_is_pending ? 1 : 0);
  // An answer that has a form does not end while it is thought about.
  const bool too_early = index < params_.min_tokens || (matcher_ && !grammar_begun_);
  SampleSpec spec{.tables = tables_};
  spec.row = {.options = params_.options,
              .position = static_cast<uint64_t>(index),
              .biases = tables_->biases};
  ban(spec, too_early ? tables_->banned_early : tables_->banned);
  if (params_.options.has_penalties()) {
    spec.counts = std::make_shared<std::vector<ops::TokenCount>>(counts_);
    spec.row.counts = *spec.counts;
  }
  spec.row.forced_token = forced_token(index);
  if (matcher_ && grammar_begun_ && spec.row.forced_token < 0) follow_grammar(spec, index);
  return spec;
}

void SequenceSampler::ban(SampleSpec& spec, const std::vector<int32_t>& tokens) const {
  spec.row.banned_tokens = tokens;
  if (answer_.empty()) return;
  std::vector<int32_t> all = tokens;
  const auto& words = tables_->bad_words;
  auto word = std::ranges::lower_bound(words, answer_.back(), {}, last_but_one);
  for (; word != words.end() && last_but_one(*word) == answer_.back(); ++word) {
    const auto beginning = std::span(*word).first(word->size() - 1);
    if (beginning.size() > answer_.size()) continue;
    if (std::ranges::equal(beginning, std::span(answer_).last(beginning.size()))) {
      all.push_back(word->back());
    }
  }
  if (all.size() == tokens.size()) return;
  sort_unique(all);
  spec.banned = std::make_shared<const std::vector<int32_t>>(std::move(all));
  spec.row.banned_tokens = *spec.banned;
}

int32_t SequenceSampler::forced_token(int32_t index) const {
  const ThinkingBudget& thinking = params_.thinking;
  const int32_t past_budget = index - thinking.max_tokens;
  const bool forces = thinking.max_tokens >= 0 && past_budget >= 0 && !thought_ended_ &&
                      past_budget < static_cast<int32_t>(thinking.forced_tokens.size());
  return forces ? thinking.forced_tokens[past_budget] : -1;
}

void SequenceSampler::follow_grammar(SampleSpec& spec, int32_t index) {
  auto mask = std::make_shared<std::vector<uint32_t>>(
      grammar::GrammarMatcher::mask_words(static_cast<size_t>(vocab_size_)));
  // Where nothing may follow, the draw finds no token and the request ends with an error.
  if (!matcher_->fill_mask(*mask)) std::ranges::fill(*mask, 0);
  if (index < params_.min_tokens) {
    // An answer that is whole may end before min_tokens.
    std::vector<uint32_t> longer = *mask;
    for (const int32_t token : spec.row.banned_tokens) {
      if (token >= 0 && token < vocab_size_) longer[token / 32] &= ~(1u << (token % 32));
    }
    if (std::ranges::all_of(longer, [](uint32_t word) { return word == 0; })) {
      ban(spec, tables_->banned);
    }
  }
  spec.row.allowed = *mask;
  spec.allowed = std::move(mask);
}

Accepted SequenceSampler::accept(int32_t token) {
  const int32_t index = accepted_++;
  const bool forced = forced_token(index) >= 0;
  if (!tables_->bad_words.empty()) answer_.push_back(token);
  if (token == params_.thinking.end_token && index < params_.thinking.max_tokens) {
    thought_ended_ = true;
  }
  if (params_.options.has_penalties()) {
    const auto at = std::ranges::lower_bound(counts_, token, {}, &ops::TokenCount::token);
    if (at != counts_.end() && at->token == token) {
      ++at->in_output;
    } else {
      counts_.insert(at, {token, 1});
    }
  }
  if (matcher_ && grammar_begun_ && !forced) {
    if (!matcher_->accept(token)) return Accepted::kRefused;
    if (matcher_->is_terminated()) return Accepted::kStops;
  }
  // Newlines that are forced behind the end of a thought are no part of the answer.
  if (token == params_.grammar_after) grammar_begun_ = true;
  const bool stops =
      index >= params_.min_tokens &&
      std::ranges::find(params_.stop_token_ids, token) != params_.stop_token_ids.end();
  return stops ? Accepted::kStops : Accepted::kGoesOn;
}

}  // namespace ernie::engine
