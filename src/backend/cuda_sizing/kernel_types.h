#pragma once

#include "kernels/common/cache_type.h"
#include "kernels/common/element_type.h"
#include "kernels/common/weight_format.h"
#include "kernels/quantized/quantized_layout.h"
#include "ops/sizing.h"

// The kernels' names of what operators are given.
namespace ernie::cuda {

// Of an activation type; a CHECK failure for other types.
kernels::ElementType element_type(DType dtype);
kernels::CacheType cache_type(KvType type);
kernels::WeightFormat kernel_format(WeightFormat format);
kernels::RowOrder row_order(const ops::PackSpec& spec);

}  // namespace ernie::cuda
