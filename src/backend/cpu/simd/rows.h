#pragma once

// Operators on single rows. Include simd/math.h before.

namespace ernie::cpu {
namespace {

// Sum of term(i) over a row of n elements, in kLanes partial sums.
template <class Term>
inline float row_sum(int64_t n, Term term) {
  Vec sum = splat(0.0f);
  for_vectors(n, [&](int64_t i, auto get, auto) { sum = term(i, get, sum); });
  return horizontal_sum(sum);
}

// v^-1/2 without <cmath>, whose inline functions must not be compiled here.
inline float inverse_sqrt(float v) { return 1.0f / _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(v))); }

template <class T>
void rms_norm(const NormRows& p) {
  const T* weight = static_cast<const T*>(p.weight);
  for (int64_t r = 0; r < p.rows; ++r) {
    const T* x = static_cast<const T*>(p.x) + r * p.width;
    T* out = static_cast<T*>(p.out) + r * p.width;
    if (p.residual) {
      T* residual = static_cast<T*>(p.residual) + r * p.width;
      for_vectors(p.width, [&](int64_t i, auto get, auto put) {
        put(residual + i, get(residual + i) + get(x + i));
      });
      x = residual;
    }
    const float sum = row_sum(p.width, [&](int64_t i, auto get, Vec s) {
      const Vec v = get(x + i);
      return fma(v, v, s);
    });
    const Vec scale = splat(inverse_sqrt(sum / static_cast<float>(p.width) + p.eps));
    for_vectors(p.width, [&](int64_t i, auto get, auto put) {
      put(out + i, get(x + i) * scale * get(weight + i));
    });
  }
}

template <class T>
void layer_norm(const NormRows& p) {
  const T* weight = static_cast<const T*>(p.weight);
  const T* bias = static_cast<const T*>(p.bias);
  const float width = static_cast<float>(p.width);
  for (int64_t r = 0; r < p.rows; ++r) {
    const T* x = static_cast<const T*>(p.x) + r * p.width;
    T* out = static_cast<T*>(p.out) + r * p.width;
    const float total =
        row_sum(p.width, [&](int64_t i, auto get, Vec s) { return s + get(x + i); });
    const float mean = total / width;
    const float squares = row_sum(p.width, [&](int64_t i, auto get, Vec s) {
      const Vec d = keep_first(get(x + i) - splat(mean), p.width - i);
      return fma(d, d, s);
    });
    const Vec scale = splat(inverse_sqrt(squares / width + p.eps));
    for_vectors(p.width, [&](int64_t i, auto get, auto put) {
      put(out + i, fma((get(x + i) - splat(mean)) * scale, get(weight + i), get(bias + i)));
    });
  }
}

template <class T>
void add(const void* x, void* inout, int64_t n) {
  T* out = static_cast<T*>(inout);
  for_vectors(n, [&](int64_t i, auto get, auto put) {
    put(out + i, get(out + i) + get(static_cast<const T*>(x) + i));
  });
}

template <class T>
void rotate_pairs(void* x, const float* cos, const float* sin, int64_t n) {
  T* p = static_cast<T*>(x);
  for_vectors(n, [&](int64_t i, auto get, auto put) {
    const Vec v = get(p + i);
    put(p + i, v * get(cos + i) + swap_pairs(v) * get(sin + i));
  });
}

template <class T>
void rotate_halves(void* x, const float* cos, const float* sin, int64_t half) {
  T* p = static_cast<T*>(x);
  for_vectors(half, [&](int64_t i, auto get, auto put) {
    const Vec a = get(p + i), b = get(p + half + i), c = get(cos + i), s = get(sin + i);
    put(p + i, a * c - b * s);
    put(p + half + i, b * c + a * s);
  });
}

template <class T>
void router(const void* x, const float* w, int64_t experts, int64_t width, float* out) {
  const T* row = static_cast<const T*>(x);
  for (int64_t e = 0; e < experts; ++e) {
    out[e] = row_sum(width, [&](int64_t i, auto get, Vec s) {
      return fma(get(row + i), get(w + e * width + i), s);
    });
  }
}

template <class T>
void from_float(const float* in, void* out, int64_t n) {
  for_vectors(n,
              [&](int64_t i, auto get, auto put) { put(static_cast<T*>(out) + i, get(in + i)); });
}

template <class T>
void to_float(const void* in, float* out, int64_t n) {
  for_vectors(
      n, [&](int64_t i, auto get, auto put) { put(out + i, get(static_cast<const T*>(in) + i)); });
}

template <class T>
void normalize(const uint8_t* in, void* out, int64_t n, float mul, float add) {
  for_vectors(n, [&](int64_t i, auto get, auto put) {
    put(static_cast<T*>(out) + i, fma(get(in + i), splat(mul), splat(add)));
  });
}

}  // namespace
}  // namespace ernie::cpu
