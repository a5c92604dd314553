#include "backend/cpu/sampler.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>

#include "backend/cpu/cpu_ops.h"
#include "base/check.h"

namespace ernie::cpu {
namespace {

constexpr float kGreedyBelow = 1e-6f;

// Rising position: larger weight first, then the smaller id.
bool precedes(float a, int32_t a_token, float b, int32_t b_token) {
  return a != b ? a > b : a_token < b_token;
}

bool is_greedy(const ops::SampleRow& row) {
  const ops::SamplingOptions& o = row.options;
  return o.temperature < kGreedyBelow || o.top_p <= 0.0f || o.top_k == 1;
}

}  // namespace

ops::SampleResult RowSampler::sample(float* logits, int64_t vocab, const ops::SampleRow& row) {
  ops::SampleResult result;
  const auto fault = [] { return ops::SampleResult{.numeric_fault = true}; };
  const bool wants_logprobs = row.options.top_logprobs >= 0;
  if (row.forced_token < 0 && !row.allowed.empty()) keep_allowed(logits, vocab, row.allowed);
  if (wants_logprobs) {
    const RowMaximum m = kernels_->row_maximum(logits, vocab);
    if (m.fault || m.index < 0) return fault();
    log_sum_ = static_cast<double>(m.value) +
               std::log(kernels_->exp_sum(logits, vocab, m.value, 1.0f, nullptr));
    raw_logprobs(logits, vocab, row.options.top_logprobs);
    raw_.assign(logits, logits + vocab);
  }

  int32_t token = row.forced_token;
  if (token < 0) {
    adjust(logits, vocab, row);
    const RowMaximum m = kernels_->row_maximum(logits, vocab);
    if (m.fault || m.index < 0) return fault();
    if (is_greedy(row)) {
      token = m.index;
    } else {
      kernels_->exp_sum(logits, vocab, m.value, 1.0f / row.options.temperature, logits);
      token = draw_one(logits, vocab, row);
    }
  }
  result.token = token;
  if (wants_logprobs) {
    CHECK(token < vocab, "forced token " + std::to_string(token) +
                             " is outside the vocabulary of " + std::to_string(vocab));
    const float own = raw_[static_cast<size_t>(token)];
    result.logprob = static_cast<float>(own - log_sum_);
    if (row.forced_token >= 0) {
      result.rank = static_cast<int32_t>(
          std::ranges::count_if(raw_, [own](float other) { return other > own; }) + 1);
    }
    result.top = top_;
  }
  return result;
}

void RowSampler::keep_allowed(float* logits, int64_t vocab, std::span<const uint32_t> allowed) {
  CHECK(allowed.size() == (static_cast<size_t>(vocab) + 31) / 32, "a mask of another vocabulary");
  for (int64_t i = 0; i < vocab; ++i) {
    const bool is_allowed = (allowed[static_cast<size_t>(i) / 32] >> (i % 32) & 1) != 0;
    // Not a number stays what it is, so that it is found.
    if (!is_allowed && !std::isnan(logits[i])) logits[i] = -std::numeric_limits<float>::infinity();
  }
}

void RowSampler::raw_logprobs(const float* logits, int64_t vocab, int top) {
  const size_t wanted = static_cast<size_t>(std::min<int64_t>(top, vocab));
  const auto before = [](const Candidate& a, const Candidate& b) {
    return precedes(a.value, a.token, b.value, b.token);
  };
  // A heap whose front is the last of the best so far.
  candidates_.clear();
  float worst = -std::numeric_limits<float>::infinity();
  for (int64_t i = 0; wanted > 0 && i < vocab; ++i) {
    if (candidates_.size() == wanted && !(logits[i] > worst)) continue;
    if (candidates_.size() == wanted) {
      std::pop_heap(candidates_.begin(), candidates_.end(), before);
      candidates_.pop_back();
    }
    candidates_.push_back({logits[i], static_cast<int32_t>(i)});
    std::push_heap(candidates_.begin(), candidates_.end(), before);
    worst = candidates_.front().value;
  }
  std::sort_heap(candidates_.begin(), candidates_.end(), before);
  top_.clear();
  for (const Candidate& c : candidates_) {
    if (c.value == -std::numeric_limits<float>::infinity()) break;
    top_.push_back({c.token, static_cast<float>(c.value - log_sum_)});
  }
}

void RowSampler::adjust(float* logits, int64_t vocab, const ops::SampleRow& row) {
  const auto known = [vocab](int32_t token) { return token >= 0 && token < vocab; };
  for (const auto& [token, bias] : row.biases) {
    if (known(token)) logits[token] += bias;
  }
  for (int32_t token : row.banned_tokens) {
    if (known(token)) logits[token] = -std::numeric_limits<float>::infinity();
  }
  const ops::SamplingOptions& o = row.options;
  for (const auto& [token, in_output] : row.counts) {
    if (!known(token)) continue;
    float& v = logits[token];
    if (o.repetition_penalty != 1.0f) {
      v = v > 0 ? v / o.repetition_penalty : v * o.repetition_penalty;
    }
    if (in_output > 0) {
      v -= o.frequency_penalty * static_cast<float>(in_output) + o.presence_penalty;
    }
  }
}

int32_t RowSampler::draw_all(const float* weights, int64_t vocab, double target) const {
  // Whole blocks first; the same block sums for every target.
  constexpr int64_t kBlock = 1024;
  double sum = 0;
  int32_t last = -1;
  for (int64_t b = 0; b < vocab; b += kBlock) {
    const int64_t end = std::min(b + kBlock, vocab);
    const double block = kernels_->mass_above(weights + b, end - b, 0.0f);
    if (block > 0 && sum + block > target) {
      double inside = sum;
      for (int64_t i = b; i < end; ++i) {
        if (weights[i] <= 0) continue;
        last = static_cast<int32_t>(i);
        inside += weights[i];
        if (inside > target) return last;
      }
    } else if (block > 0) {
      for (int64_t i = end - 1; i >= b; --i) {
        if (weights[i] > 0) {
          last = static_cast<int32_t>(i);
          break;
        }
      }
    }
    sum += block;
  }
  return last;  // rounding carried the target past the end
}

int32_t RowSampler::draw_one(float* weights, int64_t vocab, const ops::SampleRow& row) {
  const ops::SamplingOptions& o = row.options;
  if (o.min_p > 0.0f) kernels_->drop_below(weights, vocab, o.min_p);
  if (o.top_k > 0 && o.top_k < vocab) keep_top_k(weights, vocab, o.top_k);
  double total = kernels_->mass_above(weights, vocab, 0.0f);
  const double wanted = o.top_p < 1.0f ? o.top_p * total : total;
  float high = 1.0f;  // no weight is larger
  for (uint32_t round = 0;; ++round) {
    const double u = counter_uniform(o.seed, row.position, round);
    const int32_t token = draw_all(weights, vocab, u * total);
    if (o.top_p >= 1.0f) return token;
    const float pivot = weights[token];
    double ahead = kernels_->mass_above(weights, vocab, pivot);
    for (int32_t i = 0; i < token && ahead < wanted; ++i) {
      if (weights[i] == pivot) ahead += pivot;
    }
    if (ahead < wanted) return token;
    // Neither this token nor any behind it is in the nucleus; the middle of what is left is tried
    // as a second pivot, so that the range shrinks at least by half.
    const float middle = pivot + (high - pivot) * 0.5f;
    if (middle > pivot && kernels_->mass_above(weights, vocab, middle) >= wanted) {
      kernels_->drop_below(weights, vocab, std::nextafter(middle, 2.0f));
    } else {
      high = middle;
      kernels_->drop_below(weights, vocab, pivot);
      for (int64_t i = token; i < vocab; ++i) {
        if (weights[i] == pivot) weights[i] = 0;
      }
    }
    total = kernels_->mass_above(weights, vocab, 0.0f);
  }
}

void RowSampler::keep_top_k(float* weights, int64_t vocab, int k) {
  // Digit by digit from the top, count how many weights share the digits of the k-th largest.
  // Non-negative floats order as their bits do.
  constexpr int kShifts[] = {21, 10, 0};
  constexpr int kBits[] = {11, 11, 10};
  uint32_t prefix = 0;
  uint32_t prefix_mask = 0;
  int64_t wanted = k;  // rank among the weights with this prefix
  for (int pass = 0; pass < 3; ++pass) {
    const uint32_t digit_mask = (1u << kBits[pass]) - 1;
    histogram_.assign(size_t{1} << kBits[pass], 0);
    for (int64_t i = 0; i < vocab; ++i) {
      const uint32_t bits = std::bit_cast<uint32_t>(weights[i]);
      if ((bits & prefix_mask) == prefix) ++histogram_[bits >> kShifts[pass] & digit_mask];
    }
    uint32_t digit = digit_mask;
    while (digit > 0 && histogram_[digit] < wanted) wanted -= histogram_[digit--];
    prefix |= digit << kShifts[pass];
    prefix_mask |= digit_mask << kShifts[pass];
  }
  const float threshold = std::bit_cast<float>(prefix);
  if (threshold == 0.0f) return;  // fewer than k are left
  kernels_->drop_below(weights, vocab, threshold);
  for (int64_t i = 0; i < vocab; ++i) {
    if (weights[i] == threshold && wanted-- <= 0) weights[i] = 0;
  }
}

void CpuBackend::do_resolve_tokens(const ops::ResolveTokensArgs& a) {
  for (int64_t i = 0; i < a.ids.shape.elements(); ++i) {
    const int32_t source = a.sources.as<const int32_t>()[i];
    if (source >= 0) a.ids.as<int32_t>()[i] = a.drawn.as<const int32_t>()[source];
  }
}

void CpuBackend::prepare_draw(std::span<const ops::SampleRow> rows) { draw_rows_ = rows; }

void CpuBackend::draw(TensorView logits, TensorView tokens) {
  CHECK(logits.dtype == DType::kF32 && logits.rows() == static_cast<int64_t>(draw_rows_.size()),
        "draw: logits " + logits.shape.to_string() + " for " + std::to_string(draw_rows_.size()) +
            " rows");
  const int64_t vocab = logits.cols();
  drawn_.assign(draw_rows_.size(), {});
  pool_.parallel_for(logits.rows(), [&](int64_t i, int thread) {
    const size_t at = static_cast<size_t>(i);
    drawn_[at] = samplers_[static_cast<size_t>(thread)].sample(logits.as<float>() + i * vocab,
                                                               vocab, draw_rows_[at]);
    if (tokens.data != nullptr) tokens.as<int32_t>()[i] = drawn_[at].token;
  });
}

std::shared_ptr<ops::PendingSamples> CpuBackend::finish_step(int rows) {
  drawn_.resize(static_cast<size_t>(rows));
  return std::make_shared<ops::ReadySamples>(std::exchange(drawn_, {}));
}

}  // namespace ernie::cpu
