#include "backend/cuda/weight_packer.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "backend/cuda/device_experts.h"
#include "base/check.h"
#include "kernels/dummy/dummy_fill.h"
#include "kernels/quantized/quantized.h"
#include "ops/quantize.h"
#include "tensor/bf16.h"

namespace ernie::cuda {
namespace {

// Rows on their way to be quantised: enough to keep every multiprocessor at work.
constexpr size_t kRowsBytes = size_t{64} << 20;

void convert(const void* in, DType from, void* out, DType to, int64_t count) {
  if (from == to) {
    std::memcpy(out, in, static_cast<size_t>(count) * dtype_bytes(to));
  } else if (to == DType::kF32) {
    const auto* narrow = static_cast<const BF16*>(in);
    for (int64_t i = 0; i < count; ++i) static_cast<float*>(out)[i] = to_float(narrow[i]);
  } else {
    const auto* wide = static_cast<const float*>(in);
    for (int64_t i = 0; i < count; ++i) static_cast<BF16*>(out)[i] = to_bf16(wide[i]);
  }
}

// Rows [first, first + count) of `part`, `cols` wide from `skip` elements before the slice on.
void upload_rows(StagingRing& staging, const HostMatrix& part, int64_t first, int64_t count,
                 int64_t skip, int64_t cols, DType type, void* to) {
  const size_t row_bytes = static_cast<size_t>(cols) * dtype_bytes(type);
  staging.upload(
      to, static_cast<size_t>(count), row_bytes, [&](void* pinned, size_t begin, size_t rows) {
        for (size_t r = 0; r < rows; ++r) {
          const auto* from =
              static_cast<const char*>(part.row(first + static_cast<int64_t>(begin + r)));
          convert(from - static_cast<size_t>(skip) * dtype_bytes(part.dtype), part.dtype,
                  static_cast<char*>(pinned) + r * row_bytes, type, cols);
        }
      });
}

// Where the slice begins in what is read of a row, and how many columns that is.
template <class Matrix>
std::pair<int64_t, int64_t> columns_to_read(const Matrix& part, int64_t cols, WeightFormat format) {
  if (!format.has_row_scales() || part.all_cols == 0) return {0, cols};
  return {part.first_col, part.all_cols};
}

void fill(const GeneratedMatrix& part, DType type, void* to, cudaStream_t stream) {
  check(kernels::launch_dummy_fill({.type = element_type(type),
                                    .out = to,
                                    .key = part.key,
                                    .first = part.first,
                                    .row_stride = part.row_stride,
                                    .rows = part.rows,
                                    .cols = part.cols,
                                    .mean = part.mean,
                                    .deviation = part.deviation},
                                   stream),
        "launch of dummy_fill");
}

}  // namespace

void* WeightPacker::rows(size_t row_bytes, int64_t& count) {
  const size_t bytes = std::max(kRowsBytes, row_bytes);
  if (rows_.bytes() < bytes) rows_ = allocate_device(bytes);
  count = static_cast<int64_t>(rows_.bytes() / row_bytes);
  return rows_.data();
}

void WeightPacker::quantize(const DeviceWeight& weight, const void* rows, DType type,
                            int64_t stride, int64_t count, int64_t first_col, int64_t all_cols,
                            int64_t first_row) {
  check(kernels::launch_quantize({.type = element_type(type),
                                  .in = rows,
                                  .stride = stride,
                                  .rows = count,
                                  .first_col = first_col,
                                  .all_cols = all_cols,
                                  .first_row = first_row,
                                  .out = weight.quantized()},
                                 stream_),
        "launch of quantize");
}

std::unique_ptr<Weight> WeightPacker::pack(std::span<const HostMatrix> parts,
                                           const ops::PackSpec& spec) {
  const int64_t cols = parts[0].in_features;
  auto weight = std::make_unique<DeviceWeight>(stacked_rows(parts), cols, spec, memory_);
  int64_t begin = 0;
  for (const HostMatrix& part : parts) {
    if (!spec.format.is_quantized()) {
      upload_rows(staging_, part, 0, part.out_features, 0, cols, spec.format.dtype(),
                  weight->row(begin));
      begin += part.out_features;
      continue;
    }
    const auto [first_col, all_cols] = columns_to_read(part, cols, spec.format);
    int64_t most = 0;
    void* to = rows(static_cast<size_t>(all_cols) * dtype_bytes(part.dtype), most);
    for (int64_t first = 0; first < part.out_features; first += most) {
      const int64_t count = std::min(most, part.out_features - first);
      upload_rows(staging_, part, first, count, first_col, all_cols, part.dtype, to);
      quantize(*weight, to, part.dtype, all_cols, count, first_col, all_cols, begin + first);
    }
    begin += part.out_features;
  }
  return weight;
}

std::unique_ptr<Weight> WeightPacker::pack(std::span<const QuantizedHostMatrix> parts,
                                           const ops::PackSpec& spec) {
  const int64_t cols = parts[0].in_features;
  auto weight = std::make_unique<DeviceWeight>(stacked_rows(parts), cols, spec, memory_);
  const auto words = static_cast<size_t>(words_per_row(cols, spec.format.type));
  const auto groups = static_cast<size_t>(scales_per_row(cols, spec.format.group));
  const size_t scale_bytes = (groups * sizeof(BF16) + 3) / 4 * 4;
  int64_t begin = 0;
  for (const QuantizedHostMatrix& part : parts) {
    // A row's words and behind them its scales.
    const size_t row_bytes = words * sizeof(uint32_t) + scale_bytes;
    int64_t most = 0;
    void* to = rows(row_bytes, most);
    for (int64_t first = 0; first < part.out_features; first += most) {
      const int64_t count = std::min(most, part.out_features - first);
      staging_.upload(
          to, static_cast<size_t>(count), row_bytes, [&](void* pinned, size_t at, size_t rows) {
            for (size_t r = 0; r < rows; ++r) {
              const int64_t row = first + static_cast<int64_t>(at + r);
              char* out = static_cast<char*>(pinned) + r * row_bytes;
              std::memcpy(out, part.words + row * part.word_stride, words * sizeof(uint32_t));
              std::memcpy(out + words * sizeof(uint32_t), part.scales + row * part.scale_stride,
                          groups * sizeof(BF16));
            }
          });
      check(
          kernels::launch_repack({.values = to,
                                  .stride = static_cast<int64_t>(row_bytes / sizeof(uint32_t)),
                                  .scales = static_cast<const char*>(to) + words * sizeof(uint32_t),
                                  .scale_stride = static_cast<int64_t>(row_bytes / sizeof(BF16)),
                                  .rows = count,
                                  .first_row = begin + first,
                                  .out = weight->quantized()},
                                 stream_),
          "launch of repack");
    }
    begin += part.out_features;
  }
  return weight;
}

std::unique_ptr<Weight> WeightPacker::pack(std::span<const GeneratedMatrix> parts,
                                           const ops::PackSpec& spec) {
  const int64_t cols = parts[0].cols;
  auto weight = std::make_unique<DeviceWeight>(stacked_rows(parts), cols, spec, memory_);
  int64_t begin = 0;
  for (const GeneratedMatrix& part : parts) {
    if (!spec.format.is_quantized()) {
      fill(part, spec.format.dtype(), weight->row(begin), stream_);
      begin += part.rows;
      continue;
    }
    const auto [first_col, all_cols] = columns_to_read(part, cols, spec.format);
    int64_t most = 0;
    void* to = rows(static_cast<size_t>(all_cols) * sizeof(BF16), most);
    for (int64_t first = 0; first < part.rows; first += most) {
      GeneratedMatrix whole = part;
      whole.first += first * part.row_stride - first_col;
      whole.rows = std::min(most, part.rows - first);
      whole.cols = all_cols;
      fill(whole, DType::kBF16, to, stream_);
      quantize(*weight, to, DType::kBF16, all_cols, whole.rows, first_col, all_cols, begin + first);
    }
    begin += part.rows;
  }
  return weight;
}

std::unique_ptr<ExpertSet> WeightPacker::make_experts(ExpertWeights weights) {
  return std::make_unique<DeviceExperts>(std::move(weights), memory_, staging_);
}

}  // namespace ernie::cuda
