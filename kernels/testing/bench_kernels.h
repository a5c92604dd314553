#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace ernie::kernels::bench {

// Reads `bytes`, a multiple of 16, and writes next to nothing.
cudaError_t launch_read(const void* data, size_t bytes, uint32_t* sink, cudaStream_t stream);
// Fills with uniform numbers in [-scale, scale).
cudaError_t launch_fill(void* data, size_t count, bool bf16, float scale, cudaStream_t stream);

}  // namespace ernie::kernels::bench
