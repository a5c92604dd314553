#include <algorithm>
#include <string>
#include <vector>

#include "kernels/common/arch.h"
#include "kernels/sampling/sampling.h"
#include "kernels/testing/bench.h"

namespace ernie::kernels::bench {
namespace {

constexpr int kVocab = 103424;

// Time per step for `rows` rows like `row`, over logits of their own for each launch of a graph as
// far as that takes at most 1 GB. The bytes are those of reading the logits once.
void measure(const std::string& what, int rows, SamplingRow row, int penalties = 0) {
  const size_t step_bytes = sizeof(float) * kVocab * static_cast<size_t>(rows);
  const int copies = static_cast<int>(std::min<size_t>(20, (size_t{1} << 30) / step_bytes));
  auto* logits =
      static_cast<float*>(allocate_random(step_bytes * static_cast<size_t>(copies), false, 12.0f));
  std::vector<SamplingRow> host_rows;
  std::vector<TokenCount> counts;
  for (int r = 0; r < rows; ++r) {
    row.seed = static_cast<uint64_t>(r);
    row.penalty_begin = static_cast<int32_t>(counts.size());
    row.penalty_count = penalties;
    for (int i = 0; i < penalties; ++i) counts.push_back({i * 37 % kVocab, i % 3});
    host_rows.push_back(row);
  }
  counts.push_back({});
  SamplingParams params;
  params.row_stride = kVocab;
  params.vocab = kVocab;
  params.max_rows = rows;
  params.rows = static_cast<SamplingRow*>(
      allocate_and_copy(host_rows.data(), host_rows.size() * sizeof(SamplingRow)));
  params.penalties = static_cast<TokenCount*>(
      allocate_and_copy(counts.data(), counts.size() * sizeof(TokenCount)));
  params.workspace = allocate_zeroed(sampling_workspace_bytes(rows, kVocab, arch()) + 16);
  params.tokens =
      static_cast<int32_t*>(allocate_zeroed(sizeof(int32_t) * static_cast<size_t>(rows)));
  params.results =
      static_cast<SampledRow*>(allocate_zeroed(sizeof(SampledRow) * static_cast<size_t>(rows)));
  const double us = time_launches([&](cudaStream_t stream, int index) {
    params.logits = logits + static_cast<size_t>(index % copies) * (step_bytes / sizeof(float));
    return launch_sampling(params, stream);
  });
  report(what + ", " + std::to_string(rows) + " rows", us, static_cast<double>(step_bytes));
  for (const void* p :
       {static_cast<const void*>(logits), static_cast<const void*>(params.rows),
        static_cast<const void*>(params.penalties), static_cast<const void*>(params.workspace),
        static_cast<const void*>(params.tokens), static_cast<const void*>(params.results)}) {
    check(cudaFree(const_cast<void*>(p)), "cudaFree");
  }
}

KERNEL_BENCH(sampling) {
  for (int rows : {1, 8, 64, 256}) {
    SamplingRow greedy;
    greedy.temperature = 0;
    measure("greedy", rows, greedy);
    SamplingRow plain;
    measure("temperature 1", rows, plain);
    SamplingRow nucleus;
    nucleus.temperature = 0.8f;
    nucleus.top_p = 0.8f;
    measure("temperature 0.8, top-p 0.8", rows, nucleus);
    SamplingRow both = nucleus;
    both.top_k = 50;
    measure("temperature 0.8, top-k 50, top-p 0.8", rows, both);
    SamplingRow logprobs = nucleus;
    logprobs.top_logprobs = 20;
    measure("top-p 0.8, 20 logprobs", rows, logprobs);
    SamplingRow penalised = nucleus;
    penalised.repetition_penalty = 1.1f;
    penalised.frequency_penalty = 0.1f;
    measure("top-p 0.8, penalties over 4096 tokens", rows, penalised, 4096);
  }
}

}  // namespace
}  // namespace ernie::kernels::bench
