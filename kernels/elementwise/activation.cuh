#pragma once

#include "kernels/elementwise/elementwise.h"

namespace ernie::kernels {

// The exponential is the accurate one: its fast form loses digits for large arguments, and these
// operators wait for memory anyway.
__device__ __forceinline__ float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

__device__ __forceinline__ float silu(float x) { return x / (1.0f + expf(-x)); }

__device__ __forceinline__ float activate(Activation activation, float x) {
  switch (activation) {
    case Activation::kQuickGelu:
      return x / (1.0f + expf(-1.702f * x));
    case Activation::kGeluErf:
      return 0.5f * x * erfcf(-x * 0.70710678118654752f);
    case Activation::kNone:
      break;
  }
  return x;
}

}  // namespace ernie::kernels
