#include "backend/cuda_sizing/cuda_sizing.h"

#include "backend/cuda_sizing/weight_sizes.h"
#include "backend/cuda_sizing/work_sizes.h"

namespace ernie::cuda {
namespace {

class CudaSizing final : public ops::Sizing {
 public:
  explicit CudaSizing(int arch) : arch_(arch) {}

  size_t packed_bytes(int64_t out_features, int64_t in_features,
                      const ops::PackSpec& spec) const override {
    return cuda::packed_bytes(out_features, in_features, spec);
  }
  size_t work_bytes(const ops::WorkShape& shape) const override {
    const WorkSizes work(shape);
    const DrawSizes draw(shape, arch_);
    return work.attention + work.router_logits + work.router_arrivals + work.scratch + draw.rows +
           draw.results + draw.lists + draw.workspace;
  }
  ops::SamplerLimits sampler_limits() const override { return kSamplerLimits; }

 private:
  const int arch_;
};

}  // namespace

const ops::Sizing& cuda_sizing(int arch) {
  static const CudaSizing ampere(80);
  static const CudaSizing hopper(90);
  return arch >= 90 ? hopper : ampere;
}

}  // namespace ernie::cuda
