#include "backend/cpu/cpu_backend.h"

#include <sched.h>

#include <algorithm>
#include <cstring>

#include "backend/cpu/cpu_ops.h"
#include "base/check.h"
#include "base/result.h"
#include "tensor/bf16.h"

namespace ernie::cpu {
namespace {

int usable_cores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

const PackedWeight& packed(const Weight& weight) {
  const auto* p = dynamic_cast<const PackedWeight*>(&weight);
  CHECK(p != nullptr, "the weight was packed by another backend");
  return *p;
}

// Elements that one thread should at least get of a simple operator.
constexpr int64_t kGrainElements = 16384;

int64_t row_grain(int64_t width) {
  return std::max<int64_t>(1, kGrainElements / std::max<int64_t>(width, 1));
}

}  // namespace

std::unique_ptr<ops::Backend> make_cpu_backend(const CpuBackendOptions& options) {
  return std::make_unique<CpuBackend>(options);
}

CpuBackend::CpuBackend(const CpuBackendOptions& options)
    : isa_(options.isa),
      kernels_(kernels_of(options.isa)),
      pool_(options.threads > 0 ? options.threads : usable_cores()) {
  samplers_.assign(static_cast<size_t>(pool_.threads()), Sampler(kernels_));
  if (!isa_supported(isa_)) {
    throw StartError(std::string("this processor does not run the instruction set ") +
                     isa_name(isa_) + "; let the program choose, or set ERNIE_CPU_ISA=generic");
  }
}

std::string CpuBackend::name() const {
  const int n = pool_.threads();
  return std::string("cpu (") + isa_name(isa_) + ", " + std::to_string(n) +
         (n == 1 ? " thread)" : " threads)");
}

const TypedKernels& CpuBackend::typed(DType dtype) const {
  CHECK(dtype == DType::kF32 || dtype == DType::kBF16,
        std::string("activations are float32 or bfloat16, not ") + dtype_name(dtype));
  return dtype == DType::kF32 ? kernels_.f32 : kernels_.bf16;
}

char* CpuBackend::thread_scratch(size_t bytes, size_t& stride) {
  stride = (bytes + 4095) / 4096 * 4096 + 64;
  return static_cast<char*>(threads_.get(stride * static_cast<size_t>(pool_.threads())));
}

void CpuBackend::copy_to_device(void* dst, const void* src, size_t bytes) {
  std::memcpy(dst, src, bytes);
}

void CpuBackend::copy_to_host(void* dst, const void* src, size_t bytes) {
  std::memcpy(dst, src, bytes);
}

std::unique_ptr<Weight> CpuBackend::pack_stacked(std::span<const HostMatrix> parts,
                                                 DType activation) {
  typed(activation);
  Buffer storage =
      allocate_host(packed_bytes(stacked_rows(parts), parts[0].in_features, activation));
  return std::make_unique<PackedWeight>(parts, activation, std::move(storage), pool_);
}

size_t CpuBackend::packed_bytes(int64_t out_features, int64_t in_features, DType activation) const {
  return PackedWeight::bytes_for(out_features, in_features, activation);
}

void CpuBackend::embed(const Weight& table, int64_t first_row, TensorView ids, TensorView out) {
  const PackedWeight& w = packed(table);
  CHECK(ids.dtype == DType::kI32 && ids.shape.elements() == out.rows() && out.dtype == w.dtype() &&
            out.cols() == w.in_features(),
        "embed: ids " + ids.shape.to_string() + ", out " + out.shape.to_string());
  const size_t row_bytes = static_cast<size_t>(out.cols()) * dtype_bytes(out.dtype);
  for_ranges(out.rows(), row_grain(out.cols()), [&](int64_t first, int64_t count) {
    for (int64_t i = first; i < first + count; ++i) {
      char* to = out.as<char>() + static_cast<size_t>(i) * row_bytes;
      const int64_t row = ids.as<const int32_t>()[i] - first_row;
      if (row >= 0 && row < w.out_features()) {
        w.copy_row(row, to);
      } else {
        std::memset(to, 0, row_bytes);
      }
    }
  });
}

void CpuBackend::norm_rows(const TypedKernels&, NormRows rows, DType dtype,
                           void (*kernel)(const NormRows&)) {
  const size_t row_bytes = static_cast<size_t>(rows.width) * dtype_bytes(dtype);
  for_ranges(rows.rows, row_grain(rows.width), [&](int64_t first, int64_t count) {
    const size_t skip = static_cast<size_t>(first) * row_bytes;
    NormRows part = rows;
    part.x = static_cast<const char*>(rows.x) + skip;
    if (rows.residual) part.residual = static_cast<char*>(rows.residual) + skip;
    part.out = static_cast<char*>(rows.out) + skip;
    part.rows = count;
    kernel(part);
  });
}

void CpuBackend::rms_norm(const ops::NormArgs& a) {
  const TypedKernels& k = typed(a.x.dtype);
  CHECK(a.weight.dtype == a.x.dtype && a.out.dtype == a.x.dtype && a.out.shape == a.x.shape &&
            a.weight.shape.elements() == a.x.cols(),
        "rms_norm: x " + a.x.shape.to_string() + ", weight " + a.weight.shape.to_string());
  norm_rows(k,
            {a.x.data, nullptr, a.weight.data, nullptr, a.out.data, a.x.cols(), a.x.rows(), a.eps},
            a.x.dtype, k.rms_norm);
}

void CpuBackend::residual_rms_norm(const ops::ResidualRmsNormArgs& a) {
  const TypedKernels& k = typed(a.x.dtype);
  CHECK(a.weight.dtype == a.x.dtype && a.out.dtype == a.x.dtype && a.out.shape == a.x.shape &&
            a.residual.shape == a.x.shape && a.residual.dtype == a.x.dtype &&
            a.weight.shape.elements() == a.x.cols(),
        "residual_rms_norm: x " + a.x.shape.to_string() + ", residual " +
            a.residual.shape.to_string() + ", weight " + a.weight.shape.to_string());
  norm_rows(k,
            {a.x.data, a.residual.data, a.weight.data, nullptr, a.out.data, a.x.cols(), a.x.rows(),
             a.eps},
            a.x.dtype, k.rms_norm);
}

void CpuBackend::layer_norm(const ops::NormArgs& a) {
  const TypedKernels& k = typed(a.x.dtype);
  CHECK(a.weight.dtype == a.x.dtype && a.bias.dtype == a.x.dtype && a.out.dtype == a.x.dtype &&
            a.out.shape == a.x.shape && a.weight.shape.elements() == a.x.cols() &&
            a.bias.shape.elements() == a.x.cols(),
        "layer_norm: x " + a.x.shape.to_string() + ", weight " + a.weight.shape.to_string());
  norm_rows(
      k, {a.x.data, nullptr, a.weight.data, a.bias.data, a.out.data, a.x.cols(), a.x.rows(), a.eps},
      a.x.dtype, k.layer_norm);
}

void CpuBackend::add(TensorView x, TensorView inout) {
  const TypedKernels& k = typed(x.dtype);
  CHECK(x.dtype == inout.dtype && x.shape == inout.shape,
        "add: x " + x.shape.to_string() + ", inout " + inout.shape.to_string());
  const size_t size = dtype_bytes(x.dtype);
  for_ranges(x.shape.elements(), kGrainElements, [&](int64_t first, int64_t count) {
    const size_t skip = static_cast<size_t>(first) * size;
    k.add(x.as<char>() + skip, inout.as<char>() + skip, count);
  });
}

void CpuBackend::cast(TensorView in, TensorView out) {
  CHECK(in.shape == out.shape,
        "cast: in " + in.shape.to_string() + ", out " + out.shape.to_string());
  typed(in.dtype);
  typed(out.dtype);
  if (in.dtype == out.dtype) {
    std::memmove(out.data, in.data, in.bytes());
    return;
  }
  for_ranges(in.shape.elements(), kGrainElements, [&](int64_t first, int64_t count) {
    if (in.dtype == DType::kF32) {
      kernels_.bf16.from_float(in.as<const float>() + first, out.as<BF16>() + first, count);
    } else {
      kernels_.bf16.to_float(in.as<const BF16>() + first, out.as<float>() + first, count);
    }
  });
}

void CpuBackend::swiglu(const ops::SwiGluArgs& a) {
  const TypedKernels& k = typed(a.out.dtype);
  const int64_t width = a.out.cols();
  CHECK(a.gate_up.dtype == a.out.dtype && a.gate_up.cols() == 2 * width &&
            a.gate_up.rows() == a.out.rows(),
        "swiglu: gate_up " + a.gate_up.shape.to_string() + ", out " + a.out.shape.to_string());
  const size_t row_bytes = static_cast<size_t>(width) * dtype_bytes(a.out.dtype);
  for_ranges(a.out.rows(), row_grain(width), [&](int64_t first, int64_t count) {
    for (int64_t r = first; r < first + count; ++r) {
      k.swiglu_row(a.gate_up.as<char>() + static_cast<size_t>(r) * 2 * row_bytes,
                   a.out.as<char>() + static_cast<size_t>(r) * row_bytes, width);
    }
  });
}

void CpuBackend::normalize_patches(const ops::NormalizePatchesArgs& a) {
  const TypedKernels& k = typed(a.out.dtype);
  CHECK(a.patches.dtype == DType::kU8 && a.patches.shape == a.out.shape && a.out.cols() % 3 == 0,
        "normalize_patches: patches " + a.patches.shape.to_string() + ", out " +
            a.out.shape.to_string());
  const int64_t width = a.out.cols();
  const int64_t plane = width / 3;
  const size_t size = dtype_bytes(a.out.dtype);
  for_ranges(a.out.rows(), row_grain(width), [&](int64_t first, int64_t count) {
    for (int64_t i = first * 3; i < (first + count) * 3; ++i) {
      const float std = a.std[i % 3];
      k.normalize(a.patches.as<const uint8_t>() + i * plane,
                  a.out.as<char>() + static_cast<size_t>(i * plane) * size, plane,
                  1.0f / (255.0f * std), -a.mean[i % 3] / std);
    }
  });
}

void CpuBackend::gather_rows(TensorView in, TensorView rows, TensorView out) {
  CHECK(in.dtype == out.dtype && in.cols() == out.cols() && rows.dtype == DType::kI32 &&
            rows.shape.elements() == out.rows(),
        "gather_rows: in " + in.shape.to_string() + ", rows " + rows.shape.to_string() + ", out " +
            out.shape.to_string());
  const size_t row_bytes = static_cast<size_t>(in.cols()) * dtype_bytes(in.dtype);
  for (int64_t i = 0; i < out.rows(); ++i) {
    const int32_t row = rows.as<const int32_t>()[i];
    CHECK(row >= 0 && row < in.rows(),
          "gather_rows: row " + std::to_string(row) + " of " + in.shape.to_string());
    std::memcpy(out.as<char>() + static_cast<size_t>(i) * row_bytes,
                in.as<char>() + static_cast<size_t>(row) * row_bytes, row_bytes);
  }
}

void CpuBackend::scatter_rows(TensorView in, TensorView rows, TensorView out) {
  CHECK(in.dtype == out.dtype && in.cols() == out.cols() && rows.dtype == DType::kI32 &&
            rows.shape.elements() == in.rows(),
        "scatter_rows: in " + in.shape.to_string() + ", rows " + rows.shape.to_string() + ", out " +
            out.shape.to_string());
  const size_t row_bytes = static_cast<size_t>(in.cols()) * dtype_bytes(in.dtype);
  for (int64_t i = 0; i < in.rows(); ++i) {
    const int32_t row = rows.as<const int32_t>()[i];
    CHECK(row >= 0 && row < out.rows(),
          "scatter_rows: row " + std::to_string(row) + " of " + out.shape.to_string());
    std::memcpy(out.as<char>() + static_cast<size_t>(row) * row_bytes,
                in.as<char>() + static_cast<size_t>(i) * row_bytes, row_bytes);
  }
}

}  // namespace ernie::cpu
