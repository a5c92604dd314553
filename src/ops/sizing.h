#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "ops/params.h"
#include "ops/sampling.h"
#include "ops/weight.h"
#include "tensor/dtype.h"

namespace ernie::ops {

// What a matrix is for, where that decides how it is laid out.
enum class MatrixUse : uint8_t {
  kLinear,
  kExpertGateUp,  // gate rows over as many up rows, for make_experts() only
};

// How a matrix is packed.
struct PackSpec {
  WeightFormat format;
  MatrixUse use = MatrixUse::kLinear;
  // The sum over in_features is taken in this many equal parts that are then added in order, as
  // that many tensor-parallel ranks would, so that results do not depend on the number of ranks.
  // A backend may take it in one.
  int sum_parts = 1;
};

// The largest step that a backend will be asked for.
struct WorkShape {
  int max_tokens = 0;
  int max_seqs = 0;
  int max_context = 0;  // keys of one sequence, a multiple of the block size
  KvLayout kv;
  int vocab = 0;
  int hidden = 0;
  int q_heads = 0;  // of this rank, as the widths below
  int top_k = 0;    // 0: no experts
  std::vector<ExpertGroupShape> expert_groups;
  int64_t shared_width = 0;
  DType activation = DType::kBF16;
};

// What a kind of backend takes and can do, known without a device.
class Sizing {
 public:
  virtual ~Sizing() = default;
  // Of a packed matrix.
  virtual size_t packed_bytes(int64_t out_features, int64_t in_features,
                              const PackSpec& spec) const = 0;
  // Of the memory that operators work in. 0 where it does not count.
  virtual size_t work_bytes(const WorkShape& shape) const = 0;
  virtual SamplerLimits sampler_limits() const = 0;
};

}  // namespace ernie::ops
