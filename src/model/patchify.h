#pragma once

#include <span>

#include "media/image.h"
#include "model/prompt.h"

namespace ernie::model {

// Cuts the frames of one unit, one or two of equal size, into patches in the order that PatchGrid
// states. Width and height are multiples of 2 * patch_size.
PatchGrid patchify(std::span<const media::Image* const> frames, int patch_size);

// Content hash of a unit: pixels, geometry and its place within its video.
ContentKey hash_unit(const PatchGrid& grid, int unit_index);

}  // namespace ernie::model
