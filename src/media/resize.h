#pragma once

#include "media/image.h"

namespace ernie::media {

// Resizes to width x height pixels (both >= 1) exactly as Pillow <= 12 does in
// Image.resize(BICUBIC) on RGB8: a = -0.5, the filter widened by the scale when shrinking, 22-bit
// fixed-point weights, always the horizontal pass first, rounded to uint8, then the vertical one.
// The same size gives a copy.
Image resize_bicubic(const Image& image, int width, int height);

}  // namespace ernie::media
