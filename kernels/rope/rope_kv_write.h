#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/common/cache_type.h"
#include "kernels/common/element_type.h"

// Three-axis rotary embedding of q and k on adjacent pairs, and the write of k and v into the paged
// cache, quantised where it is (kernels/quantized/cache_cells.cuh), in one launch. Pair i of a head
// turns by float32(position[axis[i]] * inv_freq[i]), the product and the sine and cosine rounded to
// float32 as on the CPU.
namespace ernie::kernels {

// Positions, slots and tables are read before the kernel that was launched just before this one has
// ended.
struct RopeKvWriteParams {
  ElementType type = ElementType::kBF16;  // T
  // [tokens, (q_heads + 2 kv_heads) * head_dim] T: q heads, k heads, v heads. q and k are rotated
  // in place.
  void* qkv = nullptr;
  const int32_t* positions = nullptr;  // [tokens, 3] (t, h, w)
  // [tokens]: block * block_size + offset. A negative slot marks a row that pads a captured graph:
  // nothing is written to the cache for it.
  const int32_t* slots = nullptr;
  const float* inv_freq = nullptr;  // [head_dim / 2]
  const uint8_t* axis = nullptr;    // [head_dim / 2], 0 to 2
  CacheType cache = CacheType::kPlain;
  void* keys = nullptr;  // [num_blocks, kv_heads, block_size, head_dim] T or cells
  void* values = nullptr;
  void* scales = nullptr;  // of cells: [num_blocks, kv_heads, block_size, 2] bfloat16, of the key
                           // and of the value
  int tokens = 0;
  int q_heads = 0;
  int kv_heads = 0;
  int head_dim = 0;  // a multiple of 8, at most 256
  int block_size = 0;
};

// cudaErrorInvalidValue for a shape outside the comments above or an unaligned pointer.
cudaError_t launch_rope_kv_write(const RopeKvWriteParams& params, cudaStream_t stream);

}  // namespace ernie::kernels
