#include "kernels/sampling/sampling.h"

#include <algorithm>
#include <string>
#include <utility>

#include "backend/cuda/cuda_backend.h"
#include "base/check.h"

namespace ernie::cuda {
namespace {

// The lists of all rows of a step, one behind the other.
struct Lists {
  std::vector<kernels::TokenBias> biases;
  std::vector<int32_t> banned;
  std::vector<kernels::TokenCount> penalties;
};

// Biases of the same token add up.
void add_biases(const ops::SampleRow& row, std::vector<kernels::TokenBias>& out) {
  const size_t begin = out.size();
  for (const auto& [token, bias] : row.logit_bias) out.push_back({token, bias});
  std::stable_sort(out.begin() + static_cast<std::ptrdiff_t>(begin), out.end(),
                   [](const auto& a, const auto& b) { return a.token < b.token; });
  size_t end = begin;
  for (size_t i = begin; i < out.size(); ++i) {
    if (end > begin && out[end - 1].token == out[i].token) {
      out[end - 1].bias += out[i].bias;
    } else {
      out[end++] = out[i];
    }
  }
  out.resize(end);
}

void add_banned(const ops::SampleRow& row, std::vector<int32_t>& out) {
  const auto begin = static_cast<std::ptrdiff_t>(out.size());
  out.insert(out.end(), row.banned_tokens.begin(), row.banned_tokens.end());
  std::sort(out.begin() + begin, out.end());
  out.erase(std::unique(out.begin() + begin, out.end()), out.end());
}

bool has_penalties(const ops::SampleRow& row) {
  return row.repetition_penalty != 1.0f || row.frequency_penalty != 0.0f ||
         row.presence_penalty != 0.0f;
}

void add_penalties(const ops::SampleRow& row, std::vector<kernels::TokenCount>& out) {
  if (!has_penalties(row)) return;
  const size_t begin = out.size();
  for (const int32_t token : row.prompt_tokens) out.push_back({token, 0});
  for (const int32_t token : row.output_tokens) out.push_back({token, 1});
  std::sort(out.begin() + static_cast<std::ptrdiff_t>(begin), out.end(),
            [](const auto& a, const auto& b) { return a.token < b.token; });
  size_t end = begin;
  for (size_t i = begin; i < out.size(); ++i) {
    if (end > begin && out[end - 1].token == out[i].token) {
      out[end - 1].output_count += out[i].output_count;
    } else {
      out[end++] = out[i];
    }
  }
  out.resize(end);
}

kernels::SamplingRow make_row(const ops::SampleRow& row, int vocab, Lists& lists) {
  CHECK(row.top_logprobs <= kernels::kMaxTopLogprobs,
        "sample: " + std::to_string(row.top_logprobs) + " log-probabilities wanted, at most " +
            std::to_string(kernels::kMaxTopLogprobs) + " can be had");
  CHECK(row.forced_token < vocab, "sample: forced token " + std::to_string(row.forced_token) +
                                      " of " + std::to_string(vocab));
  kernels::SamplingRow out{.temperature = row.temperature,
                           .top_p = row.top_p,
                           .min_p = row.min_p,
                           .repetition_penalty = row.repetition_penalty,
                           .frequency_penalty = row.frequency_penalty,
                           .presence_penalty = row.presence_penalty,
                           .top_k = row.top_k,
                           .forced_token = row.forced_token,
                           .top_logprobs = row.top_logprobs,
                           .seed = row.seed,
                           .position = row.position};
  const auto length = [](const auto& list) { return static_cast<int32_t>(list.size()); };
  out.bias_begin = length(lists.biases);
  add_biases(row, lists.biases);
  out.bias_count = length(lists.biases) - out.bias_begin;
  out.banned_begin = length(lists.banned);
  add_banned(row, lists.banned);
  out.banned_count = length(lists.banned) - out.banned_begin;
  out.penalty_begin = length(lists.penalties);
  add_penalties(row, lists.penalties);
  out.penalty_count = length(lists.penalties) - out.penalty_begin;
  return out;
}

ops::SampleResult make_result(const kernels::SampledRow& row) {
  ops::SampleResult result{
      .token = row.token, .numeric_fault = row.fault != 0, .logprob = row.logprob};
  for (int i = 0; i < row.top_count; ++i) {
    result.top.push_back({row.top_tokens[i], row.top_logprobs[i]});
  }
  return result;
}

size_t padded(size_t bytes) { return (bytes + 255) / 256 * 256; }

}  // namespace

// Both sampling classes have one kernel: it draws from the exact distribution without sorting.
std::vector<ops::SampleResult> CudaBackend::sample(TensorView logits,
                                                   std::span<const ops::SampleRow> rows,
                                                   ops::SamplingClass) {
  if (rows.empty()) return {};
  const int count = static_cast<int>(rows.size());
  const int vocab = static_cast<int>(logits.cols());
  CHECK(logits.dtype == DType::kF32 && logits.rows() == count,
        "sample: logits " + logits.shape.to_string() + " for " + std::to_string(count) + " rows");
  Lists lists;
  std::vector<kernels::SamplingRow> device_rows;
  for (const ops::SampleRow& row : rows) device_rows.push_back(make_row(row, vocab, lists));

  const size_t bias_bytes = padded(lists.biases.size() * sizeof(kernels::TokenBias));
  const size_t banned_bytes = padded(lists.banned.size() * sizeof(int32_t));
  const size_t penalty_bytes = padded(lists.penalties.size() * sizeof(kernels::TokenCount));
  char* list_memory =
      static_cast<char*>(sampling_lists_.get(bias_bytes + banned_bytes + penalty_bytes));
  const auto place = [&](const auto& list, size_t offset) {
    using T = typename std::decay_t<decltype(list)>::value_type;
    if (!list.empty()) upload(list_memory + offset, list.data(), list.size() * sizeof(T));
    return reinterpret_cast<const T*>(list_memory + offset);
  };
  auto* row_memory = sampling_rows_.get_array<kernels::SamplingRow>(count);
  upload(row_memory, device_rows.data(), device_rows.size() * sizeof(device_rows[0]));
  const size_t result_bytes = padded(static_cast<size_t>(count) * sizeof(kernels::SampledRow));
  char* results = static_cast<char*>(
      sampling_results_.get(result_bytes + static_cast<size_t>(count) * sizeof(int32_t)));
  check(kernels::launch_sampling(
            {.logits = logits.as<const float>(),
             .row_stride = vocab,
             .vocab = vocab,
             .max_rows = count,
             .rows = row_memory,
             .biases = place(lists.biases, 0),
             .banned = place(lists.banned, bias_bytes),
             .penalties = place(lists.penalties, bias_bytes + banned_bytes),
             .workspace = sampling_.get(kernels::sampling_workspace_bytes(count, vocab)),
             .tokens = reinterpret_cast<int32_t*>(results + result_bytes),
             .results = reinterpret_cast<kernels::SampledRow*>(results)},
            stream()),
        "launch of sample");
  std::vector<kernels::SampledRow> sampled(rows.size());
  copy_to_host(sampled.data(), results, sampled.size() * sizeof(sampled[0]));
  std::vector<ops::SampleResult> out;
  out.reserve(sampled.size());
  for (const kernels::SampledRow& row : sampled) out.push_back(make_result(row));
  return out;
}

}  // namespace ernie::cuda
