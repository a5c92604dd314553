#include "model/patchify.h"

#include "base/check.h"

namespace ernie::model {
namespace {

// Appends the patch whose upper left pixel is (top, left): all red, then green, then blue values.
void append_patch(const media::Image& image, int top, int left, int patch, uint8_t*& out) {
  for (int channel = 0; channel < 3; ++channel) {
    for (int y = 0; y < patch; ++y) {
      const uint8_t* row =
          image.rgb.data() + (static_cast<size_t>(top + y) * image.width + left) * 3 + channel;
      for (int x = 0; x < patch; ++x) *out++ = row[3 * x];
    }
  }
}

}  // namespace

PatchGrid patchify(std::span<const media::Image* const> frames, int patch_size) {
  const media::Image& first = *frames.front();
  const int window = 2 * patch_size;
  CHECK(first.width % window == 0 && first.height % window == 0, "picture is not resized");
  PatchGrid grid;
  grid.frames = static_cast<int>(frames.size());
  grid.height = first.height / patch_size;
  grid.width = first.width / patch_size;
  grid.pixels.resize(frames.size() * first.rgb.size());
  uint8_t* out = grid.pixels.data();
  for (const media::Image* frame : frames) {
    CHECK(frame->width == first.width && frame->height == first.height, "frames differ in size");
    for (int top = 0; top < first.height; top += window) {
      for (int left = 0; left < first.width; left += window) {
        append_patch(*frame, top, left, patch_size, out);
        append_patch(*frame, top, left + patch_size, patch_size, out);
        append_patch(*frame, top + patch_size, left, patch_size, out);
        append_patch(*frame, top + patch_size, left + patch_size, patch_size, out);
      }
    }
  }
  return grid;
}

ContentKey hash_unit(const PatchGrid& grid, int unit_index) {
  const int32_t geometry[] = {grid.frames, grid.height, grid.width, unit_index};
  return content_key(content_key(geometry, sizeof(geometry)), grid.pixels.data(),
                     grid.pixels.size());
}

}  // namespace ernie::model
