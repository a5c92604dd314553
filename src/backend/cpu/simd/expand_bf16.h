#pragma once

// Quantised values as pairs of bfloat16, with AVX-512. Include simd/gemm_quantized.h before.

namespace ernie::cpu {
namespace {

// load() gives the pairs of k 8 * block + 4 * half and the next, and of the two after them, for 16
// outputs.
constexpr int kHalf = kQuantizedKStep / 2;

struct Int8Pairs {
  static constexpr int kBits = 8;
  static void load(const char* panel, int64_t block, int half, __m512i (&pairs)[2]) {
    const char* at = panel + (block * kQuantizedKStep + half * kHalf) * kPanel;
#pragma GCC unroll 2
    for (int i = 0; i < 2; ++i, at += 2 * kPanel) {
      // Integers this small have zeros in the lower half of a float32.
      const __m512i even = float_bits(at), odd = float_bits(at + kPanel);
      pairs[i] = _mm512_or_si512(_mm512_srli_epi32(even, 16), odd);
    }
  }

 private:
  static __m512i float_bits(const char* p) {
    return _mm512_castps_si512(cpu::load(reinterpret_cast<const int8_t*>(p)).v);
  }
};

constexpr int kNibbles = 16;
struct alignas(64) NibbleTable {
  Bf16Bits value[2 * kNibbles] = {0,      0x3f80, 0x4000, 0x4040, 0x4080, 0x40a0, 0x40c0, 0x40e0,
                                  0xc100, 0xc0e0, 0xc0c0, 0xc0a0, 0xc080, 0xc040, 0xc000, 0xbf80,
                                  0,      0x3f80, 0x4000, 0x4040, 0x4080, 0x40a0, 0x40c0, 0x40e0,
                                  0xc100, 0xc0e0, 0xc0c0, 0xc0a0, 0xc080, 0xc040, 0xc000, 0xbf80};
};
// bfloat16 of 0, 1, ..., 7, -8, ..., -1, twice: five bits of an index count.
constexpr NibbleTable kNibbleTable;

struct Int4Pairs {
  static constexpr int kBits = 4;
  static void load(const char* panel, int64_t block, int half, __m512i (&pairs)[2]) {
    const __m512i words =
        _mm512_loadu_si512(reinterpret_cast<const uint32_t*>(panel) + block * kPanel);
#pragma GCC unroll 2
    for (int i = 0; i < 2; ++i) {
      const __m512i index = _mm512_srli_epi32(words, static_cast<unsigned>(half * 8 + i * 4));
      pairs[i] = _mm512_permutexvar_epi16(index, _mm512_load_si512(kNibbleTable.value));
    }
  }
};

template <class Pairs>
inline void expand_bf16_panel(const char* panel, int64_t begin, int64_t end, Bf16Bits* out) {
  for (int64_t block = begin / kQuantizedKStep; block * kQuantizedKStep < end; ++block) {
    fetch_next_slice<Pairs::kBits>(panel, block, begin, end);
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half, out += kHalf * kPanel) {
      __m512i pairs[2];
      Pairs::load(panel, block, half, pairs);
      _mm512_storeu_si512(out, pairs[0]);
      _mm512_storeu_si512(out + 2 * kPanel, pairs[1]);
    }
  }
}

// As Bf16Panels.
template <class Int8>
void expand_bf16(const ExpandPanels& e) {
  const int64_t stride = Bf16Panels::stride(e.k_end - e.k_begin);
  const int64_t values_end = (e.k_end + kQuantizedKStep - 1) / kQuantizedKStep * kQuantizedKStep;
  for (int p = 0; p < e.panels; ++p) {
    const char* panel = e.from.values + p * e.from.stride;
    Bf16Bits* out = static_cast<Bf16Bits*>(e.out) + p * stride;
    e.from.int4 ? expand_bf16_panel<Int4Pairs>(panel, e.k_begin, e.k_end, out)
                : expand_bf16_panel<Int8>(panel, e.k_begin, e.k_end, out);
    const int64_t written = (values_end - e.k_begin) * kPanel;
    __builtin_memset(out + written, 0, static_cast<size_t>(stride - written) * sizeof(Bf16Bits));
  }
}

}  // namespace
}  // namespace ernie::cpu
