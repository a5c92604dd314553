#include "backend/cpu/quantized_weight.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "base/check.h"
#include "ops/quantize.h"

namespace ernie::cpu {
namespace {

int nibble_shift(int64_t k) { return static_cast<int>(k % 2 * 16 + k % 8 / 2 * 4); }

int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

}  // namespace

QuantizedWeight::PanelLayout::PanelLayout(int64_t k, WeightFormat format) {
  CHECK(format.is_quantized() &&
            (format.group == 0 || format.group == 32 || format.group == 64 || format.group == 128),
        "quantised weights are int8 or int4, with groups of 32, 64 or 128 or without, not of " +
            std::to_string(format.group));
  const int bits = format.type == WeightType::kInt4 ? 4 : 8;
  scales = round_up(k, kBf16KStep) * kPanel * bits / 8;
  bytes = round_up(scales + scales_per_row(k, format.group) * kPanel * int64_t{sizeof(BF16)}, 64);
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
  fill_panels(pool, [&](int64_t index, int8_t* q, BF16* scales) {
    const auto [part, row] = find_row(parts, index);
    quantize_row(*part, row, format(), q, scales);
  });
}

QuantizedWeight::QuantizedWeight(std::span<const QuantizedHostMatrix> parts,
                                 const ops::PackSpec& spec, Buffer storage, ThreadPool& pool)
    : QuantizedWeight(stacked_rows(parts), parts[0].in_features, spec, std::move(storage)) {
  fill_panels(pool, [&](int64_t index, int8_t* q, BF16* scales) {
    const auto [part, row] = find_row(parts, index);
    unpack_words(part->words + row * part->word_stride, in_features(), format().type, q);
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

int64_t QuantizedWeight::groups() const { return scales_per_row(in_features(), format().group); }

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
