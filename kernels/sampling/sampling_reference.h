#pragma once

// What sampling_test compares with: the definition of sampling on the host.

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <vector>

#include "kernels/sampling/sampling.h"

namespace ernie::kernels {

inline constexpr float kInfinity = INFINITY;
inline constexpr double kRelative = 1e-5;  // of a sum of float32 weights, with room

// One row's request: SamplingRow with its lists.
struct Request {
  SamplingRow row;
  std::vector<TokenBias> biases;
  std::vector<int32_t> banned;
  std::vector<TokenCount> counts;
  std::vector<uint32_t> allowed;  // one word for 32 tokens; empty: no mask
};

inline double counter_uniform(uint64_t seed, uint64_t position, uint32_t index) {
  uint32_t c[4] = {static_cast<uint32_t>(position), static_cast<uint32_t>(position >> 32), index,
                   0};
  uint32_t key[2] = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53u} * c[0];
    const uint64_t b = uint64_t{0xCD9E8D57u} * c[2];
    const uint32_t next[4] = {
        static_cast<uint32_t>(b >> 32) ^ c[1] ^ key[0], static_cast<uint32_t>(b),
        static_cast<uint32_t>(a >> 32) ^ c[3] ^ key[1], static_cast<uint32_t>(a)};
    std::copy(next, next + 4, c);
    key[0] += 0x9E3779B9u;
    key[1] += 0xBB67AE85u;
  }
  return static_cast<double>((uint64_t{c[0]} << 32 | c[1]) >> 11) * 0x1p-53;
}

// The definition of src/ops/sampling.h in float64 with full sorts.
class Reference {
 public:
  Reference(std::vector<float> logits, const Request& request) : request_(request) {
    const SamplingRow& row = request.row;
    for (size_t i = 0; i < logits.size() && !request.allowed.empty() && row.forced_token < 0; ++i) {
      const bool allowed = (request.allowed[i / 32] >> (i % 32) & 1) != 0;
      if (!allowed && !std::isnan(logits[i])) logits[i] = -kInfinity;
    }
    raw_ = logits;
    raw_order_ = order(logits);
    if (row.top_logprobs >= 0) {
      if (!usable(logits)) return;
      const double top = *std::max_element(logits.begin(), logits.end());
      double sum = 0;
      for (float v : logits) sum += std::exp(v - top);
      log_sum_ = top + std::log(sum);
    }
    if (row.forced_token >= 0) {
      fault_ = false;
      token_ = row.forced_token;
      return;
    }
    adjust(logits);
    if (!usable(logits)) return;
    fault_ = false;
    adjusted_order_ = order(logits);
    greedy_ = row.temperature < 1e-6f || row.top_p <= 0 || row.top_k == 1;
    token_ = adjusted_order_[0];
    if (greedy_) return;
    const float top = logits[static_cast<size_t>(token_)];
    const float scale = 1.0f / row.temperature;
    weights_.resize(logits.size());
    for (size_t i = 0; i < logits.size(); ++i) {
      weights_[i] = static_cast<float>(std::exp(static_cast<double>((logits[i] - top) * scale)));
      if (weights_[i] < row.min_p) weights_[i] = 0;
    }
    sorted_ = order(weights_);
    if (row.top_k > 0 && row.top_k < static_cast<int>(weights_.size())) {
      for (size_t i = static_cast<size_t>(row.top_k); i < sorted_.size(); ++i) {
        weights_[static_cast<size_t>(sorted_[i])] = 0;
      }
    }
    total_ = std::accumulate(weights_.begin(), weights_.end(), 0.0);
    kept_.resize(weights_.size());
    double ahead = 0;
    for (int32_t i : sorted_) {
      const double w = weights_[static_cast<size_t>(i)];
      if (w > 0 && (row.top_p >= 1 || ahead < row.top_p * total_)) {
        kept_[static_cast<size_t>(i)] = w;
        lightest_ = w;
      }
      ahead += w;
    }
    token_ = draw();
  }

  bool fault() const { return fault_; }
  int32_t token() const { return token_; }
  bool is_random() const { return !fault_ && !greedy_ && request_.row.forced_token < 0; }
  double logprob(int32_t token) const { return raw_[static_cast<size_t>(token)] - log_sum_; }
  // Of a forced token; 0 of another.
  int32_t rank() const {
    if (request_.row.forced_token < 0) return 0;
    const float own = raw_[static_cast<size_t>(token_)];
    return 1 + static_cast<int32_t>(
                   std::count_if(raw_.begin(), raw_.end(), [own](float v) { return v > own; }));
  }
  int32_t raw_at(int place) const { return raw_order_[static_cast<size_t>(place)]; }
  // May the token be drawn, but for rounding at the edge?
  bool possible(int32_t token) const {
    if (token < 0 || token >= static_cast<int32_t>(kept_.size())) return false;
    const size_t i = static_cast<size_t>(token);
    return kept_[i] > 0 || (weights_[i] > 0 && weights_[i] >= lightest_ * (1 - kRelative));
  }
  std::vector<double> distribution() const {
    std::vector<double> p = kept_;
    const double sum = std::accumulate(p.begin(), p.end(), 0.0);
    for (double& v : p) v /= sum;
    return p;
  }

 private:
  static std::vector<int32_t> order(const std::vector<float>& values) {
    std::vector<int32_t> ids(values.size());
    std::iota(ids.begin(), ids.end(), 0);
    std::stable_sort(ids.begin(), ids.end(), [&](int32_t a, int32_t b) {
      return values[static_cast<size_t>(a)] > values[static_cast<size_t>(b)];
    });
    return ids;
  }
  static bool usable(const std::vector<float>& logits) {
    bool any = false;
    for (float v : logits) {
      if (std::isnan(v) || v == kInfinity) return false;
      any = any || v > -kInfinity;
    }
    return any;
  }
  void adjust(std::vector<float>& logits) const {
    const SamplingRow& row = request_.row;
    const auto known = [&](int32_t t) { return t >= 0 && t < static_cast<int32_t>(logits.size()); };
    for (const TokenBias& b : request_.biases) {
      if (known(b.token)) logits[static_cast<size_t>(b.token)] += b.bias;
    }
    for (int32_t t : request_.banned) {
      if (known(t)) logits[static_cast<size_t>(t)] = -kInfinity;
    }
    for (const TokenCount& c : request_.counts) {
      if (!known(c.token)) continue;
      float& v = logits[static_cast<size_t>(c.token)];
      if (row.repetition_penalty != 1) {
        v = v > 0 ? v / row.repetition_penalty : v * row.repetition_penalty;
      }
      if (c.output_count > 0) {
        const float frequency = row.frequency_penalty * static_cast<float>(c.output_count);
        v -= frequency + row.presence_penalty;
      }
    }
  }
  // The CPU backend's rejection class in float64.
  int32_t draw() const {
    std::vector<double> w(weights_.begin(), weights_.end());
    const double wanted = request_.row.top_p < 1 ? request_.row.top_p * total_ : total_;
    double high = 1;
    for (uint32_t round = 0;; ++round) {
      const double total = std::accumulate(w.begin(), w.end(), 0.0);
      const double target =
          counter_uniform(request_.row.seed, request_.row.position, round) * total;
      double sum = 0;
      int32_t token = -1;
      for (size_t i = 0; i < w.size(); ++i) {
        if (w[i] <= 0) continue;
        token = static_cast<int32_t>(i);
        sum += w[i];
        if (sum > target) break;
      }
      if (request_.row.top_p >= 1) return token;
      const double pivot = w[static_cast<size_t>(token)];
      const double middle = static_cast<float>(pivot + (high - pivot) * 0.5);
      double ahead = 0;
      double above = 0;
      for (size_t i = 0; i < w.size(); ++i) {
        if (w[i] > pivot || (w[i] == pivot && static_cast<int32_t>(i) < token)) ahead += w[i];
        if (w[i] > middle) above += w[i];
      }
      if (ahead < wanted) return token;
      const bool by_middle = middle > pivot && above >= wanted;
      if (!by_middle) high = middle;
      for (size_t i = 0; i < w.size(); ++i) {
        const bool stays = by_middle
                               ? w[i] > middle
                               : w[i] > pivot || (w[i] == pivot && static_cast<int32_t>(i) < token);
        if (!stays) w[i] = 0;
      }
    }
  }

  const Request& request_;
  std::vector<float> raw_;
  std::vector<int32_t> raw_order_;
  std::vector<int32_t> adjusted_order_;
  std::vector<float> weights_;
  std::vector<int32_t> sorted_;
  std::vector<double> kept_;
  double total_ = 0;
  double lightest_ = 0;
  double log_sum_ = 0;
  bool fault_ = true;
  bool greedy_ = false;
  int32_t token_ = -1;
};

}  // namespace ernie::kernels
