#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "backend/cuda/device.h"
#include "backend/cuda_ceilings.h"
#include "backend/cuda_factory.h"
#include "base/result.h"
#include "kernels/linear/linear.h"
#include "kernels/testing/bench_kernels.h"

namespace ernie::cuda {
namespace {

constexpr size_t kBytes = size_t{1} << 30;
constexpr int64_t kSize = 8192;
constexpr int kPasses = 11;
constexpr int kLaunches = 5;  // of one pass, so that the pauses between them do not count

class Event {
 public:
  Event() { check(cudaEventCreate(&event_), "cudaEventCreate"); }
  ~Event() { cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  cudaEvent_t get() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

// Seconds of one launch: the median pass.
double median_seconds(cudaStream_t stream, const std::function<void()>& launch) {
  const Event begin;
  const Event end;
  std::vector<double> seconds;
  for (int pass = 0; pass <= kPasses; ++pass) {
    check(cudaEventRecord(begin.get(), stream), "cudaEventRecord");
    for (int i = 0; i < kLaunches; ++i) launch();
    check(cudaEventRecord(end.get(), stream), "cudaEventRecord");
    check(cudaEventSynchronize(end.get()), "cudaEventSynchronize");
    float ms = 0;
    check(cudaEventElapsedTime(&ms, begin.get(), end.get()), "cudaEventElapsedTime");
    if (pass > 0) seconds.push_back(ms * 1e-3 / kLaunches);  // the first warms up
  }
  std::sort(seconds.begin(), seconds.end());
  return seconds[seconds.size() / 2];
}

double gemm_flops(cudaStream_t stream, const Buffer& operands, const Buffer& product) {
  const Buffer workspace = allocate_device(kernels::kLinearWorkspaceBytes);
  kernels::Linear linear(
      {.workspace = workspace.data(), .workspace_bytes = kernels::kLinearWorkspaceBytes});
  const kernels::LinearParams params{
      .x = operands.data(),
      .weight = static_cast<const char*>(operands.data()) + kSize * kSize * 2,
      .out = product.data(),
      .rows = kSize,
      .in_features = kSize,
      .out_features = kSize};
  const double seconds = median_seconds(stream, [&] {
    const kernels::LinearStatus status = linear.run_library(params, stream);
    check(status.cuda, "matrix product");
    if (status.library != nullptr) throw_fault("cublasLtMatmul", status.library);
  });
  return 2.0 * kSize * kSize * kSize / seconds;
}

}  // namespace

Ceilings measure_ceilings(int device) {
  const DeviceCount devices = count_devices();
  if (device < 0 || device >= devices.count)
    throw StartError("device " + std::to_string(device) + " does not exist: there are " +
                     std::to_string(devices.count) + ". " + devices.reason);
  const Stream on(device);
  cudaStream_t stream = on.get();
  const Buffer data = allocate_device(kBytes);
  const Buffer copy = allocate_device(kBytes);
  const Buffer sink = allocate_device(sizeof(uint32_t));
  check(kernels::bench::launch_fill(data.data(), kBytes / 2, true, 1.0f, stream), "launch_fill");
  Ceilings found;
  found.read_bytes_per_s =
      static_cast<double>(kBytes) / median_seconds(stream, [&] {
        check(kernels::bench::launch_read(data.data(), kBytes, static_cast<uint32_t*>(sink.data()),
                                          stream),
              "launch_read");
      });
  found.copy_bytes_per_s =
      2.0 * static_cast<double>(kBytes) / median_seconds(stream, [&] {
        check(cudaMemcpyAsync(copy.data(), data.data(), kBytes, cudaMemcpyDeviceToDevice, stream),
              "cudaMemcpyAsync");
      });
  found.bf16_flops = gemm_flops(stream, data, copy);
  return found;
}

}  // namespace ernie::cuda
