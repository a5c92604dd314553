#include <cuda_fp8.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/rope/rope_kv_write.h"
#include "kernels/testing/testing.h"

namespace ernie::kernels {
namespace {

using testing::DeviceArray;
using testing::Random;

struct Geometry {
  int q_heads;
  int kv_heads;
  int head_dim;
  int block_size;
};

template <class T>
void check_rope(const Geometry& g, int tokens) {
  Random random(static_cast<uint64_t>(tokens * 1000 + g.head_dim + g.q_heads));
  const std::string what = std::string(testing::type_name<T>()) + ", " + std::to_string(tokens) +
                           " tokens, " + std::to_string(g.q_heads) + "/" +
                           std::to_string(g.kv_heads) + " heads of " + std::to_string(g.head_dim) +
                           ", block " + std::to_string(g.block_size);
  const int d = g.head_dim;
  const int width = (g.q_heads + 2 * g.kv_heads) * d;
  const int blocks = tokens / g.block_size + 3;
  const size_t cache_size = static_cast<size_t>(blocks) * g.kv_heads * g.block_size * d;
  const std::vector<T> before = random.normal<T>(static_cast<size_t>(tokens) * width);
  const std::vector<int32_t> positions =
      random.integers(static_cast<size_t>(tokens) * 3, 0, 131072);
  std::vector<float> inv_freq;
  std::vector<uint8_t> axis;
  for (int i = 0; i < d / 2; ++i) {
    inv_freq.push_back(static_cast<float>(std::pow(500000.0, -2.0 * i / d)));
    axis.push_back(static_cast<uint8_t>(i * 8 < d * 3 ? 1 + i % 2 : 0));
  }
  // Scattered slots; every seventh row is padding.
  std::vector<int32_t> slots;
  const int capacity = blocks * g.block_size;
  for (int t = 0; t < tokens; ++t) slots.push_back(t % 7 == 6 ? -1 : (t * 5 + 3) % capacity);
  std::vector<int> owner(static_cast<size_t>(capacity), -1);
  for (int t = 0; t < tokens; ++t) {
    if (slots[static_cast<size_t>(t)] < 0) continue;
    int& token = owner[static_cast<size_t>(slots[static_cast<size_t>(t)])];
    if (token >= 0) slots[static_cast<size_t>(t)] = -1;  // capacity is a multiple of 5
    if (token < 0) token = t;
  }

  const DeviceArray<T> qkv(before), keys(cache_size), values(cache_size);
  const DeviceArray<int32_t> device_positions(positions), device_slots(slots);
  const DeviceArray<float> device_freq(inv_freq);
  const DeviceArray<uint8_t> device_axis(axis);
  RopeKvWriteParams p;
  p.type = std::is_same_v<T, float> ? ElementType::kF32 : ElementType::kBF16;
  p.qkv = qkv.data();
  p.positions = device_positions.data();
  p.slots = device_slots.data();
  p.inv_freq = device_freq.data();
  p.axis = device_axis.data();
  p.keys = keys.data();
  p.values = values.data();
  p.tokens = tokens;
  p.q_heads = g.q_heads;
  p.kv_heads = g.kv_heads;
  p.head_dim = d;
  p.block_size = g.block_size;
  testing::run_in_graph([&](cudaStream_t stream) { return launch_rope_kv_write(p, stream); });

  const std::vector<T> after = qkv.download();
  std::vector<double> expected(before.size()), magnitude(before.size());
  for (int t = 0; t < tokens; ++t) {
    for (int i = 0; i < width; ++i) {
      const size_t at = static_cast<size_t>(t) * width + i;
      expected[at] = testing::widen(before[at]);
      if (i >= (g.q_heads + g.kv_heads) * d) continue;
      const size_t pair = static_cast<size_t>(i % d / 2);
      const float angle =
          static_cast<float>(positions[static_cast<size_t>(t) * 3 + axis[pair]]) * inv_freq[pair];
      const double other = testing::widen(before[at ^ 1]);
      expected[at] = expected[at] * std::cos(double{angle}) +
                     (i % 2 == 0 ? -other : other) * std::sin(double{angle});
      magnitude[at] = std::abs(testing::widen(before[at])) + std::abs(other);
    }
  }
  testing::expect_close_sums(after, expected, magnitude, what, 1e-6);

  // The cache holds the rounded rows, and nothing else was touched.
  std::vector<T> expected_keys(cache_size), expected_values(cache_size);
  std::memset(static_cast<void*>(expected_keys.data()), 0xff, cache_size * sizeof(T));
  std::memset(static_cast<void*>(expected_values.data()), 0xff, cache_size * sizeof(T));
  for (int slot = 0; slot < capacity; ++slot) {
    const int t = owner[static_cast<size_t>(slot)];
    if (t < 0) continue;
    for (int h = 0; h < g.kv_heads; ++h) {
      const size_t to =
          ((static_cast<size_t>(slot / g.block_size) * g.kv_heads + h) * g.block_size +
           static_cast<size_t>(slot % g.block_size)) *
          d;
      const size_t from = static_cast<size_t>(t) * width + (g.q_heads + h) * d;
      for (int e = 0; e < d; ++e) {
        expected_keys[to + e] = after[from + e];
        expected_values[to + e] = after[from + static_cast<size_t>(g.kv_heads * d) + e];
      }
    }
  }
  testing::expect_same_bits(keys.download(), expected_keys, what + ", keys");
  testing::expect_same_bits(values.download(), expected_values, what + ", values");
}

KERNEL_TEST(RotatesAndWritesTheCache) {
  for (const Geometry& g :
       {Geometry{4, 2, 64, 16}, Geometry{20, 4, 128, 64}, Geometry{3, 1, 32, 16},
        Geometry{64, 8, 128, 64}, Geometry{2, 2, 16, 5}}) {
    for (int tokens : {1, 7, 130}) {
      check_rope<float>(g, tokens);
      check_rope<__nv_bfloat16>(g, tokens);
    }
  }
}

// Keys and values of one token and head, and the scales of both.
template <class T>
void check_cells(const Geometry& g, int tokens, CacheType cache) {
  Random random(static_cast<uint64_t>(tokens * 100 + g.head_dim));
  const std::string what = std::string(testing::type_name<T>()) + ", " +
                           (cache == CacheType::kInt8 ? "int8, " : "e4m3, ") +
                           std::to_string(tokens) + " tokens, " + std::to_string(g.kv_heads) +
                           " heads of " + std::to_string(g.head_dim);
  const int d = g.head_dim;
  const int width = (g.q_heads + 2 * g.kv_heads) * d;
  const int first_value = (g.q_heads + g.kv_heads) * d;
  std::vector<T> before = random.normal<T>(static_cast<size_t>(tokens) * width);
  // Of token 1, head 0: a key of zeros and a value with a NaN.
  if (tokens > 1) {
    for (int e = 0; e < d; ++e) before[static_cast<size_t>(width + g.q_heads * d + e)] = T(0.0f);
    before[static_cast<size_t>(width + first_value + d / 2)] = static_cast<T>(NAN);
  }
  const std::vector<int32_t> positions =
      random.integers(static_cast<size_t>(tokens) * 3, 0, 131072);
  std::vector<int32_t> slots;  // every other one; every seventh row is padding
  for (int t = 0; t < tokens; ++t) slots.push_back(t % 7 == 6 ? -1 : 2 * t + 1);
  const int blocks = 2 * tokens / g.block_size + 1;
  const size_t rows = static_cast<size_t>(blocks) * g.kv_heads * g.block_size;

  const DeviceArray<T> qkv(before);
  const DeviceArray<uint8_t> keys(rows * d), values(rows * d), axis(std::vector<uint8_t>(d / 2));
  const DeviceArray<__nv_bfloat16> scales(rows * 2);
  const DeviceArray<int32_t> device_positions(positions), device_slots(slots);
  const DeviceArray<float> inv_freq(std::vector<float>(static_cast<size_t>(d / 2), 0.37f));
  RopeKvWriteParams p;
  p.type = std::is_same_v<T, float> ? ElementType::kF32 : ElementType::kBF16;
  p.qkv = qkv.data();
  p.positions = device_positions.data();
  p.slots = device_slots.data();
  p.inv_freq = inv_freq.data();
  p.axis = axis.data();
  p.cache = cache;
  p.keys = keys.data();
  p.values = values.data();
  p.scales = scales.data();
  p.tokens = tokens;
  p.q_heads = g.q_heads;
  p.kv_heads = g.kv_heads;
  p.head_dim = d;
  p.block_size = g.block_size;
  testing::run_in_graph([&](cudaStream_t stream) { return launch_rope_kv_write(p, stream); });

  // From the rotated rows, by the written arithmetic. What no token was written to is untouched.
  const std::vector<T> after = qkv.download();
  std::vector<uint8_t> expected[2];
  for (auto& cells : expected) cells.assign(rows * d, 0xff);
  std::vector<__nv_bfloat16> expected_scales(rows * 2);
  std::memset(static_cast<void*>(expected_scales.data()), 0xff, rows * 4);
  const float limit = cache == CacheType::kInt8 ? 127.0f : 448.0f;
  const std::vector<__nv_bfloat16> actual_scales = scales.download();
  for (int t = 0; t < tokens; ++t) {
    const int slot = slots[static_cast<size_t>(t)];
    if (slot < 0) continue;
    for (int h = 0; h < g.kv_heads; ++h) {
      const size_t row = (static_cast<size_t>(slot / g.block_size) * g.kv_heads + h) *
                             static_cast<size_t>(g.block_size) +
                         static_cast<size_t>(slot % g.block_size);
      for (int is_value = 0; is_value < 2; ++is_value) {
        const T* x = after.data() + static_cast<size_t>(t) * width +
                     (is_value ? first_value : g.q_heads * d) + h * d;
        float most = 0;
        bool has_nan = false;
        for (int e = 0; e < d; ++e) {
          most = std::max(most, std::abs(static_cast<float>(x[e])));
          has_nan |= std::isnan(static_cast<float>(x[e]));
        }
        uint8_t* cells = expected[is_value].data() + row * d;
        __nv_bfloat16& scale_bits = expected_scales[2 * row + is_value];
        scale_bits = __float2bfloat16_rn(most / limit);
        const float scale = static_cast<float>(scale_bits);
        if (has_nan) {
          const __nv_bfloat16 actual = actual_scales[2 * row + is_value];
          EXPECT(std::isnan(static_cast<float>(actual)), what + ": a NaN is hidden");
          scale_bits = actual;
        }
        for (int e = 0; e < d; ++e) {
          if (has_nan || scale == 0) {
            cells[e] = 0;
          } else if (cache == CacheType::kInt8) {
            const float cell = static_cast<float>(x[e]) / scale;
            cells[e] = static_cast<uint8_t>(
                static_cast<int8_t>(std::nearbyint(std::min(std::max(cell, -limit), limit))));
          } else {
            cells[e] =
                __nv_cvt_float_to_fp8(static_cast<float>(x[e]) / scale, __NV_SATFINITE, __NV_E4M3);
          }
        }
      }
    }
  }
  testing::expect_same_bits(keys.download(), expected[0], what + ", keys");
  testing::expect_same_bits(values.download(), expected[1], what + ", values");
  testing::expect_same_bits(actual_scales, expected_scales, what + ", scales");
}

KERNEL_TEST(WritesCellsWithTheirScales) {
  for (const CacheType cache : {CacheType::kInt8, CacheType::kE4m3}) {
    for (const Geometry& g :
         {Geometry{4, 2, 64, 16}, Geometry{20, 4, 128, 64}, Geometry{3, 1, 32, 16},
          Geometry{64, 8, 128, 64}, Geometry{2, 2, 16, 5}, Geometry{9, 3, 80, 16},
          Geometry{40, 4, 40, 16}, Geometry{6, 3, 256, 64}, Geometry{600, 2, 8, 16}}) {
      for (int tokens : {1, 7, 130}) {
        check_cells<float>(g, tokens, cache);
        check_cells<__nv_bfloat16>(g, tokens, cache);
      }
    }
  }
}

KERNEL_TEST(RefusesWhatItCannotDo) {
  RopeKvWriteParams p;
  p.tokens = p.q_heads = p.kv_heads = p.block_size = 1;
  for (int head_dim : {0, 4, 12, 264}) {
    p.head_dim = head_dim;
    EXPECT(launch_rope_kv_write(p, nullptr) == cudaErrorInvalidValue, std::to_string(head_dim));
  }
}

}  // namespace
}  // namespace ernie::kernels
