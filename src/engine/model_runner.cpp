#include "engine/model_runner.h"

#include "base/check.h"

namespace ernie::engine {
namespace {

constexpr size_t kInt = sizeof(int32_t);

}  // namespace

size_t RunnerSizes::step_bytes() const {
  const auto tokens = static_cast<size_t>(limits.max_tokens);
  const auto seqs = static_cast<size_t>(limits.max_seqs);
  return tokens * (5 * kInt + 1) + kInt * (seqs * (max_blocks_per_seq + 3) + 1) +
         sizeof(float) * seqs * vocab_size;
}

size_t RunnerSizes::block_bytes() const {
  return size_t{2} * num_layers * kv_heads * head_dim * block_size * dtype_bytes(dtype);
}

ModelRunner::ModelRunner(const RunnerSizes& sizes, ops::Backend& backend, model::Model& model)
    : sizes_(sizes), backend_(backend), model_(model) {
  const auto tokens = static_cast<size_t>(sizes.limits.max_tokens);
  const auto seqs = static_cast<size_t>(sizes.limits.max_seqs);
  token_ids_ = backend.allocate(tokens * kInt);
  positions_ = backend.allocate(3 * tokens * kInt);
  is_vision_ = backend.allocate(tokens);
  slots_ = backend.allocate(tokens * kInt);
  query_start_ = backend.allocate((seqs + 1) * kInt);
  context_len_ = backend.allocate(seqs * kInt);
  block_tables_ = backend.allocate(seqs * sizes.max_blocks_per_seq * kInt);
  logits_rows_ = backend.allocate(seqs * kInt);
  logits_ = backend.allocate(seqs * sizes.vocab_size * sizeof(float));
  const Shape shape{sizes.num_blocks, sizes.kv_heads, sizes.block_size, sizes.head_dim};
  const size_t bytes = sizes.block_bytes() / (2 * sizes.num_layers) * sizes.num_blocks;
  for (int layer = 0; layer < sizes.num_layers; ++layer) {
    Buffer keys = backend.allocate(bytes);
    Buffer values = backend.allocate(bytes);
    cache_.push_back({.keys = keys.view(sizes.dtype, shape),
                      .values = values.view(sizes.dtype, shape),
                      .block_size = sizes.block_size,
                      .kv_heads = sizes.kv_heads,
                      .head_dim = sizes.head_dim});
    kv_buffers_.push_back(std::move(keys));
    kv_buffers_.push_back(std::move(values));
  }
}

template <typename T>
TensorView ModelRunner::upload(Buffer& buffer, const std::vector<T>& values, DType dtype,
                               Shape shape) {
  const TensorView view = buffer.view(dtype, shape);
  CHECK(view.bytes() == values.size() * sizeof(T), "an input array has the wrong size");
  if (!values.empty()) backend_.copy_to_device(view.data, values.data(), view.bytes());
  return view;
}

int32_t ModelRunner::drawn_before(int32_t sample) const {
  CHECK(sample < static_cast<int32_t>(drawn_.size()), "the step before drew no such token");
  return drawn_[sample];
}

TensorView ModelRunner::upload_tokens(const BatchInputs& batch) {
  if (batch.pending.empty()) {
    return upload(token_ids_, batch.token_ids, DType::kI32, {batch.num_tokens()});
  }
  std::vector<int32_t> token_ids = batch.token_ids;
  for (const auto& [row, sample] : batch.pending) token_ids[row] = drawn_before(sample);
  return upload(token_ids_, token_ids, DType::kI32, {batch.num_tokens()});
}

std::vector<ops::SampleResult> ModelRunner::run(const BatchInputs& batch,
                                                ops::SamplingClass sampling, bool wants_samples) {
  CHECK(batch.num_tokens() > 0, "a step without tokens");
  const int tokens = batch.num_tokens();
  const int seqs = batch.num_seqs();
  const auto num_logits = static_cast<int>(batch.logits_rows.size());
  model::ModelInput input;
  input.num_tokens = tokens;
  input.token_ids = upload_tokens(batch);
  input.positions = upload(positions_, batch.positions, DType::kI32, {tokens, 3});
  input.is_vision = upload(is_vision_, batch.is_vision, DType::kU8, {tokens});
  input.any_vision = batch.any_vision;
  input.slots = upload(slots_, batch.slots, DType::kI32, {tokens});
  input.attention.num_seqs = seqs;
  input.attention.max_query_len = batch.max_query_len;
  input.attention.query_start = upload(query_start_, batch.query_start, DType::kI32, {seqs + 1});
  input.attention.context_len = upload(context_len_, batch.context_len, DType::kI32, {seqs});
  input.attention.block_tables =
      upload(block_tables_, batch.block_tables, DType::kI32, {seqs, batch.max_blocks});
  input.media = batch.media;
  input.logits_rows = upload(logits_rows_, batch.logits_rows, DType::kI32, {num_logits});
  input.num_logits = num_logits;
  const TensorView logits = logits_.view(DType::kF32, {num_logits, sizes_.vocab_size});
  model_.forward(input, cache_, logits);
  if (num_logits == 0 || !wants_samples) {
    backend_.synchronize();
    drawn_.clear();
    return {};
  }
  return sample(batch, logits, sampling);
}

std::vector<ops::SampleResult> ModelRunner::sample(const BatchInputs& batch, TensorView logits,
                                                   ops::SamplingClass sampling) {
  std::vector<ops::SampleRow> rows;
  std::vector<std::vector<int32_t>> histories;
  rows.reserve(batch.samples.size());
  histories.reserve(batch.samples.size());
  for (const SampleSpec& spec : batch.samples) {
    ops::SampleRow& row = rows.emplace_back(spec.row);
    if (spec.previous_sample < 0) continue;
    const int32_t previous = drawn_before(spec.previous_sample);
    if (spec.forced_unless_previous >= 0 && previous == spec.forced_unless_previous) {
      row.forced_token = -1;
    }
    if (spec.output_tokens) {
      histories.push_back(*spec.output_tokens);
      histories.back().push_back(previous);
      row.output_tokens = histories.back();
    }
  }
  std::vector<ops::SampleResult> results = backend_.sample(logits, rows, sampling);
  drawn_.clear();
  // A failed draw ends its sequence; what a step in flight computes for it is never used.
  for (const auto& result : results) drawn_.push_back(std::max(result.token, 0));
  return results;
}

}  // namespace ernie::engine
