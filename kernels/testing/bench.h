#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <functional>
#include <string>

// Measures kernels beside the ceilings of the machine they run on. A benchmark program is a file of
//   KERNEL_BENCH(name) { report("what", time_launches(...), bytes, flops); }
// linked with ernie_kernels_bench, which has main().
namespace ernie::kernels::bench {

struct Registration {
  Registration(const char* name, void (*body)());
};
#define KERNEL_BENCH(name)                                                              \
  static void name();                                                                   \
  static const ::ernie::kernels::bench::Registration name##_registration_(#name, name); \
  static void name()

// Prints the error and ends the program, if it is one.
void check(cudaError_t error, const char* what);

// Device memory of `count` T with pseudo-random contents: bit patterns of small bfloat16 and
// float32 numbers around zero, as power draw depends on the data.
void* allocate_random(size_t bytes, bool bf16, float scale = 1.0f);
void* allocate_zeroed(size_t bytes);
void* allocate_and_copy(const void* host, size_t bytes);

// One launch of what is measured; `index` counts the launches of a graph, so that successive
// launches can use different memory and find the L2 cache cold.
using Launch = std::function<cudaError_t(cudaStream_t, int index)>;

struct TimingOptions {
  int launches_per_graph = 20;
  int replays = 15;
};
// Microseconds per launch: the median over replays of one CUDA graph.
double time_launches(const Launch& launch, const TimingOptions& options = {});

struct Ceilings {
  double read_gb_per_s = 0;     // streaming read of 1 GiB
  double gemm_tflop_per_s = 0;  // bfloat16, 8192 x 8192 x 8192, cuBLASLt
};
const Ceilings& ceilings();  // measured on the first call

// Prints the time and what of it is known: GB/s for `bytes` > 0, TFLOP/s for `flops` > 0, each with
// its share of the ceiling.
void report(const std::string& what, double microseconds, double bytes, double flops = 0);

}  // namespace ernie::kernels::bench
