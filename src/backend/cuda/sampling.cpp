#include "kernels/sampling/sampling.h"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <string>
#include <utility>

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda_sizing/work_sizes.h"
#include "base/check.h"
#include "kernels/common/arch.h"

namespace ernie::cuda {
namespace {

// The lists of all rows of a step, one behind the other.
struct Lists {
  std::vector<kernels::TokenBias> biases;
  std::vector<int32_t> banned;
  std::vector<kernels::TokenCount> penalties;
  std::vector<std::span<const uint32_t>> masks;
};

kernels::SamplingRow make_row(const ops::SampleRow& row, Lists& lists) {
  CHECK(row.options.top_logprobs <= kernels::kMaxTopLogprobs,
        "sample: " + std::to_string(row.options.top_logprobs) +
            " log-probabilities wanted, at most " + std::to_string(kernels::kMaxTopLogprobs) +
            " can be had");
  const ops::SamplingOptions& o = row.options;
  kernels::SamplingRow out{.temperature = o.temperature,
                           .top_p = o.top_p,
                           .min_p = o.min_p,
                           .repetition_penalty = o.repetition_penalty,
                           .frequency_penalty = o.frequency_penalty,
                           .presence_penalty = o.presence_penalty,
                           .top_k = o.top_k,
                           .forced_token = row.forced_token,
                           .top_logprobs = o.top_logprobs,
                           .seed = o.seed,
                           .position = row.position};
  if (!row.allowed.empty()) {
    out.allowed_row = static_cast<int32_t>(lists.masks.size());
    lists.masks.push_back(row.allowed);
  }
  const auto length = [](const auto& list) { return static_cast<int32_t>(list.size()); };
  out.bias_begin = length(lists.biases);
  for (const auto& [token, bias] : row.biases) lists.biases.push_back({token, bias});
  out.bias_count = length(lists.biases) - out.bias_begin;
  out.banned_begin = length(lists.banned);
  lists.banned.insert(lists.banned.end(), row.banned_tokens.begin(), row.banned_tokens.end());
  out.banned_count = length(lists.banned) - out.banned_begin;
  out.penalty_begin = length(lists.penalties);
  for (const auto& [token, in_output] : row.counts) lists.penalties.push_back({token, in_output});
  out.penalty_count = length(lists.penalties) - out.penalty_begin;
  return out;
}

ops::SampleResult make_result(const kernels::SampledRow& row) {
  ops::SampleResult result{.token = row.token,
                           .numeric_fault = row.fault != 0,
                           .logprob = row.logprob,
                           .rank = row.rank};
  for (int i = 0; i < row.top_count && row.top_logprobs[i] > -INFINITY; ++i) {
    result.top.push_back({row.top_tokens[i], row.top_logprobs[i]});
  }
  return result;
}

}  // namespace

void CudaBackend::reserve_draws(const ops::WorkShape& shape) {
  const DrawSizes sizes(shape, kernels::arch());
  sampling_rows_.get(sizes.rows);
  sampling_results_.get(sizes.results);
  sampling_lists_.get(sizes.lists);
  sampling_.get(sizes.workspace);
}

void CudaBackend::prepare_draw(std::span<const ops::SampleRow> rows) {
  if (rows.empty()) return;
  Lists lists;
  std::vector<kernels::SamplingRow> device_rows;
  for (const ops::SampleRow& row : rows) device_rows.push_back(make_row(row, lists));
  const size_t words = lists.masks.empty() ? 0 : lists.masks[0].size();
  const ListMemory memory(lists.biases.size(), lists.banned.size(), lists.penalties.size(),
                          words * lists.masks.size());
  char* base = static_cast<char*>(sampling_lists_.get(std::max<size_t>(memory.bytes, 16)));
  const auto place = [&](const auto& list, size_t offset) {
    if (!list.empty()) upload(base + offset, list.data(), list.size() * sizeof(list[0]));
    return static_cast<int32_t>(offset / sizeof(list[0]));
  };
  const int32_t biases = place(lists.biases, memory.biases);
  const int32_t banned = place(lists.banned, memory.banned);
  const int32_t penalties = place(lists.penalties, memory.penalties);
  // One copy for all masks: each takes its time on the device.
  staging_.upload(base + memory.masks, lists.masks.size(), words * sizeof(uint32_t),
                  [&](void* pinned, size_t first, size_t count) {
                    auto* out = static_cast<uint32_t*>(pinned);
                    for (size_t i = first; i < first + count; ++i) {
                      CHECK(lists.masks[i].size() == words, "masks of different vocabularies");
                      out = std::ranges::copy(lists.masks[i], out).out;
                    }
                  });
  masks_ = reinterpret_cast<const uint32_t*>(base + memory.masks);
  for (kernels::SamplingRow& row : device_rows) {
    row.bias_begin += biases;
    row.banned_begin += banned;
    row.penalty_begin += penalties;
  }
  upload(sampling_rows_.get(row_bytes(static_cast<int>(rows.size()))), device_rows.data(),
         row_bytes(static_cast<int>(rows.size())));
}

void CudaBackend::draw(TensorView logits, TensorView tokens) {
  const int count = static_cast<int>(logits.rows());
  const int vocab = static_cast<int>(logits.cols());
  CHECK(logits.dtype == DType::kF32 && row_bytes(count) <= sampling_rows_.bytes() &&
            (tokens.data == nullptr || tokens.shape.elements() == count),
        "draw: logits " + logits.shape.to_string() + ", tokens " + tokens.shape.to_string());
  if (count == 0) return;
  const void* lists = sampling_lists_.get(16);
  check(kernels::launch_sampling(
            {.logits = logits.as<const float>(),
             .row_stride = vocab,
             .vocab = vocab,
             .max_rows = count,
             .rows = static_cast<const kernels::SamplingRow*>(sampling_rows_.get(0)),
             .biases = static_cast<const kernels::TokenBias*>(lists),
             .banned = static_cast<const int32_t*>(lists),
             .penalties = static_cast<const kernels::TokenCount*>(lists),
             .allowed = masks_,
             .workspace =
                 sampling_.get(kernels::sampling_workspace_bytes(count, vocab, kernels::arch())),
             .tokens = tokens.as<int32_t>(),
             .results =
                 static_cast<kernels::SampledRow*>(sampling_results_.get(result_bytes(count)))},
            stream()),
        "launch of draw");
}

// Results on their way to pinned host memory, with the event that says they are there.
class CudaSamples final : public ops::PendingSamples {
 public:
  CudaSamples(std::shared_ptr<ResultSlots> slots, cudaStream_t stream, const void* results,
              int rows)
      : slots_(std::move(slots)), slot_(slots_->take(result_bytes(rows))), rows_(rows) {
    if (rows > 0) {
      check(cudaMemcpyAsync(slot_->memory, results, result_bytes(rows), cudaMemcpyDeviceToHost,
                            stream),
            "cudaMemcpyAsync");
    }
    check(cudaEventRecord(slot_->done, stream), "cudaEventRecord");
  }
  ~CudaSamples() override { slots_->give_back(std::move(slot_)); }

  const std::vector<ops::SampleResult>& wait() override {
    std::call_once(read_, [this] {
      check(cudaEventSynchronize(slot_->done), "a step on the device");
      const auto* sampled = static_cast<const kernels::SampledRow*>(slot_->memory);
      for (int i = 0; i < rows_; ++i) results_.push_back(make_result(sampled[i]));
    });
    return results_;
  }
  bool immediate() const override { return false; }

 private:
  std::shared_ptr<ResultSlots> slots_;
  std::unique_ptr<ResultSlots::Slot> slot_;
  int rows_;
  std::once_flag read_;
  std::vector<ops::SampleResult> results_;
};

std::shared_ptr<ops::PendingSamples> CudaBackend::finish_step(int rows) {
  const void* results = rows > 0 ? sampling_results_.get(result_bytes(rows)) : nullptr;
  return std::make_shared<CudaSamples>(result_slots_, stream(), results, rows);
}

}  // namespace ernie::cuda
