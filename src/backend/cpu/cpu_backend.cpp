#include "backend/cpu/cpu_backend.h"

#include <sched.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "backend/cpu/cpu_ops.h"
#include "backend/cpu/quantized_weight.h"
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

class CpuSizing final : public ops::Sizing {
 public:
  size_t packed_bytes(int64_t out_features, int64_t in_features,
                      const ops::PackSpec& spec) const override {
    return spec.format.is_quantized()
               ? QuantizedWeight::bytes_for(out_features, in_features, spec.format)
               : PackedWeight::bytes_for(out_features, in_features, spec.format.dtype());
  }
  size_t work_bytes(const ops::WorkShape&) const override { return 0; }
  ops::SamplerLimits sampler_limits() const override {
    constexpr int kAny = std::numeric_limits<int>::max();
    return {.top_logprobs = kAny, .logit_biases = kAny, .banned_tokens = kAny};
  }
};

// Elements that one thread should at least get of a simple operator.
constexpr int64_t kGrainElements = 16384;

int64_t row_grain(int64_t width) {
  return std::max<int64_t>(1, kGrainElements / std::max<int64_t>(width, 1));
}

}  // namespace

const ops::Sizing& cpu_sizing() {
  static const CpuSizing sizing;
  return sizing;
}

std::unique_ptr<ops::Backend> make_cpu_backend(const CpuBackendOptions& options) {
  return std::make_unique<CpuBackend>(options);
}

CpuBackend::CpuBackend(const CpuBackendOptions& options)
    : isa_(options.isa),
      kernels_(kernels_of(options.isa)),
      pool_(options.threads > 0 ? options.threads : usable_cores()) {
  samplers_.assign(static_cast<size_t>(pool_.threads()), RowSampler(kernels_));
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
                                                 const ops::PackSpec& spec) {
  Buffer storage =
      allocate_host(sizing().packed_bytes(stacked_rows(parts), parts[0].in_features, spec));
  if (spec.format.is_quantized()) {
    return std::make_unique<QuantizedWeight>(parts, spec, std::move(storage), pool_);
  }
  return std::make_unique<PackedWeight>(parts, spec, std::move(storage), pool_);
}

std::unique_ptr<Weight> CpuBackend::pack_quantized(std::span<const QuantizedHostMatrix> parts,
                                                   const ops::PackSpec& spec) {
  Buffer storage =
      allocate_host(sizing().packed_bytes(stacked_rows(parts), parts[0].in_features, spec));
  return std::make_unique<QuantizedWeight>(parts, spec, std::move(storage), pool_);
}

const ops::Sizing& CpuBackend::sizing() const { return cpu_sizing(); }

void CpuBackend::do_embed(const ops::EmbedArgs& a) {
  const PackedWeight& w = packed(*a.table);
  const size_t row_bytes = static_cast<size_t>(a.out.cols()) * dtype_bytes(a.out.dtype);
  for_ranges(a.out.rows(), row_grain(a.out.cols()), [&](int64_t first, int64_t count) {
    for (int64_t i = first; i < first + count; ++i) {
      char* to = a.out.as<char>() + static_cast<size_t>(i) * row_bytes;
      const int64_t row = a.ids.as<const int32_t>()[i] - a.first_row;
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

void CpuBackend::do_rms_norm(const ops::RmsNormArgs& a) {
  const TypedKernels& k = typed(a.x.dtype);
  norm_rows(k,
            {a.x.data, nullptr, a.weight.data, nullptr, a.out.data, a.x.cols(), a.x.rows(), a.eps},
            a.x.dtype, k.rms_norm);
}

void CpuBackend::do_residual_rms_norm(const ops::ResidualRmsNormArgs& a) {
  const TypedKernels& k = typed(a.x.dtype);
  norm_rows(k,
            {a.x.data, a.residual.data, a.weight.data, nullptr, a.out.data, a.x.cols(), a.x.rows(),
             a.eps},
            a.x.dtype, k.rms_norm);
}

void CpuBackend::do_layer_norm(const ops::LayerNormArgs& a) {
  const TypedKernels& k = typed(a.x.dtype);
  norm_rows(
      k, {a.x.data, nullptr, a.weight.data, a.bias.data, a.out.data, a.x.cols(), a.x.rows(), a.eps},
      a.x.dtype, k.layer_norm);
}

void CpuBackend::do_add(const ops::AddArgs& a) {
  const TypedKernels& k = typed(a.x.dtype);
  const size_t size = dtype_bytes(a.x.dtype);
  for_ranges(a.x.shape.elements(), kGrainElements, [&](int64_t first, int64_t count) {
    const size_t skip = static_cast<size_t>(first) * size;
    k.add(a.x.as<char>() + skip, a.inout.as<char>() + skip, count);
  });
}

void CpuBackend::do_cast(const ops::CastArgs& a) {
  if (a.in.dtype == a.out.dtype) {
    std::memmove(a.out.data, a.in.data, a.in.bytes());
    return;
  }
  for_ranges(a.in.shape.elements(), kGrainElements, [&](int64_t first, int64_t count) {
    if (a.in.dtype == DType::kF32) {
      kernels_.bf16.from_float(a.in.as<const float>() + first, a.out.as<BF16>() + first, count);
    } else {
      kernels_.bf16.to_float(a.in.as<const BF16>() + first, a.out.as<float>() + first, count);
    }
  });
}

void CpuBackend::do_swiglu(const ops::SwiGluArgs& a) {
  const TypedKernels& k = typed(a.out.dtype);
  const int64_t width = a.out.cols();
  const size_t row_bytes = static_cast<size_t>(width) * dtype_bytes(a.out.dtype);
  for_ranges(a.out.rows(), row_grain(width), [&](int64_t first, int64_t count) {
    for (int64_t r = first; r < first + count; ++r) {
      k.swiglu_row(a.gate_up.as<char>() + static_cast<size_t>(r) * 2 * row_bytes,
                   a.out.as<char>() + static_cast<size_t>(r) * row_bytes, width);
    }
  });
}

void CpuBackend::do_normalize_patches(const ops::NormalizePatchesArgs& a) {
  const TypedKernels& k = typed(a.out.dtype);
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

void CpuBackend::do_gather_rows(const ops::GatherRowsArgs& a) {
  const size_t row_bytes = static_cast<size_t>(a.in.cols()) * dtype_bytes(a.in.dtype);
  for (int64_t i = 0; i < a.out.rows(); ++i) {
    const int32_t row = a.rows.as<const int32_t>()[i];
    CHECK(row >= 0 && row < a.in.rows(),
          "gather_rows: row " + std::to_string(row) + " of " + a.in.shape.to_string());
    std::memcpy(a.out.as<char>() + static_cast<size_t>(i) * row_bytes,
                a.in.as<char>() + static_cast<size_t>(row) * row_bytes, row_bytes);
  }
}

}  // namespace ernie::cpu
