#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/check.h"
#include "tensor/dtype.h"

namespace ernie {

// How keys and values are kept in the cache: in the type of the activations, or as numbers of 8
// bits with a bfloat16 scale for each token and head, one of the key and one of the value.
enum class KvType : uint8_t {
  kF32,
  kBF16,
  kInt8,  // -127 to 127
  kFp8,   // e4m3: four bits of exponent, three of mantissa, -448 to 448, without infinities
};

constexpr bool is_quantized(KvType t) { return t == KvType::kInt8 || t == KvType::kFp8; }

// The type of the elements of keys and values; bytes where they are quantised.
constexpr DType element_dtype(KvType t) {
  return is_quantized(t) ? DType::kU8 : t == KvType::kF32 ? DType::kF32 : DType::kBF16;
}

constexpr const char* kv_type_name(KvType t) {
  switch (t) {
    case KvType::kF32:
      return "float32";
    case KvType::kBF16:
      return "bfloat16";
    case KvType::kInt8:
      return "int8";
    case KvType::kFp8:
      return "fp8";
  }
  return "?";
}

// A cache that keeps activations as they are.
inline KvType kv_type_of(DType activation) {
  CHECK(activation == DType::kF32 || activation == DType::kBF16,
        std::string("keys and values are float32 or bfloat16, not ") + dtype_name(activation));
  return activation == DType::kF32 ? KvType::kF32 : KvType::kBF16;
}

}  // namespace ernie
