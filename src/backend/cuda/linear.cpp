#include "kernels/linear/linear.h"

#include <string>

#include "backend/cuda/cuda_backend.h"
#include "base/check.h"

namespace ernie::cuda {
namespace {

kernels::Activation activation_of(ops::Activation activation) {
  switch (activation) {
    case ops::Activation::kQuickGelu:
      return kernels::Activation::kQuickGelu;
    case ops::Activation::kGeluErf:
      return kernels::Activation::kGeluErf;
    case ops::Activation::kNone:
      break;
  }
  return kernels::Activation::kNone;
}

}  // namespace

void CudaBackend::do_linear(const ops::LinearArgs& a) {
  const DeviceWeight& w = device_weight(*a.weight);
  const int64_t k = w.in_features();
  const int64_t n = w.out_features();
  const kernels::LinearStatus status = linear_->run({.x = a.x.data,
                                                     .weight = w.data(),
                                                     .format = kernel_format(w.format()),
                                                     .scales = w.scales(),
                                                     .bias = a.bias.data,
                                                     .out = a.out.data,
                                                     .rows = a.x.rows(),
                                                     .in_features = k,
                                                     .out_features = n,
                                                     .activation = activation_of(a.activation),
                                                     .type = element_type(a.x.dtype),
                                                     .out_type = element_type(a.out.dtype)},
                                                    stream());
  check(status.cuda, "launch of linear");
  if (status.library != nullptr) {
    throw_fault("cublasLtMatmul", status.library);
  }
}

}  // namespace ernie::cuda
