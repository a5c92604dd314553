#pragma once

#include <cstdint>
#include <map>
#include <string_view>
#include <vector>

#include "media/image.h"

namespace ernie::media {

// Draws times onto the frames of one video as the processor of ERNIE-4.5-VL does before it resizes
// them: "time: HH:MM:SS.ss" at the top left, black with a white outline, in Roboto Regular. The
// font's size is a tenth of the shorter side of the video's first frame, the outline a tenth of
// that, both rounded down.
//
// Pixels equal those of Pillow's ImageDraw.text with Layout.RAQM and FreeType up to 2.13, which is
// in Pillow up to 11. Later ones differ in fonts of 3 to 8 pixels, by four pixels at most: the dot
// of the i is one row higher. Layout.BASIC, which Pillow takes only where it finds no libfribidi,
// differs in every size: it spaces characters by hinted advances, so that some stand several pixels
// further left or right.
class TimeStamper {
 public:
  // Of the video's first frame, in pixels. Takes about a millisecond. Keeps about 15 bytes for each
  // square pixel of the font's size. If the shorter side is under 10 pixels, for which Pillow fails
  // as the font's size is 0, nothing is ever drawn.
  TimeStamper(int width, int height);

  // `seconds`: finite, >= 0. They are rounded after hours and minutes are taken off, so that a text
  // may end in "60.00". Text that does not fit is cut at the frame's edge. Safe to call from any
  // number of threads at once.
  void draw(Image& frame, double seconds) const;

 private:
  // How much of each pixel is inside a shape, 0 to 255.
  struct Cover {
    int left = 0;                // pixels from the pen
    int top = 0;                 // pixels from the frame's upper edge
    int width = 0;               // pixels
    int height = 0;              // pixels
    std::vector<uint8_t> bytes;  // [height, width]
  };
  struct Character {
    Cover plain;
    Cover outlined;   // empty where the outline has no width
    int advance = 0;  // of the pen, 1/64 pixel
  };

  void draw_layer(std::string_view text, Cover Character::*layer, uint8_t grey, Image& frame) const;

  std::map<char, Character> characters_;
};

}  // namespace ernie::media
