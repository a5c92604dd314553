#include "engine/step_arrays.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"

namespace ernie::engine {
namespace {

constexpr size_t kAlignment = 256;

// The values, then `padding` to the end.
template <typename T>
void write(const std::vector<T>& values, TensorView out, T padding) {
  const auto n = static_cast<int64_t>(values.size());
  CHECK(n <= out.shape.elements(), "an input array has the wrong size");
  std::ranges::copy(values, out.as<T>());
  std::fill(out.as<T>() + n, out.as<T>() + out.shape.elements(), padding);
}

}  // namespace

StepArrays::StepArrays(const StepShape& shape, void* base) {
  const auto place = [&](TensorView& view, DType dtype, Shape dims) {
    view = {base == nullptr ? nullptr : static_cast<char*>(base) + bytes, dtype, dims};
    bytes += (view.bytes() + kAlignment - 1) / kAlignment * kAlignment;
  };
  place(token_ids, DType::kI32, {shape.tokens});
  place(token_sources, DType::kI32, {shape.tokens});
  place(positions, DType::kI32, {shape.tokens, 3});
  place(is_vision, DType::kU8, {shape.tokens});
  place(slots, DType::kI32, {shape.tokens});
  place(query_start, DType::kI32, {shape.seqs + 1});
  place(context_len, DType::kI32, {shape.seqs});
  place(block_tables, DType::kI32, {shape.seqs, shape.max_blocks});
  place(logits_rows, DType::kI32, {shape.samples});
}

StepShape shape_of(const BatchInputs& batch) {
  return {.tokens = batch.num_tokens(),
          .seqs = batch.num_seqs(),
          .max_blocks = batch.max_blocks,
          .samples = static_cast<int>(batch.logits_rows.size())};
}

void write_step(const BatchInputs& batch, const StepArrays& arrays) {
  CHECK(arrays.token_ids.shape.elements() == batch.num_tokens() ||
            batch.num_tokens() == batch.num_seqs(),
        "only steps of one token for each sequence can be padded");
  write(batch.token_ids, arrays.token_ids, -1);  // no token: its row is zero throughout
  write({}, arrays.token_sources, -1);
  for (const auto& [row, sample] : batch.pending) {
    arrays.token_sources.as<int32_t>()[row] = sample;
  }
  write(batch.positions, arrays.positions, 0);
  write(batch.is_vision, arrays.is_vision, uint8_t{0});
  write(batch.slots, arrays.slots, -1);
  write(batch.query_start, arrays.query_start, 0);
  const auto starts = static_cast<int64_t>(batch.query_start.size());
  std::iota(arrays.query_start.as<int32_t>() + starts,
            arrays.query_start.as<int32_t>() + arrays.query_start.shape.elements(),
            batch.query_start.back() + 1);
  write(batch.context_len, arrays.context_len, 0);
  write(batch.logits_rows, arrays.logits_rows, 0);
  const auto samples = static_cast<int64_t>(batch.logits_rows.size());
  std::iota(arrays.logits_rows.as<int32_t>() + samples,
            arrays.logits_rows.as<int32_t>() + arrays.logits_rows.shape.elements(),
            static_cast<int32_t>(samples));
  const int64_t columns = arrays.block_tables.cols();
  CHECK(batch.max_blocks <= columns, "a sequence has too many blocks");
  auto* tables = arrays.block_tables.as<int32_t>();
  std::fill(tables, tables + arrays.block_tables.shape.elements(), 0);
  for (int64_t s = 0; s < batch.num_seqs(); ++s) {
    std::copy_n(batch.block_tables.begin() + s * batch.max_blocks, batch.max_blocks,
                tables + s * columns);
  }
}

}  // namespace ernie::engine
