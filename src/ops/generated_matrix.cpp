#include "ops/generated_matrix.h"

#include "base/check.h"
#include "tensor/bf16.h"

namespace ernie {
namespace {

// kernels/dummy makes the same values on a GPU: what changes here must change there.

// The finaliser of SplitMix64 (Steele, Lea, Flood 2014): a random-looking word for each counter.
uint64_t mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

// Mean 0, deviation 1: the sum of the four bytes of half a word. Number 2k takes the lower half of
// word k, number 2k + 1 the upper one.
float bell(uint32_t half) {
  const uint32_t pairs = (half & 0x00ff00ffu) + ((half >> 8) & 0x00ff00ffu);
  const int sum = static_cast<int>((pairs & 0xffffu) + (pairs >> 16));
  constexpr float kDeviation = 147.80054f;  // sqrt(4 * (256^2 - 1) / 12)
  return static_cast<float>(sum - 510) / kDeviation;
}

template <typename T, typename Convert>
void fill_row(const GeneratedMatrix& m, int64_t first, T* out, Convert convert) {
  const auto value = [&](uint64_t word, int64_t half) {
    return convert(m.mean + m.deviation * bell(static_cast<uint32_t>(word >> (32 * half))));
  };
  const auto word = [&](int64_t number) {
    return mix(m.key + static_cast<uint64_t>(number / 2) * 0x9e3779b97f4a7c15ull);
  };
  int64_t i = 0;
  if (first % 2 == 1 && m.cols > 0) out[i++] = value(word(first), 1);
  for (; i + 1 < m.cols; i += 2) {
    const uint64_t both = word(first + i);
    out[i] = value(both, 0);
    out[i + 1] = value(both, 1);
  }
  if (i < m.cols) out[i] = value(word(first + i), 0);
}

}  // namespace

int64_t stacked_rows(std::span<const GeneratedMatrix> parts) {
  CHECK(!parts.empty(), "a matrix of no parts");
  int64_t rows = 0;
  for (const GeneratedMatrix& part : parts) {
    CHECK(part.cols == parts[0].cols && part.first_col == parts[0].first_col &&
              part.all_cols == parts[0].all_cols,
          "stacked matrices differ in their columns");
    rows += part.rows;
  }
  return rows;
}

void generate(const GeneratedMatrix& m, DType dtype, void* out) {
  CHECK(dtype == DType::kF32 || dtype == DType::kBF16, "generated weights are float32 or bfloat16");
  for (int64_t r = 0; r < m.rows; ++r) {
    const int64_t first = m.first + r * m.row_stride;
    if (dtype == DType::kF32) {
      fill_row(m, first, static_cast<float*>(out) + r * m.cols, [](float v) { return v; });
    } else {
      fill_row(m, first, static_cast<BF16*>(out) + r * m.cols, [](float v) { return to_bf16(v); });
    }
  }
}

}  // namespace ernie
