#include <string>

#include "kernels/quantized/quantized.h"
#include "kernels/testing/bench.h"

namespace ernie::kernels {
namespace {

// Loading streams all weights through this.
KERNEL_BENCH(Quantize) {
  constexpr int64_t kRows = 16384;
  for (const int64_t cols : {2560, 8192, 14336}) {
    const size_t bytes = static_cast<size_t>(kRows * cols) * 2;
    void* in = bench::allocate_random(bytes, true);
    for (const WeightFormat format :
         {WeightFormat{WeightType::kInt4, 0}, WeightFormat{WeightType::kInt8, 0},
          WeightFormat{WeightType::kInt4, 64}}) {
      const size_t value_bytes = quantized_value_bytes(kRows, cols, format, RowOrder::kGateUp);
      void* values = bench::allocate_zeroed(value_bytes);
      void* scales =
          bench::allocate_zeroed(quantized_scale_bytes(kRows, cols, format, RowOrder::kGateUp));
      QuantizeParams p;
      p.in = in;
      p.stride = p.all_cols = cols;
      p.rows = kRows;
      p.out = {format, RowOrder::kGateUp, kRows, cols, values, scales};
      const double time =
          bench::time_launches([&](cudaStream_t stream, int) { return launch_quantize(p, stream); },
                               {.launches_per_graph = 5, .replays = 5});
      bench::report(std::to_string(cols) + " columns to int" +
                        std::to_string(bits_of(format.type)) + ", group " +
                        std::to_string(format.group),
                    time, static_cast<double>(bytes + value_bytes));
      cudaFree(values);
      cudaFree(scales);
    }
    cudaFree(in);
  }
}

}  // namespace
}  // namespace ernie::kernels
