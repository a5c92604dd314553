#pragma once

// Reductions over one row of logits or weights. Include simd/math.h before.

namespace ernie::cpu {
namespace {

RowMaximum row_maximum(const float* x, int64_t n) {
  constexpr int64_t kBlock = 1024;
  const float infinity = __builtin_inff();
  RowMaximum best{-infinity, -1, false};
  Vec fault = splat(0.0f);
  for (int64_t b = 0; b < n; b += kBlock) {
    const int64_t count = n - b < kBlock ? n - b : kBlock;
    Vec m = splat(-infinity);
    int64_t i = 0;
    for (; i + Vec::kLanes <= count; i += Vec::kLanes) {
      const Vec v = load(x + b + i);
      m = max(v, m);
      // NaN or infinity times zero is NaN; minus infinity is let pass.
      fault = fault + select_greater(splat(-3e38f), v, splat(0.0f), v * splat(0.0f));
    }
    float block_max = horizontal_max(m);
    for (; i < count; ++i) {
      const float v = x[b + i];
      if (v > block_max) block_max = v;
      if (!(v <= 3.4028235e38f)) best.fault = true;
    }
    if (block_max > best.value) {
      best.value = block_max;
      for (int64_t j = 0; j < count; ++j) {
        if (x[b + j] == block_max) {
          best.index = static_cast<int32_t>(b + j);
          break;
        }
      }
    }
  }
  if (horizontal_sum(fault) != 0.0f) best.fault = true;
  return best;
}

double exp_sum(const float* x, int64_t n, float shift, float scale, float* out) {
  constexpr int64_t kBlock = 4096;
  double total = 0;
  for (int64_t b = 0; b < n; b += kBlock) {
    const int64_t count = n - b < kBlock ? n - b : kBlock;
    Vec sum = splat(0.0f);
    for_vectors(count, [&](int64_t i, auto get, auto put) {
      const Vec e = exp((get(x + b + i) - splat(shift)) * splat(scale));
      sum = sum + keep_first(e, count - i);
      if (out) put(out + b + i, e);
    });
    total += static_cast<double>(horizontal_sum(sum));
  }
  return total;
}

double mass_above(const float* x, int64_t n, float pivot) {
  constexpr int64_t kBlock = 4096;
  double total = 0;
  for (int64_t b = 0; b < n; b += kBlock) {
    const int64_t count = n - b < kBlock ? n - b : kBlock;
    Vec sum = splat(0.0f);
    for_vectors(count, [&](int64_t i, auto get, auto) {
      const Vec v = get(x + b + i);
      sum = sum + select_greater(v, splat(pivot), v, splat(0.0f));
    });
    total += static_cast<double>(horizontal_sum(sum));
  }
  return total;
}

void drop_below(float* x, int64_t n, float pivot) {
  for_vectors(n, [&](int64_t i, auto get, auto put) {
    const Vec v = get(x + i);
    put(x + i, select_greater(splat(pivot), v, splat(0.0f), v));
  });
}

}  // namespace
}  // namespace ernie::cpu
