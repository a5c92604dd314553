#include "engine/batch_inputs.h"

#include <algorithm>

#include "base/check.h"

namespace ernie::engine {
namespace {

void add_tokens(BatchInputs& batch, const sched::PlanRow& row, const BatchSource& source,
                int block_size) {
  const model::Prompt& prompt = **source.prompt;
  const sched::Sequence& s = *source.sequence;
  const auto prompt_length = static_cast<int32_t>(prompt.tokens.size());
  for (int32_t i = row.first_token; i < row.end(); ++i) {
    const bool known = i < static_cast<int32_t>(s.tokens.size());
    batch.token_ids.push_back(known ? s.tokens[i] : 0);
    if (i < prompt_length) {
      batch.positions.insert(batch.positions.end(), prompt.positions[i].begin(),
                             prompt.positions[i].end());
      batch.is_vision.push_back(prompt.is_vision[i]);
      batch.any_vision |= prompt.is_vision[i] != 0;
    } else {
      batch.positions.insert(batch.positions.end(), 3, prompt.next_position + i - prompt_length);
      batch.is_vision.push_back(0);
    }
    batch.slots.push_back(s.blocks[i / block_size] * block_size + i % block_size);
  }
}

void add_media(BatchInputs& batch, const sched::PlanRow& row, const BatchSource& source,
               int32_t first_row) {
  const auto& media = (*source.prompt)->media;
  auto unit = std::partition_point(media.begin(), media.end(), [&](const model::MediaUnit& u) {
    return u.begin + u.length <= row.first_token;
  });
  for (; unit != media.end() && unit->begin < row.end(); ++unit) {
    const int32_t begin = std::max(unit->begin, row.first_token);
    CHECK(unit->begin + unit->length <= row.end(), "a step ends inside a media unit");
    batch.media.push_back({.unit = &*unit,
                           .first_row = first_row + begin - row.first_token,
                           .first_feature = begin - unit->begin,
                           .count = unit->begin + unit->length - begin});
    if (batch.prompts.empty() || batch.prompts.back() != *source.prompt) {
      batch.prompts.push_back(*source.prompt);
    }
  }
}

void add_scores(BatchInputs& batch, const sched::PlanRow& row, const BatchSource& source,
                int32_t first_row) {
  for (const int32_t position : row.scores) {
    batch.logits_rows.push_back(first_row + position - row.first_token);
    batch.sample_sequences.push_back(source.sequence->id);
    batch.samples.push_back(source.sampler->score(source.sequence->tokens[position + 1]));
  }
}

void add_sample(BatchInputs& batch, const sched::PlanRow& row, const BatchSource& source,
                const BatchInputs* before) {
  const sched::Sequence& s = *source.sequence;
  const int32_t last_row = batch.num_tokens() - 1;
  if (row.last_token_pending) {
    CHECK(before, "a token is pending but no step is in flight");
    const auto& known = before->sample_sequences;
    // Behind the draws that score its prompt.
    const auto last = std::find(known.rbegin(), known.rend(), s.id);
    CHECK(last != known.rend(), "the step before draws no such token");
    batch.pending.push_back({last_row, static_cast<int32_t>(known.rend() - last) - 1});
  }
  batch.logits_rows.push_back(last_row);
  batch.sample_sequences.push_back(s.id);
  if (row.last_token_pending && source.sampler->next_but_one_waits()) {
    batch.late.push_back(static_cast<int32_t>(batch.samples.size()));
    batch.samples.emplace_back();
  } else {
    batch.samples.push_back(source.sampler->next(row.last_token_pending));
  }
}

}  // namespace

BatchInputs build_batch(const sched::StepPlan& plan, int block_size, const BatchInputs* before,
                        const std::function<BatchSource(sched::SequenceId)>& source) {
  BatchInputs batch;
  batch.token_ids.reserve(plan.total_tokens);
  batch.positions.reserve(3 * static_cast<size_t>(plan.total_tokens));
  batch.is_vision.reserve(plan.total_tokens);
  batch.slots.reserve(plan.total_tokens);
  std::vector<BatchSource> sources;
  for (const sched::PlanRow& row : plan.rows) {
    sources.push_back(source(row.sequence));
    batch.max_blocks =
        std::max(batch.max_blocks, static_cast<int>(sources.back().sequence->blocks.size()));
  }
  batch.block_tables.assign(plan.rows.size() * batch.max_blocks, 0);
  batch.query_start.push_back(0);
  for (size_t i = 0; i < plan.rows.size(); ++i) {
    const sched::PlanRow& row = plan.rows[i];
    const int32_t first_row = batch.num_tokens();
    add_tokens(batch, row, sources[i], block_size);
    add_media(batch, row, sources[i], first_row);
    add_scores(batch, row, sources[i], first_row);
    if (row.wants_logits) add_sample(batch, row, sources[i], before);
    batch.query_start.push_back(batch.num_tokens());
    batch.context_len.push_back(row.end());
    batch.max_query_len = std::max(batch.max_query_len, row.num_tokens);
    std::ranges::copy(
        sources[i].sequence->blocks,
        batch.block_tables.begin() + static_cast<std::ptrdiff_t>(i) * batch.max_blocks);
  }
  return batch;
}

}  // namespace ernie::engine
