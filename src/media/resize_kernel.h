#pragma once

#include <cstddef>
#include <cstdint>

// The inner loop of resize_bicubic; not for use outside this folder.
namespace ernie::media {

// Pillow's fixed point: 32 bits less 8 for the pixel and 2 for overshoot and sign.
constexpr int kPrecisionBits = 32 - 8 - 2;

// Bytes that one call computes side by side with the same weights.
constexpr int kLanes = 48;

// What one output position of an axis reads: `count` inputs from `first` on.
struct Window {
  int first = 0;
  int count = 0;
  const int32_t* weights = nullptr;  // [count], scaled by 2^kPrecisionBits
};

// out[lane] = clamp(round(sum over t of weights[t] * in[t * stride + lane])) for kLanes lanes;
// `window.first` is not used.
using Weigh = void (*)(const Window& window, const uint8_t* in, size_t stride, uint8_t* out);

void weigh_plain(const Window& window, const uint8_t* in, size_t stride, uint8_t* out);
void weigh_avx2(const Window& window, const uint8_t* in, size_t stride, uint8_t* out);

// The fastest of them that this machine can run.
Weigh best_weigh();

}  // namespace ernie::media
