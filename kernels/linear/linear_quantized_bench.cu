#include <algorithm>
#include <string>
#include <vector>

#include "kernels/linear/linear.h"
#include "kernels/quantized/quantized.h"
#include "kernels/testing/bench.h"

// Quantised matrices with many rows beside cuBLASLt's product with bfloat16 ones.
namespace ernie::kernels {
namespace {

struct Matrix {
  const char* name;
  int64_t in;
  int64_t out;
};
constexpr Matrix kMatrices[] = {
    {"28B qkv", 2560, 3584},           {"28B output", 2560, 2560},
    {"28B gate_up", 2560, 24576},      {"28B down", 12288, 2560},
    {"424B / 2 qkv", 8192, 5120},      {"424B / 2 output", 4096, 8192},
    {"424B / 2 gate_up", 8192, 28672}, {"424B / 2 down", 14336, 8192},
};

void measure(const Matrix& m, int64_t rows, WeightFormat format, bool few = false) {
  constexpr size_t kColdBytes = size_t{150} << 20;
  const bool native = format.type == WeightType::kNative;
  const size_t bytes = native ? static_cast<size_t>(m.in * m.out) * 2
                              : quantized_value_bytes(m.out, m.in, format, RowOrder::kPlain);
  const size_t copies = std::max<size_t>(1, kColdBytes / bytes);
  std::vector<void*> weights;
  for (size_t i = 0; i < copies; ++i) weights.push_back(bench::allocate_random(bytes, native));
  void* scales = bench::allocate_random(static_cast<size_t>(m.out * 2), true, 0.01f);
  void* x = bench::allocate_random(static_cast<size_t>(rows * m.in) * 2, true);
  void* out = bench::allocate_zeroed(static_cast<size_t>(rows * m.out) * 2);
  void* workspace = bench::allocate_zeroed(kLinearWorkspaceBytes);
  {
    Linear linear({workspace, kLinearWorkspaceBytes, nullptr, 0});
    const double us = bench::time_launches(
        [&](cudaStream_t stream, int index) {
          LinearParams p;
          p.x = x;
          p.weight = weights[static_cast<size_t>(index) % copies];
          p.format = format;
          p.scales = scales;
          p.out = out;
          p.rows = rows;
          p.in_features = m.in;
          p.out_features = m.out;
          if (few) return launch_linear_quantized(p, stream);
          if (!native) return launch_linear_quantized_hopper(p, stream);
          const LinearStatus status = linear.run_library(p, stream);
          return status.library != nullptr ? cudaErrorUnknown : status.cuda;
        },
        {.launches_per_graph = rows > 1000 ? 4 : 16, .replays = 7});
    bench::report(std::string(m.name) + ", " + std::to_string(rows) + " rows, " +
                      (native ? "bf16" : "int" + std::to_string(bits_of(format.type))) +
                      (few ? ", kernel for few" : ""),
                  us, static_cast<double>(bytes),
                  2.0 * static_cast<double>(rows) * static_cast<double>(m.in * m.out));
  }
  for (void* p : weights) cudaFree(p);
  for (void* p : {scales, x, out, workspace}) cudaFree(p);
}

KERNEL_BENCH(QuantizedManyRows) {
  for (const Matrix& m : kMatrices) {
    for (const int64_t rows : {32, 128, 512, 2048, 8192}) {
      measure(m, rows, {WeightType::kInt4, 0});
      measure(m, rows, {WeightType::kInt8, 0});
      measure(m, rows, {});
    }
  }
}

// Where the kernel for few rows, which reads the weights once for every 16, falls behind.
KERNEL_BENCH(QuantizedRowsBetween) {
  for (const Matrix& m : kMatrices) {
    for (const int64_t rows : {8, 16, 24, 32, 64}) {
      measure(m, rows, {WeightType::kInt8, 0}, true);
      measure(m, rows, {WeightType::kInt8, 0});
    }
  }
}

}  // namespace
}  // namespace ernie::kernels
