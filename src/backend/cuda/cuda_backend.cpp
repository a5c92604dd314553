#include "backend/cuda/cuda_backend.h"

#include "backend/cuda_factory.h"
#include "base/check.h"
#include "base/result.h"
#include "kernels/common/arch.h"

namespace ernie::cuda {

std::unique_ptr<ops::Backend> make_cuda_backend(int device) {
  const DeviceCount devices = count_devices();
  if (devices.count == 0) throw StartError(devices.reason);
  if (device < 0 || device >= devices.count) {
    throw StartError("there is no CUDA device " + std::to_string(device) + ": this machine has " +
                     std::to_string(devices.count) + "; lower --tensor-parallel-size");
  }
  return std::make_unique<CudaBackend>(device);
}

CudaBackend::CudaBackend(int device)
    : device_(device),
      stream_(device),
      staging_(stream_.get()),
      host_copies_(staging_),
      attention_("attention", frozen_),
      router_logits_("the router", frozen_),
      router_arrivals_("the router", frozen_),
      scratch_("the experts or an expanded cache", frozen_),
      segments_("vision attention", frozen_),
      sampling_rows_("sampling", frozen_),
      sampling_lists_("sampling", frozen_),
      sampling_results_("sampling", frozen_),
      sampling_("sampling", frozen_),
      linear_workspace_(allocate_device(kernels::kLinearWorkspaceBytes)),
      linear_sums_(allocate_device(kernels::kLinearSumsBytes)) {
  linear_ = std::make_unique<kernels::Linear>(kernels::LinearMemory{
      .workspace = linear_workspace_.data(),
      .workspace_bytes = linear_workspace_.bytes(),
      .sums = static_cast<float*>(linear_sums_.data()),
      .sums_bytes = linear_sums_.bytes(),
  });
  if (const auto status = linear_->status(); !status.ok()) {
    throw_fault("cublasLtCreate", status.library);
  }
}

CudaBackend::~CudaBackend() {
  cudaStreamSynchronize(stream());  // kernels may still use the memory that goes now
}

std::string CudaBackend::name() const {
  const DeviceInfo info = device_info(device_);
  return "cuda:" + std::to_string(device_) + " (" + info.name + ", sm_" +
         (kernels::arch() >= 90 ? "90a" : "80") + " kernels)";
}

void CudaBackend::copy_to_device(void* dst, const void* src, size_t bytes) {
  upload(dst, src, bytes);
}

void CudaBackend::copy_to_host(void* dst, const void* src, size_t bytes) {
  if (bytes > 0) {
    check(cudaMemcpyAsync(dst, src, bytes, cudaMemcpyDeviceToHost, stream()), "cudaMemcpyAsync");
  }
  stream_.synchronize();
}

std::unique_ptr<Weight> CudaBackend::pack_stacked(std::span<const HostMatrix> parts,
                                                  const ops::PackSpec& spec) {
  return packer_.pack(parts, spec);
}

std::unique_ptr<Weight> CudaBackend::pack_quantized(std::span<const QuantizedHostMatrix> parts,
                                                    const ops::PackSpec& spec) {
  return packer_.pack(parts, spec);
}

std::unique_ptr<Weight> CudaBackend::pack_generated(std::span<const GeneratedMatrix> parts,
                                                    const ops::PackSpec& spec) {
  return packer_.pack(parts, spec);
}

std::unique_ptr<ExpertSet> CudaBackend::make_experts(ExpertWeights weights) {
  return packer_.make_experts(std::move(weights));
}

}  // namespace ernie::cuda
