#pragma once

#include <cuda_bf16.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels/quantized/quantized.h"

// The quantiser and the layout of quantized_layout.h on the host, for tests.
namespace ernie::kernels {

struct HostQuantized {
  std::vector<int> q;                 // [rows, cols]
  std::vector<__nv_bfloat16> scales;  // [rows, groups]
  std::vector<float> values;          // [rows, cols]: q * scale
};

// Columns [first_col, first_col + cols) of `in` [rows, all_cols].
template <class T>
HostQuantized quantize_on_host(const std::vector<T>& in, int64_t rows, int64_t all_cols,
                               int64_t first_col, int64_t cols, WeightFormat format) {
  const float limit = format.type == WeightType::kInt4 ? 7.0f : 127.0f;
  const int64_t groups = quantized_groups(cols, format.group);
  HostQuantized out;
  out.q.resize(static_cast<size_t>(rows * cols));
  out.values.resize(out.q.size());
  out.scales.resize(static_cast<size_t>(rows * groups));
  for (int64_t r = 0; r < rows; ++r) {
    const T* row = in.data() + r * all_cols;
    for (int64_t g = 0; g < groups; ++g) {
      const bool channel = format.group == 0;
      const int64_t begin = channel ? 0 : g * format.group;
      const int64_t end = channel ? cols : std::min<int64_t>(cols, begin + format.group);
      float absmax = 0;
      for (int64_t c = channel ? 0 : first_col + begin; c < (channel ? all_cols : first_col + end);
           ++c) {
        const float w = std::abs(static_cast<float>(row[c]));
        absmax = w > absmax || std::isnan(w) ? w : absmax;
      }
      const __nv_bfloat16 scale = __float2bfloat16_rn(absmax / limit);
      out.scales[static_cast<size_t>(r * groups + g)] = scale;
      for (int64_t c = begin; c < end; ++c) {
        const float ratio = static_cast<float>(row[first_col + c]) / absmax;
        const float x = std::round(ratio * limit);
        const auto at = static_cast<size_t>(r * cols + c);
        const bool known = absmax > 0 && std::isfinite(absmax);
        out.q[at] = known ? static_cast<int>(std::clamp(x, -limit, limit)) : 0;
        out.values[at] = static_cast<float>(out.q[at]) * static_cast<float>(scale);
      }
    }
  }
  return out;
}

// The bytes of the whole matrix and of its scales, padding included.
struct HostPacked {
  std::vector<uint8_t> values;
  std::vector<__nv_bfloat16> scales;
};
inline HostPacked pack_on_host(const HostQuantized& in, int64_t rows, int64_t cols,
                               WeightFormat format, RowOrder order) {
  const int64_t padded_cols = quantized_cols(cols);
  const int64_t groups = quantized_groups(cols, format.group);
  const bool int4 = format.type == WeightType::kInt4;
  HostPacked out;
  out.values.assign(quantized_value_bytes(rows, cols, format, order), int4 ? 0x88 : 0);
  out.scales.assign(quantized_scale_bytes(rows, cols, format, order) / 2, __nv_bfloat16{});
  for (int64_t r = 0; r < rows; ++r) {
    int64_t stored = r;
    if (order == RowOrder::kGateUp) {
      const int64_t half = r % (rows / 2);
      stored = half / 8 * 16 + half % 8 + (r < rows / 2 ? 0 : 8);
    }
    for (int64_t g = 0; g < groups; ++g) {
      out.scales[static_cast<size_t>((stored / 16 * groups + g) * 16 + stored % 16)] =
          in.scales[static_cast<size_t>(r * groups + g)];
    }
    const int64_t g = stored % 8;
    const int high = static_cast<int>(stored / 8 % 2);
    for (int64_t c = 0; c < cols; ++c) {
      const int q = in.q[static_cast<size_t>(r * cols + c)];
      const int64_t tile = stored / 64 * (padded_cols / 64) + c / 64;
      const int64_t warp = stored % 64 / 16;
      const int64_t step = c % 64 / 16;
      const int64_t in_step = c % 16;
      const int64_t lane = g * 4 + in_step % 8 / 2;
      const int pair = high + static_cast<int>(in_step / 8) * 2;
      const int element = static_cast<int>(in_step % 2);
      if (int4) {
        const int64_t word = tile * 2048 + warp * 512 + lane * 16 + step * 4;
        const int bit = 4 * pair + 16 * element;
        uint8_t& byte = out.values[static_cast<size_t>(word + bit / 8)];
        byte = static_cast<uint8_t>((byte & ~(15 << bit % 8)) | ((q + 8) << bit % 8));
      } else {
        const int64_t word =
            tile * 4096 + warp * 1024 + step / 2 * 512 + lane * 16 + (step % 2 * 2 + pair / 2) * 4;
        out.values[static_cast<size_t>(word + pair % 2 + 2 * element)] = static_cast<uint8_t>(q);
      }
    }
  }
  return out;
}

}  // namespace ernie::kernels
