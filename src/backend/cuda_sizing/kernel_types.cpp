#include "backend/cuda_sizing/kernel_types.h"

#include <string>

#include "base/check.h"

namespace ernie::cuda {

kernels::ElementType element_type(DType dtype) {
  CHECK(dtype == DType::kF32 || dtype == DType::kBF16,
        std::string("activations are float32 or bfloat16, not ") + dtype_name(dtype));
  return dtype == DType::kF32 ? kernels::ElementType::kF32 : kernels::ElementType::kBF16;
}

kernels::CacheType cache_type(KvType type) {
  return type == KvType::kInt8  ? kernels::CacheType::kInt8
         : type == KvType::kFp8 ? kernels::CacheType::kE4m3
                                : kernels::CacheType::kPlain;
}

kernels::WeightFormat kernel_format(WeightFormat format) {
  if (!format.is_quantized()) return {};
  return {
      format.type == WeightType::kInt4 ? kernels::WeightType::kInt4 : kernels::WeightType::kInt8,
      format.group};
}

kernels::RowOrder row_order(const ops::PackSpec& spec) {
  return spec.use == ops::MatrixUse::kExpertGateUp ? kernels::RowOrder::kGateUp
                                                   : kernels::RowOrder::kPlain;
}

}  // namespace ernie::cuda
