#pragma once

#include "media/codec.h"

namespace ernie::media {

// What libwebp allocates for the Huffman tables of a frame: 12 to 20 KB for each group of codes, of
// which a lossless picture may have one for each 4x4 pixels and 65,536 in all. `chunks`: the chunks
// of one frame in a WebP file. Follows the WebP lossless bitstream specification up to the entropy
// image, whose values name the groups.
size_t webp_frame_table_bytes(Bytes chunks, int width, int height);

}  // namespace ernie::media
