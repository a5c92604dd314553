#include "kernels/testing/bench.h"

#include <cublasLt.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "kernels/common/arch.h"
#include "kernels/testing/bench_kernels.h"

namespace ernie::kernels::bench {
namespace {

struct BenchCase {
  const char* name;
  void (*body)();
};

std::vector<BenchCase>& all_benches() {
  static std::vector<BenchCase> benches;
  return benches;
}

void check_cublas(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  std::printf("%s: %s\n", what, cublasLtGetStatusName(status));
  std::exit(1);
}

double measure_read() {
  constexpr size_t kBytes = size_t{1} << 30;
  void* data = allocate_random(kBytes, true);
  auto* sink = static_cast<uint32_t*>(allocate_zeroed(4));
  const double us = time_launches(
      [&](cudaStream_t stream, int) { return launch_read(data, kBytes, sink, stream); },
      {.launches_per_graph = 5, .replays = 11});
  cudaFree(data);
  cudaFree(sink);
  return static_cast<double>(kBytes) / us * 1e-3;
}

double measure_gemm() {
  constexpr int64_t kSize = 8192;
  constexpr size_t kBytes = size_t{kSize} * kSize * 2;
  constexpr size_t kWorkspace = size_t{32} << 20;
  void* a = allocate_random(kBytes, true);
  void* b = allocate_random(kBytes, true);
  void* c = allocate_zeroed(kBytes);
  void* workspace = allocate_zeroed(kWorkspace);
  cublasLtHandle_t handle = nullptr;
  check_cublas(cublasLtCreate(&handle), "cublasLtCreate");
  cublasLtMatmulDesc_t operation = nullptr;
  check_cublas(cublasLtMatmulDescCreate(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F), "matmul");
  const cublasOperation_t transpose = CUBLAS_OP_T;
  check_cublas(cublasLtMatmulDescSetAttribute(operation, CUBLASLT_MATMUL_DESC_TRANSA, &transpose,
                                              sizeof(transpose)),
               "transpose");
  cublasLtMatrixLayout_t layout = nullptr;
  check_cublas(cublasLtMatrixLayoutCreate(&layout, CUDA_R_16BF, kSize, kSize, kSize), "layout");
  cublasLtMatmulPreference_t preference = nullptr;
  check_cublas(cublasLtMatmulPreferenceCreate(&preference), "preference");
  check_cublas(
      cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                           &kWorkspace, sizeof(kWorkspace)),
      "workspace");
  cublasLtMatmulHeuristicResult_t best{};
  int found = 0;
  check_cublas(cublasLtMatmulAlgoGetHeuristic(handle, operation, layout, layout, layout, layout,
                                              preference, 1, &best, &found),
               "heuristic");
  const float one = 1.0f;
  const float zero = 0.0f;
  const double us = time_launches(
      [&](cudaStream_t stream, int) {
        check_cublas(cublasLtMatmul(handle, operation, &one, a, layout, b, layout, &zero, c, layout,
                                    c, layout, &best.algo, workspace, kWorkspace, stream),
                     "cublasLtMatmul");
        return cudaSuccess;
      },
      {.launches_per_graph = 5, .replays = 11});
  cublasLtMatmulPreferenceDestroy(preference);
  cublasLtMatrixLayoutDestroy(layout);
  cublasLtMatmulDescDestroy(operation);
  cublasLtDestroy(handle);
  for (void* p : {a, b, c, workspace}) cudaFree(p);
  return 2.0 * kSize * kSize * kSize / us * 1e-6;
}

}  // namespace

Registration::Registration(const char* name, void (*body)()) {
  all_benches().push_back({name, body});
}

void check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  std::printf("%s: %s, %s\n", what, cudaGetErrorName(error), cudaGetErrorString(error));
  std::exit(1);
}

void* allocate_zeroed(size_t bytes) {
  void* p = nullptr;
  check(cudaMalloc(&p, bytes), "cudaMalloc");
  check(cudaMemset(p, 0, bytes), "cudaMemset");
  return p;
}

void* allocate_random(size_t bytes, bool bf16, float scale) {
  void* p = allocate_zeroed(bytes);
  check(launch_fill(p, bytes / (bf16 ? 2 : 4), bf16, scale, nullptr), "fill");
  check(cudaDeviceSynchronize(), "fill");
  return p;
}

void* allocate_and_copy(const void* host, size_t bytes) {
  void* p = allocate_zeroed(bytes);
  check(cudaMemcpy(p, host, bytes, cudaMemcpyHostToDevice), "cudaMemcpy");
  return p;
}

double time_launches(const Launch& launch, const TimingOptions& options) {
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "create stream");
  check(cudaDeviceSynchronize(), "synchronise");
  check(launch(stream, 0), "launch");  // loads the code before the capture
  check(cudaStreamSynchronize(stream), "run");
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed), "begin capture");
  for (int i = 0; i < options.launches_per_graph; ++i) check(launch(stream, i), "capture");
  check(cudaStreamEndCapture(stream, &graph), "end capture");
  check(cudaGraphInstantiate(&executable, graph, 0), "instantiate");
  cudaEvent_t begin = nullptr;
  cudaEvent_t end = nullptr;
  check(cudaEventCreate(&begin), "event");
  check(cudaEventCreate(&end), "event");
  std::vector<double> times;
  for (int i = 0; i < options.replays + 2; ++i) {  // two to warm up
    check(cudaEventRecord(begin, stream), "record");
    check(cudaGraphLaunch(executable, stream), "replay");
    check(cudaEventRecord(end, stream), "record");
    check(cudaEventSynchronize(end), "run graph");
    float ms = 0;
    check(cudaEventElapsedTime(&ms, begin, end), "elapsed time");
    if (i >= 2) times.push_back(ms * 1e3 / options.launches_per_graph);
  }
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  cudaGraphExecDestroy(executable);
  cudaGraphDestroy(graph);
  cudaStreamDestroy(stream);
  std::nth_element(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2),
                   times.end());
  return times[times.size() / 2];
}

const Ceilings& ceilings() {
  static const Ceilings measured{measure_read(), measure_gemm()};
  return measured;
}

void report(const std::string& what, double microseconds, double bytes, double flops) {
  std::printf("%-56s %10.2f us", what.c_str(), microseconds);
  if (bytes > 0) {
    const double rate = bytes / microseconds * 1e-3;
    std::printf("  %7.0f GB/s (%3.0f %% of %.0f)", rate, 100 * rate / ceilings().read_gb_per_s,
                ceilings().read_gb_per_s);
  }
  if (flops > 0) {
    const double rate = flops / microseconds * 1e-6;
    std::printf("  %7.1f TFLOP/s (%3.0f %% of %.0f)", rate,
                100 * rate / ceilings().gemm_tflop_per_s, ceilings().gemm_tflop_per_s);
  }
  std::printf("\n");
  std::fflush(stdout);
}

}  // namespace ernie::kernels::bench

// An argument runs only the benchmarks whose names contain it.
int main(int argc, char** argv) {
  using namespace ernie::kernels;
  cudaDeviceProp device{};
  bench::check(cudaGetDeviceProperties(&device, 0), "no CUDA device");
  std::printf(
      "%s, compute capability %d.%d, code for sm_%d, read %.0f GB/s, bf16 GEMM %.0f TFLOP/s\n",
      device.name, device.major, device.minor, arch(), bench::ceilings().read_gb_per_s,
      bench::ceilings().gemm_tflop_per_s);
  for (const auto& bench : bench::all_benches()) {
    if (argc > 1 && std::strstr(bench.name, argv[1]) == nullptr) continue;
    std::printf("%s\n", bench.name);
    bench.body();
  }
  return 0;
}
