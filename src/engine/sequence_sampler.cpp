#include "engine/sequence_sampler.h"

#include <algorithm>
#include <map>

namespace ernie::engine {
namespace {

void sort_unique(std::vector<int32_t>& ids) {
  std::ranges::sort(ids);
  ids.erase(std::ranges::unique(ids).begin(), ids.end());
}

// Biases of the same token add up.
std::vector<ops::TokenBias> merged(const std::vector<std::pair<int32_t, float>>& biases) {
  std::map<int32_t, float> sums;
  for (const auto& [token, bias] : biases) sums[token] += bias;
  std::vector<ops::TokenBias> out;
  for (const auto& [token, bias] : sums) out.push_back({token, bias});
  return out;
}

std::vector<ops::TokenCount> counts_of(std::vector<int32_t> prompt) {
  sort_unique(prompt);
  std::vector<ops::TokenCount> counts;
  counts.reserve(prompt.size());
  for (const int32_t token : prompt) counts.push_back({token, 0});
  return counts;
}

}  // namespace

SequenceSampler::SequenceSampler(const model::Prompt& prompt, SamplingParams params)
    : params_(std::move(params)) {
  auto tables = std::make_shared<SamplingTables>();
  tables->biases = merged(params_.logit_bias);
  tables->banned = params_.bad_token_ids;
  tables->banned_early = tables->banned;
  tables->banned_early.insert(tables->banned_early.end(), params_.stop_token_ids.begin(),
                              params_.stop_token_ids.end());
  sort_unique(tables->banned);
  sort_unique(tables->banned_early);
  tables_ = std::move(tables);
  if (params_.options.has_penalties()) counts_ = counts_of(prompt.tokens);
}

bool SequenceSampler::next_but_one_waits() const {
  // The last token inside the budget may end the thought by itself.
  const bool budget_ends = accepted_ + 1 == params_.thinking.max_tokens && !thought_ended_;
  return params_.options.has_penalties() || budget_ends;
}

SampleSpec SequenceSampler::next(bool one_is_pending) const {
  const int32_t index = accepted_ + (one_is_pending ? 1 : 0);
  SampleSpec spec{.tables = tables_};
  spec.row = {
      .options = params_.options,
      .position = static_cast<uint64_t>(index),
      .biases = tables_->biases,
      .banned_tokens = index < params_.min_tokens ? tables_->banned_early : tables_->banned};
  if (params_.options.has_penalties()) {
    spec.counts = std::make_shared<std::vector<ops::TokenCount>>(counts_);
    spec.row.counts = *spec.counts;
  }
  const ThinkingBudget& thinking = params_.thinking;
  const int32_t past_budget = index - thinking.max_tokens;
  if (thinking.max_tokens >= 0 && past_budget >= 0 && !thought_ended_ &&
      past_budget < static_cast<int32_t>(thinking.forced_tokens.size())) {
    spec.row.forced_token = thinking.forced_tokens[past_budget];
  }
  return spec;
}

bool SequenceSampler::accept(int32_t token) {
  const int32_t index = accepted_++;
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
  return index >= params_.min_tokens &&
         std::ranges::find(params_.stop_token_ids, token) != params_.stop_token_ids.end();
}

}  // namespace ernie::engine
