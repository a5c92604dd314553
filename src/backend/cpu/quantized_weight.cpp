#include "backend/cpu/quantized_weight.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include "base/check.h"

namespace ernie::cpu {
namespace {

float widen(float v) { return v; }
float widen(BF16 v) { return to_float(v); }

template <typename In>
float absmax(const In* in, int64_t n) {
  float most = 0;
  for (int64_t i = 0; i < n; ++i) most = std::max(most, std::abs(widen(in[i])));
  return most;
}

// q of in[n], given their absmax; returns the scale.
template <typename In>
BF16 quantize(const In* in, int64_t n, float absmax, float limit, int8_t* q) {
  if (absmax == 0) {
    std::memset(q, 0, static_cast<size_t>(n));
    return {};
  }
  for (int64_t i = 0; i < n; ++i) {
    const float scaled = std::clamp(widen(in[i]) / absmax * limit, -limit, limit);
    const int whole = static_cast<int>(scaled);
    const float rest = scaled - static_cast<float>(whole);
    q[i] = static_cast<int8_t>(whole + (rest >= 0.5f) - (rest <= -0.5f));
  }
  return to_bf16(absmax / limit);
}

// The columns of the whole matrix: a row of it begins first_col elements before one of the slice.
struct WholeRows {
  int64_t first_col = 0;
  int64_t cols = 0;
};

template <typename In>
void quantize_row(const In* in, int64_t n, WeightFormat format, const WholeRows& whole, int8_t* q,
                  BF16* scales) {
  const float limit = format.type == WeightType::kInt4 ? 7 : 127;
  if (format.group == 0) {
    *scales = quantize(in, n, absmax(in - whole.first_col, whole.cols), limit, q);
    return;
  }
  for (int64_t k = 0; k < n; k += format.group) {
    const int64_t count = std::min<int64_t>(format.group, n - k);
    *scales++ = quantize(in + k, count, absmax(in + k, count), limit, q + k);
  }
}

void unpack_row(const uint32_t* words, int64_t n, bool int4, int8_t* q) {
  for (int64_t k = 0; k < n; ++k) {
    q[k] = static_cast<int8_t>(int4 ? static_cast<int>(words[k / 8] >> (k % 8 * 4) & 15) - 8
                                    : static_cast<int>(words[k / 4] >> (k % 4 * 8) & 255) - 128);
  }
}

int nibble_shift(int64_t k) { return static_cast<int>(k % 2 * 16 + k % 8 / 2 * 4); }

int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

int64_t groups_of(int64_t k, int group) { return group == 0 ? 1 : (k + group - 1) / group; }

// Row `index` of stacked parts: the part and the row in it.
template <class Matrix>
std::pair<const Matrix*, int64_t> find_row(std::span<const Matrix> parts, int64_t index) {
  const Matrix* part = parts.data();
  for (; index >= part->out_features; ++part) index -= part->out_features;
  return {part, index};
}

}  // namespace

QuantizedWeight::PanelLayout::PanelLayout(int64_t k, WeightFormat format) {
  CHECK(format.is_quantized() &&
            (format.group == 0 || format.group == 32 || format.group == 64 || format.group == 128),
        "quantised weights are int8 or int4, with groups of 32, 64 or 128 or without, not of " +
            std::to_string(format.group));
  const int bits = format.type == WeightType::kInt4 ? 4 : 8;
  scales = round_up(k, kBf16KStep) * kPanel * bits / 8;
  bytes = round_up(scales + groups_of(k, format.group) * kPanel * int64_t{sizeof(BF16)}, 64);
}

size_t QuantizedWeight::bytes_for(int64_t out_features, int64_t in_features, WeightFormat format) {
  return static_cast<size_t>((out_features + kPanel - 1) / kPanel *
                             PanelLayout(in_features, format).bytes);
}

QuantizedWeight::QuantizedWeight(int64_t out_features, int64_t in_features,
                                 const ops::PackSpec& spec, Buffer storage)
    : Weight(out_features, in_features, spec.format),
      sum_parts_(spec.sum_parts),
      layout_(in_features, spec.format),
      storage_(std::move(storage)) {
  bytes_ = bytes_for(out_features, in_features, spec.format);
  CHECK(storage_.bytes() >= bytes_, "the storage of a quantised weight is too small");
}

QuantizedWeight::QuantizedWeight(std::span<const HostMatrix> parts, const ops::PackSpec& spec,
                                 Buffer storage, ThreadPool& pool)
    : QuantizedWeight(stacked_rows(parts), parts[0].in_features, spec, std::move(storage)) {
  const bool slice = parts[0].all_cols > 0;
  const WholeRows whole{slice ? parts[0].first_col : 0,
                        slice ? parts[0].all_cols : parts[0].in_features};
  fill_panels(pool, [&](int64_t index, int8_t* q, BF16* scales) {
    const auto [part, row] = find_row(parts, index);
    if (part->dtype == DType::kF32) {
      quantize_row(static_cast<const float*>(part->row(row)), in_features(), format(), whole, q,
                   scales);
    } else {
      quantize_row(static_cast<const BF16*>(part->row(row)), in_features(), format(), whole, q,
                   scales);
    }
  });
}

QuantizedWeight::QuantizedWeight(std::span<const QuantizedHostMatrix> parts,
                                 const ops::PackSpec& spec, Buffer storage, ThreadPool& pool)
    : QuantizedWeight(stacked_rows(parts), parts[0].in_features, spec, std::move(storage)) {
  fill_panels(pool, [&](int64_t index, int8_t* q, BF16* scales) {
    const auto [part, row] = find_row(parts, index);
    unpack_row(part->words + row * part->word_stride, in_features(),
               format().type == WeightType::kInt4, q);
    std::copy_n(part->scales + row * part->scale_stride, groups(), scales);
  });
}

template <class Row>
void QuantizedWeight::fill_panels(ThreadPool& pool, const Row& row) {
  const int64_t depth = round_up(in_features(), kBf16KStep);
  pool.parallel_for((out_features() + kPanel - 1) / kPanel, [&](int64_t p, int) {
    char* panel = static_cast<char*>(storage_.data()) + p * layout_.bytes;
    std::memset(panel, 0, static_cast<size_t>(layout_.bytes));
    auto* const scales_out = reinterpret_cast<BF16*>(panel + layout_.scales);
    std::vector<int8_t> q(static_cast<size_t>(depth));
    std::vector<BF16> scales(static_cast<size_t>(groups()));
    const int64_t first = p * kPanel;
    for (int64_t r = 0; r < std::min<int64_t>(kPanel, out_features() - first); ++r) {
      row(first + r, q.data(), scales.data());
      for (size_t g = 0; g < scales.size(); ++g) {
        scales_out[g * kPanel + static_cast<size_t>(r)] = scales[g];
      }
      if (format().type == WeightType::kInt8) {
        for (size_t k = 0; k < q.size(); ++k) panel[k * kPanel + static_cast<size_t>(r)] = q[k];
        continue;
      }
      auto* const words = reinterpret_cast<uint32_t*>(panel) + r;
      for (int64_t k = 0; k < depth; ++k) {
        words[k / 8 * kPanel] |= (static_cast<uint32_t>(q[static_cast<size_t>(k)]) & 15)
                                 << nibble_shift(k);
      }
    }
  });
}

int64_t QuantizedWeight::groups() const { return groups_of(in_features(), format().group); }

int QuantizedWeight::sum_parts(int k_step) const {
  const int64_t step =
      std::max({int64_t{k_step}, int64_t{kQuantizedKStep}, int64_t{format().group}});
  return in_features() % (sum_parts_ * step) == 0 ? sum_parts_ : 1;
}

QuantizedPanels QuantizedWeight::panels(int64_t first) const {
  QuantizedPanels p;
  p.values = static_cast<const char*>(storage_.data()) + first * layout_.bytes;
  p.scales = reinterpret_cast<const Bf16Bits*>(p.values + layout_.scales);
  p.stride = p.scale_stride = layout_.bytes;
  p.group = format().group;
  p.int4 = format().type == WeightType::kInt4;
  return p;
}

int QuantizedWeight::value(int64_t row, int64_t column) const {
  const char* panel = panels(row / kPanel).values;
  const int64_t lane = row % kPanel;
  if (format().type == WeightType::kInt8) {
    return reinterpret_cast<const int8_t*>(panel)[column * kPanel + lane];
  }
  const uint32_t word = reinterpret_cast<const uint32_t*>(panel)[column / 8 * kPanel + lane];
  return static_cast<int32_t>(word << (28 - nibble_shift(column))) >> 28;
}

void QuantizedWeight::copy_row(int64_t index, DType dtype, void* out) const {
  const auto* scales = reinterpret_cast<const BF16*>(panels(index / kPanel).scales);
  const int64_t group = format().group == 0 ? in_features() : format().group;
  for (int64_t k = 0; k < in_features(); ++k) {
    const float scale = to_float(scales[k / group * kPanel + index % kPanel]);
    const float value = static_cast<float>(this->value(index, k)) * scale;
    if (dtype == DType::kF32) {
      static_cast<float*>(out)[k] = value;
    } else {
      static_cast<BF16*>(out)[k] = to_bf16(value);
    }
  }
}

}  // namespace ernie::cpu
