#pragma once

#include <cstdint>

#include "tensor/bf16.h"
#include "tensor/kv_type.h"

// The arithmetic of a quantised cache, once for all that runs on the host; kernels/ has the same
// for GPUs. A head of a token is quantised once, when it is written:
//   scale = absmax / limit, rounded to bfloat16; limit 127 (int8) or 448 (e4m3)
//   cell = element / scale in float32, clamped to the limits, rounded to the nearest, ties to even
// Zeros get scale 0 and cells 0. Where an element is not finite, the scale is not either and the
// cells are 0, so that the fault stays visible in every result. What a cell stands for is
// cell * scale in float32, rounded to the type of the activations.
namespace ernie {

// Largest magnitude of a cell.
constexpr float kv_limit(KvType type) { return type == KvType::kInt8 ? 127.0f : 448.0f; }

// Quantises n elements, float or BF16; returns their scale.
template <typename In>
BF16 quantize_kv(const In* in, int64_t n, KvType type, uint8_t* cells);
extern template BF16 quantize_kv(const float*, int64_t, KvType, uint8_t*);
extern template BF16 quantize_kv(const BF16*, int64_t, KvType, uint8_t*);

// The number in a cell, without its scale.
float kv_cell(uint8_t cell, KvType type);

}  // namespace ernie
