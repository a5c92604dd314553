#pragma once

// What happens to a tile of C before it is stored. Include simd/math.h before.

namespace ernie::cpu {
namespace {

// x * Phi(x) = x/2 * erfc(-x / sqrt(2)). erfc(u) = exp(-u^2) * h(s), s = (u - 2) / (u + 2), for
// u >= 0, with h fitted on Chebyshev nodes (relative error 2e-7).
inline Vec gelu_erf(Vec x) {
  const Vec u = abs(x) * splat(0.70710678f);
  const Vec s = (u - splat(2.0f)) / (u + splat(2.0f));
  Vec h = splat(9.747200238e-05f);
  h = fma(h, s, splat(5.322844299e-05f));
  h = fma(h, s, splat(-9.146550437e-04f));
  h = fma(h, s, splat(-8.431951865e-04f));
  h = fma(h, s, splat(6.973044481e-03f));
  h = fma(h, s, splat(3.730738070e-03f));
  h = fma(h, s, splat(-7.897499204e-02f));
  h = fma(h, s, splat(2.416584194e-01f));
  h = fma(h, s, splat(-4.271860123e-01f));
  h = fma(h, s, splat(2.553956807e-01f));
  const Vec upper = exp(splat(0.0f) - u * u) * h;  // erfc(|x| / sqrt(2))
  const Vec factor = select_greater(x, splat(0.0f), splat(2.0f) - upper, upper);
  return splat(0.5f) * x * factor;
}

inline Vec quick_gelu(Vec x) { return x * sigmoid(splat(1.702f) * x); }

// Whole lines of 32 bfloat16 past the caches: fetching a line only to overwrite it costs as much as
// writing it.
template <class T, class Out, class Function>
inline bool stream_rows(const StoreTile& t, Function act) {
  if constexpr (kStreamsLines && sizeof(Out) == sizeof(Bf16Bits)) {
    constexpr int kLine = 2 * Vec::kLanes;
    if (!t.many_rows || t.cols % kLine != 0 || t.out_stride % kLine != 0 ||
        reinterpret_cast<uintptr_t>(t.out) % 64 != 0) {
      return false;
    }
    const T* bias = static_cast<const T*>(t.bias);
    for (int r = 0; r < t.rows; ++r) {
      const float* c = t.c + r * t.ldc;
      const float* more = t.more ? t.more + r * t.ldc : nullptr;
      Out* out = static_cast<Out*>(t.out) + r * t.out_stride;
      const auto value = [&](int i) {
        Vec v = load(c + i);
        if (more) v = v + load(more + i);
        if (bias) v = v + load(bias + i);
        return act(v);
      };
      for (int i = 0; i < t.cols; i += kLine) {
        stream_line(out + i, value(i), value(i + Vec::kLanes));
      }
    }
    _mm_sfence();  // other threads read what was streamed
    return true;
  }
  return false;
}

template <class T, class Out, class Function>
inline void store_rows(const StoreTile& t, Function act) {
  if (stream_rows<T, Out>(t, act)) return;
  const T* bias = static_cast<const T*>(t.bias);
  for (int r = 0; r < t.rows; ++r) {
    const float* c = t.c + r * t.ldc;
    const float* more = t.more ? t.more + r * t.ldc : nullptr;
    Out* out = static_cast<Out*>(t.out) + r * t.out_stride;
    for_vectors(t.cols, [&](int64_t i, auto get, auto put) {
      Vec v = get(c + i);
      if (more) v = v + get(more + i);
      if (bias) v = v + get(bias + i);
      put(out + i, act(v));
    });
  }
}

template <class T, class Out>
inline void store_activated(const StoreTile& t) {
  switch (t.activation) {
    case 0:
      return store_rows<T, Out>(t, [](Vec v) { return v; });
    case 1:
      return store_rows<T, Out>(t, [](Vec v) { return quick_gelu(v); });
    case 2:
      return store_rows<T, Out>(t, [](Vec v) { return gelu_erf(v); });
  }
}

template <class T>
void store_tile(const StoreTile& t) {
  t.out_f32 ? store_activated<T, float>(t) : store_activated<T, T>(t);
}

template <class T>
void swiglu_tile(const SwiGluTile& t) {
  for (int r = 0; r < t.rows; ++r) {
    const float* gate = t.gate + r * t.ldc;
    const float* up = t.up + r * t.ldc;
    T* out = static_cast<T*>(t.out) + r * t.out_stride;
    for_vectors(t.cols, [&](int64_t i, auto get, auto put) {
      put(out + i, silu(get(gate + i)) * get(up + i));
    });
  }
}

template <class T>
void swiglu_row(const void* gate_up, void* out, int64_t width) {
  const T* gate = static_cast<const T*>(gate_up);
  for_vectors(width, [&](int64_t i, auto get, auto put) {
    put(static_cast<T*>(out) + i, silu(get(gate + i)) * get(gate + width + i));
  });
}

void add_scaled(float* acc, const float* x, float scale, int64_t n) {
  for_vectors(n, [&](int64_t i, auto get, auto put) {
    put(acc + i, fma(get(x + i), splat(scale), get(acc + i)));
  });
}

}  // namespace
}  // namespace ernie::cpu
