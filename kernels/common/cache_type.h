#pragma once

#include <cstdint>

namespace ernie::kernels {

// What a paged cache keeps of keys and values: elements of the activations' type, or cells of 8
// bits with a bfloat16 scale for each token and head, of keys and of values. An element is cell *
// scale.
enum class CacheType : uint8_t {
  kPlain,
  kInt8,  // -127 to 127
  kE4m3,  // four bits of exponent, three of mantissa, -448 to 448
};

}  // namespace ernie::kernels
