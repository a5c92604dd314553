#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include "model/model.h"

namespace ernie::model::testing {

// Runs one sequence through a model without an engine, for tests: one rank, its own paged cache
// whose blocks are handed out in falling order, so that the block table matters.
class PromptRunner {
 public:
  struct Args {
    Model& model;
    ops::Backend& backend;
    int tensor_parallel_size = 1;
    DType dtype = DType::kF32;
    int max_tokens = 1024;
    int block_size = 16;
    std::optional<KvType> kv_cache;  // none: as dtype
    bool rehearsal = false;
  };

  explicit PromptRunner(const Args& args) : a_(args) {
    const ModelConfig& config = a_.model.config();
    blocks_ = (a_.max_tokens + a_.block_size - 1) / a_.block_size;
    const ops::KvLayout kv = kv_layout(config, a_.kv_cache.value_or(kv_type_of(a_.dtype)),
                                       a_.tensor_parallel_size, a_.block_size);
    const Shape shape{blocks_, kv.kv_heads, kv.block_size, kv.head_dim};
    for (int l = 0; l < config.num_layers; ++l) {
      const DType dtype = element_dtype(kv.type);
      ops::KvLayer layer{take(dtype, shape), take(dtype, shape), {}, kv};
      if (is_quantized(kv.type)) {
        layer.scales = take(DType::kBF16, {blocks_, kv.kv_heads, kv.block_size, 2});
      }
      cache_.push_back(layer);
    }
    std::vector<int32_t> table;
    for (int b = 0; b < blocks_; ++b) table.push_back(blocks_ - 1 - b);
    block_table_ = upload<int32_t>(table, DType::kI32, {1, blocks_});
  }

  // Logits [end - begin, vocab] of the prompt's tokens [begin, end), which follow those already
  // run.
  std::vector<float> run(const Prompt& prompt, int begin, int end) {
    ModelInput input;
    for (const MediaUnit& unit : prompt.media) {
      const int first = std::max(begin, unit.begin);
      const int last = std::min(end, unit.begin + unit.length);
      if (first < last) {
        input.media.push_back({&unit, first - begin, first - unit.begin, last - first});
      }
    }
    const size_t count = static_cast<size_t>(end - begin);
    return step(input, std::span(prompt.tokens).subspan(begin, count),
                std::span(prompt.positions).subspan(begin, count),
                std::span(prompt.is_vision).subspan(begin, count));
  }
  std::vector<float> run(const Prompt& prompt) {
    return run(prompt, 0, static_cast<int>(prompt.tokens.size()));
  }

  // Logits [vocab] after one generated token.
  std::vector<float> decode(int32_t token, int32_t position) {
    const std::array<int32_t, 3> at{position, position, position};
    const uint8_t text = 0;
    return step({}, {&token, 1}, {&at, 1}, {&text, 1});
  }

  const KvCache& cache() const { return cache_; }

 private:
  TensorView take(DType dtype, Shape shape) {
    const TensorView view{nullptr, dtype, shape};
    return buffers_.emplace_back(a_.backend.allocate(std::max<size_t>(view.bytes(), 1)))
        .view(dtype, shape);
  }

  template <typename T>
  TensorView upload(std::span<const T> values, DType dtype, Shape shape) {
    const TensorView view = take(dtype, shape);
    a_.backend.copy_to_device(view.data, values.data(), values.size_bytes());
    return view;
  }

  std::vector<float> step(ModelInput input, std::span<const int32_t> tokens,
                          std::span<const std::array<int32_t, 3>> positions,
                          std::span<const uint8_t> is_vision) {
    const int n = static_cast<int>(tokens.size());
    const size_t kept = buffers_.size();
    std::vector<int32_t> slots, rows;
    for (int i = 0; i < n; ++i) {
      const int token = length_ + i;
      slots.push_back((blocks_ - 1 - token / a_.block_size) * a_.block_size +
                      token % a_.block_size);
      rows.push_back(i);
    }
    length_ += n;
    input.rehearsal = a_.rehearsal;
    input.num_tokens = n;
    input.token_ids = upload<int32_t>(tokens, DType::kI32, {n});
    input.positions = upload(positions, DType::kI32, {n, 3});
    input.is_vision = upload(is_vision, DType::kU8, {n});
    input.any_vision = std::any_of(is_vision.begin(), is_vision.end(), [](uint8_t v) { return v; });
    input.slots = upload<int32_t>(slots, DType::kI32, {n});
    input.attention.num_seqs = 1;
    input.attention.max_query_len = n;
    const std::vector<int32_t> query_start{0, n}, context_len{length_};
    input.attention.query_start = upload<int32_t>(query_start, DType::kI32, {2});
    input.attention.context_len = upload<int32_t>(context_len, DType::kI32, {1});
    input.attention.host_query_start = query_start;
    input.attention.host_context_len = context_len;
    input.attention.block_tables = block_table_;
    input.logits_rows = upload<int32_t>(rows, DType::kI32, {n});
    input.num_logits = n;
    const TensorView logits = take(DType::kF32, {n, a_.model.config().vocab_size});
    a_.model.forward(input, cache_, logits);
    std::vector<float> host(static_cast<size_t>(logits.shape.elements()));
    a_.backend.copy_to_host(host.data(), logits.data, logits.bytes());
    buffers_.erase(buffers_.begin() + static_cast<long>(kept), buffers_.end());
    return host;
  }

  Args a_;
  int blocks_ = 0;
  int length_ = 0;
  std::vector<Buffer> buffers_;
  KvCache cache_;
  TensorView block_table_;
};

}  // namespace ernie::model::testing
