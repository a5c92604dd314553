#include "backend/cuda_ceilings.h"
#include "backend/cuda_factory.h"
#include "base/result.h"

namespace ernie::cuda {
namespace {

constexpr const char* kReason =
    "this program was built without CUDA; configure with -DERNIE_CUDA=ON, or use --device cpu";

}  // namespace

DeviceCount count_devices() { return {0, kReason}; }

DeviceInfo device_info(int) { throw StartError(kReason); }

std::unique_ptr<ops::Backend> make_cuda_backend(int) { throw StartError(kReason); }

CudaRanks make_cuda_ranks(std::vector<int>) { throw StartError(kReason); }

Ceilings measure_ceilings(int) { throw StartError(kReason); }

}  // namespace ernie::cuda
