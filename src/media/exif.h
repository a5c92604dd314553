#pragma once

#include "media/codec.h"

namespace ernie::media {

// The orientation tag (0x0112) of the first directory of an EXIF block, which may begin with
// "Exif\0\0" or with its TIFF header; 1 when absent, malformed or outside 1 to 8.
int exif_orientation(Bytes exif);

// Turns and mirrors a stored picture upright (orientation 1 to 8 as in EXIF 2.3, tag Orientation).
Image apply_orientation(Image image, int orientation);

}  // namespace ernie::media
