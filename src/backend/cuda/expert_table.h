#pragma once

#include <vector>

#include "backend/cuda/cuda_backend.h"
#include "kernels/moe/experts.h"

namespace ernie::cuda {

struct CudaBackend::ExpertTable {
  std::vector<const Weight*> weights;  // gate_up, down, then the shared pair: what was uploaded
  Buffer gate_up;                      // const void* [experts (+ 1)]
  Buffer down;
  Buffer maps;  // kernels::MoeWeightMap [experts (+ 1), 2]; empty when they cannot be made
  int text_experts = 0;
  int vision_experts = 0;
  int text_width = 0;
  int vision_width = 0;
  int shared_width = 0;
};

}  // namespace ernie::cuda
