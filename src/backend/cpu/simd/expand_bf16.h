#pragma once

// Quantised values as pairs of bfloat16, with AVX-512. Include simd/gemm_quantized.h before.

namespace ernie::cpu {
namespace {

// The pairs of k 8 * block + 2 * pair and the next for 16 outputs.
struct Int8Pairs {
  // Integers this small have zeros in the lower half of a float32.
  static __m512i load_pair(const char* panel, int64_t block, int pair) {
    const char* at = panel + (block * kQuantizedKStep + pair * 2) * kPanel;
    const auto bits = [](const char* p) __attribute__((always_inline)) {
      return _mm512_castps_si512(load(reinterpret_cast<const int8_t*>(p)).v);
    };
    return _mm512_or_si512(_mm512_srli_epi32(bits(at), 16), bits(at + kPanel));
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
  static __m512i load_pair(const char* panel, int64_t block, int pair) {
    const __m512i words =
        _mm512_loadu_si512(reinterpret_cast<const uint32_t*>(panel) + block * kPanel);
    const __m512i index = _mm512_srli_epi32(words, static_cast<unsigned>(pair * 4));
    return _mm512_permutexvar_epi16(index, _mm512_load_si512(kNibbleTable.value));
  }
};

constexpr int kPairs = kQuantizedKStep / 2;

template <class Pairs>
inline void expand_bf16_panel(const char* panel, int64_t begin, int64_t end, Bf16Bits* out) {
  for (int64_t block = begin / kQuantizedKStep; block * kQuantizedKStep < end; ++block) {
#pragma GCC unroll 4
    for (int pair = 0; pair < kPairs; ++pair, out += 2 * kPanel) {
      _mm512_storeu_si512(out, Pairs::load_pair(panel, block, pair));
    }
  }
}

// As Bf16Panels.
void expand_bf16(const ExpandPanels& e) {
  const int64_t stride = Bf16Panels::stride(e.k_end - e.k_begin);
  const int64_t values_end = (e.k_end + kQuantizedKStep - 1) / kQuantizedKStep * kQuantizedKStep;
  for (int p = 0; p < e.panels; ++p) {
    const char* panel = e.from.values + p * e.from.stride;
    Bf16Bits* out = static_cast<Bf16Bits*>(e.out) + p * stride;
    e.from.int4 ? expand_bf16_panel<Int4Pairs>(panel, e.k_begin, e.k_end, out)
                : expand_bf16_panel<Int8Pairs>(panel, e.k_begin, e.k_end, out);
    const int64_t written = (values_end - e.k_begin) * kPanel;
    __builtin_memset(out + written, 0, static_cast<size_t>(stride - written) * sizeof(Bf16Bits));
  }
}

}  // namespace
}  // namespace ernie::cpu
