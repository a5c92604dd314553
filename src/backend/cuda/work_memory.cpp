#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/device_graph.h"
#include "backend/cuda_sizing/cuda_sizing.h"
#include "backend/cuda_sizing/work_sizes.h"
#include "kernels/common/arch.h"

namespace ernie::cuda {
namespace {

constexpr size_t kMostSegments = 3;  // bounds of a media unit's frames

}  // namespace

const ops::Sizing& CudaBackend::sizing() const { return cuda_sizing(kernels::arch()); }

void CudaBackend::reserve_work(const ops::WorkShape& shape) {
  packer_.finish();  // first: no plan counts its memory
  const WorkSizes sizes(shape);
  attention_.get(sizes.attention);
  router_logits_.get(sizes.router_logits);
  router_arrivals_.get(sizes.router_arrivals);
  scratch_.get(sizes.scratch);
  segments_.get(kMostSegments * sizeof(int32_t));
  reserve_draws(shape);
  frozen_ = true;
}

std::unique_ptr<ops::Graph> CudaBackend::capture(const std::function<void()>& issue) {
  return std::make_unique<DeviceGraph>(stream(), issue);
}

}  // namespace ernie::cuda
