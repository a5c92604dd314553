#include <algorithm>
#include <vector>

#include "kernels/linear/linear.h"
#include "kernels/quantized/quantized.h"
#include "kernels/testing/bench.h"

namespace ernie::kernels {
namespace {

using bench::report;

struct Matrix {
  const char* name;
  int64_t in;
  int64_t out;
};

// ERNIE-4.5-VL-28B-A3B's and one rank's of four of 424B-A47B's.
constexpr Matrix kMatrices[] = {
    {"28B qkv", 2560, 3584},
    {"28B attention output", 2560, 2560},
    {"28B dense gate and up", 2560, 24576},
    {"28B dense down", 12288, 2560},
    {"28B vocabulary", 2560, 103424},
    {"424B / 4 qkv", 8192, 2560},
    {"424B / 4 output", 2048, 8192},
};

// Copies of W beyond the L2, so that each launch reads memory.
constexpr size_t kColdBytes = size_t{300} << 20;

void measure(const Matrix& m, int64_t rows, bool through_library, WeightFormat format = {}) {
  const bool quantized = format.type != WeightType::kNative;
  const size_t bytes = quantized ? quantized_value_bytes(m.out, m.in, format, RowOrder::kPlain)
                                 : static_cast<size_t>(m.in * m.out) * 2;
  const int copies = static_cast<int>(std::max<size_t>(1, kColdBytes / bytes));
  std::vector<void*> weights;
  for (int i = 0; i < copies; ++i) weights.push_back(bench::allocate_random(bytes, true));
  void* scales = bench::allocate_random(
      quantized_scale_bytes(m.out, m.in, format, RowOrder::kPlain), true, 0.01f);
  void* x = bench::allocate_random(static_cast<size_t>(rows * m.in) * 2, true);
  void* out = bench::allocate_zeroed(static_cast<size_t>(rows * m.out) * 4);
  void* workspace = bench::allocate_zeroed(kLinearWorkspaceBytes);
  void* sums = bench::allocate_zeroed(kLinearSumsBytes);
  {
    Linear linear({workspace, kLinearWorkspaceBytes, static_cast<float*>(sums), kLinearSumsBytes});
    const double us = bench::time_launches([&](cudaStream_t stream, int index) {
      const LinearParams p{.x = x,
                           .weight = weights[static_cast<size_t>(index % copies)],
                           .format = format,
                           .scales = scales,
                           .out = out,
                           .rows = rows,
                           .in_features = m.in,
                           .out_features = m.out};
      const LinearStatus status =
          through_library ? linear.run_library(p, stream) : linear.run(p, stream);
      return status.library != nullptr ? cudaErrorUnknown : status.cuda;
    });
    const double io = static_cast<double>(rows * (m.in + m.out)) * 2;
    report(std::string(m.name) + ", " + std::to_string(rows) + " rows" +
               (through_library ? ", cuBLASLt" : "") +
               (quantized ? ", int" + std::to_string(bits_of(format.type)) : ""),
           us, static_cast<double>(bytes) + io,
           2.0 * static_cast<double>(rows) * static_cast<double>(m.in * m.out));
  }
  for (void* p : weights) cudaFree(p);
  for (void* p : {scales, x, out, workspace, sums}) cudaFree(p);
}

KERNEL_BENCH(SmallBatch) {
  for (const Matrix& m : kMatrices) {
    for (const int64_t rows : {1, 8, 16}) {
      measure(m, rows, false);
      measure(m, rows, true);
    }
  }
}

constexpr Matrix kQuantizedMatrices[] = {
    {"28B qkv", 2560, 3584},
    {"28B attention output", 2560, 2560},
    {"28B dense gate and up", 2560, 24576},
    {"28B dense down", 12288, 2560},
    {"424B / 2 qkv", 8192, 5120},
    {"424B / 2 output", 4096, 8192},
    {"424B / 2 gate and up", 8192, 28672},
    {"424B / 2 down", 14336, 8192},
};

KERNEL_BENCH(Quantized) {
  for (const Matrix& m : kQuantizedMatrices) {
    for (const int64_t rows : {1, 8, 16, 64}) measure(m, rows, false, {WeightType::kInt8, 0});
    measure(m, 1, false, {WeightType::kInt4, 0});
  }
}

KERNEL_BENCH(LargeBatch) {
  for (const Matrix& m : kMatrices) {
    for (const int64_t rows : {17, 64, 256, 2048, 8192}) {
      if (m.out < 100000 || rows <= 256) measure(m, rows, false);
    }
  }
}

}  // namespace
}  // namespace ernie::kernels
