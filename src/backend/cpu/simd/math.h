#pragma once

// Functions over Vec. Include one simd/vec_*.h before.

namespace ernie::cpu {
namespace {

// An integer as a type, to call templates from lambdas.
template <int kN>
struct Count {
  static constexpr int kValue = kN;
};

inline float horizontal_sum(Vec a) {
  float lane[Vec::kLanes];
  store(lane, a);
  for (int width = Vec::kLanes / 2; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) lane[i] += lane[i + width];
  }
  return lane[0];
}

inline float horizontal_max(Vec a) {
  float lane[Vec::kLanes];
  store(lane, a);
  float m = lane[0];
  for (int i = 1; i < Vec::kLanes; ++i) m = lane[i] > m ? lane[i] : m;
  return m;
}

// The first n < kLanes elements, the rest zero.
template <class T>
inline Vec load_first(const T* p, int64_t n) {
  T lane[Vec::kLanes] = {};
  for (int64_t i = 0; i < n; ++i) lane[i] = p[i];
  return load(lane);
}

template <class T>
inline void store_first(T* p, Vec a, int64_t n) {
  T lane[Vec::kLanes];
  store(lane, a);
  for (int64_t i = 0; i < n; ++i) p[i] = lane[i];
}

// a with lanes n and up set to zero; a itself when n >= kLanes.
inline Vec keep_first(Vec a, int64_t n) {
  if (n >= Vec::kLanes) return a;
  float lane[Vec::kLanes];
  store(lane, a);
  return load_first(lane, n);
}

// Calls step(offset, load, store) over [0, n) in vectors; the last one may be partial. `step` is
// given functions that read and write kLanes elements, or what is left of them.
template <class Step>
inline void for_vectors(int64_t n, Step step) {
  int64_t i = 0;
  for (; i + Vec::kLanes <= n; i += Vec::kLanes) {
    step(
        i, [](const auto* p) { return load(p); }, [](auto* p, Vec v) { store(p, v); });
  }
  if (const int64_t rest = n - i; rest > 0) {
    step(
        i, [rest](const auto* p) { return load_first(p, rest); },
        [rest](auto* p, Vec v) { store_first(p, v, rest); });
  }
}

// e^x with a relative error below 2e-7; 0 below -87.3, capped at e^88.37; NaN stays NaN.
// Range reduction by ln 2 in two parts, then the Taylor polynomial of degree 7 on |r| <= ln(2) / 2.
inline Vec exp(Vec x) {
  const Vec in = min(splat(88.37f), max(splat(-87.33f), x));
  const Vec n = round(in * splat(1.44269504f));
  const Vec r = fma(n, splat(2.12194440e-4f), fma(n, splat(-0.693359375f), in));
  Vec p = splat(1.0f / 5040);
  p = fma(p, r, splat(1.0f / 720));
  p = fma(p, r, splat(1.0f / 120));
  p = fma(p, r, splat(1.0f / 24));
  p = fma(p, r, splat(1.0f / 6));
  p = fma(p, r, splat(0.5f));
  p = fma(p, r, splat(1.0f));
  p = fma(p, r, splat(1.0f));
  return select_greater(splat(-87.33f), x, splat(0.0f), scale_by_power_of_two(p, n));
}

inline Vec sigmoid(Vec x) { return splat(1.0f) / (splat(1.0f) + exp(splat(0.0f) - x)); }
inline Vec silu(Vec x) { return x * sigmoid(x); }

}  // namespace
}  // namespace ernie::cpu
