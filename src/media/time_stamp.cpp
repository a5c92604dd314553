#include "media/time_stamp.h"

#include <fmt/format.h>
#include <freetype/freetype.h>
#include <freetype/ftadvanc.h>
#include <freetype/ftglyph.h>
#include <freetype/ftstroke.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <memory>
#include <string>

#include "base/check.h"
#include "media/over_white.h"

// The font's file, which the assembler copies into the program.
asm(R"(
.pushsection .rodata
ernie_roboto: .incbin ")" ERNIE_ROBOTO R"("
ernie_roboto_end:
.popsection
)");
extern "C" const FT_Byte ernie_roboto[];
extern "C" const FT_Byte ernie_roboto_end[];

namespace ernie::media {
namespace {

constexpr std::string_view kCharacters = "time: 0123456789.";

struct Release {
  void operator()(FT_Library library) const { FT_Done_FreeType(library); }
  void operator()(FT_Face face) const { FT_Done_Face(face); }
  void operator()(FT_Stroker stroker) const { FT_Stroker_Done(stroker); }
  void operator()(FT_Glyph glyph) const { FT_Done_Glyph(glyph); }
};
using Library = std::unique_ptr<FT_LibraryRec_, Release>;
using Face = std::unique_ptr<FT_FaceRec_, Release>;
using Stroker = std::unique_ptr<FT_StrokerRec_, Release>;
using GlyphImage = std::unique_ptr<FT_GlyphRec_, Release>;

void expect_ok(FT_Error error) { CHECK(error == 0, fmt::format("FreeType's error {}", error)); }

int whole_pixels(FT_Pos position) { return static_cast<int>((position + 32) >> 6); }

// The processor takes hours and minutes off one by one, which is exact and so the same as fmod.
std::string time_text(double seconds) {
  const double in_hour = std::fmod(seconds, 3600);
  const double in_minute = std::fmod(in_hour, 60);
  return fmt::format("time: {:02.0f}:{:02.0f}:{:05.2f}", (seconds - in_hour) / 3600,
                     (in_hour - in_minute) / 60, in_minute);
}

}  // namespace

TimeStamper::TimeStamper(int width, int height) {
  const int font_size = std::min(width, height) / 10;
  if (font_size == 0) return;
  const int outline = font_size / 10;

  FT_Library new_library = nullptr;
  expect_ok(FT_Init_FreeType(&new_library));
  const Library library(new_library);
  FT_Face new_face = nullptr;
  expect_ok(FT_New_Memory_Face(library.get(), ernie_roboto, ernie_roboto_end - ernie_roboto, 0,
                               &new_face));
  const Face face(new_face);
  expect_ok(FT_Set_Pixel_Sizes(face.get(), font_size, font_size));
  FT_Stroker new_stroker = nullptr;
  expect_ok(FT_Stroker_New(library.get(), &new_stroker));
  const Stroker stroker(new_stroker);
  FT_Stroker_Set(stroker.get(), outline * 64, FT_STROKER_LINECAP_ROUND, FT_STROKER_LINEJOIN_ROUND,
                 0);
  const int baseline = whole_pixels(face->size->metrics.ascender);

  const auto render = [&](bool outlined) {
    FT_Glyph glyph = nullptr;
    expect_ok(FT_Get_Glyph(face->glyph, &glyph));
    if (outlined) expect_ok(FT_Glyph_StrokeBorder(&glyph, stroker.get(), false, true));
    expect_ok(FT_Glyph_To_Bitmap(&glyph, FT_RENDER_MODE_NORMAL, nullptr, true));
    const GlyphImage owner(glyph);
    const auto* image = reinterpret_cast<FT_BitmapGlyph>(glyph);
    const FT_Bitmap& bitmap = image->bitmap;
    Cover cover = {image->left,
                   baseline - image->top,
                   static_cast<int>(bitmap.width),
                   static_cast<int>(bitmap.rows),
                   {}};
    for (int y = 0; y < cover.height; ++y) {
      const uint8_t* row = bitmap.buffer + ptrdiff_t{y} * bitmap.pitch;
      cover.bytes.insert(cover.bytes.end(), row, row + cover.width);
    }
    return cover;
  };
  for (const char code : kCharacters) {
    expect_ok(FT_Load_Char(face.get(), code, FT_LOAD_DEFAULT));
    Character& character = characters_[code];
    FT_Fixed advance = 0;  // 1/65536 pixel
    expect_ok(FT_Get_Advance(face.get(), face->glyph->glyph_index, FT_LOAD_NO_HINTING, &advance));
    character.advance = static_cast<int>((advance + 512) >> 10);
    character.plain = render(false);
    if (outline > 0) character.outlined = render(true);
  }
}

void TimeStamper::draw(Image& frame, double seconds) const {
  CHECK(std::isfinite(seconds) && seconds >= 0, fmt::format("a frame's time is {} s", seconds));
  if (characters_.empty()) return;
  const std::string text = time_text(seconds);
  draw_layer(text, &Character::outlined, 255, frame);
  draw_layer(text, &Character::plain, 0, frame);
}

// Characters overlap, so their covers are joined first and the frame is blended with the result.
void TimeStamper::draw_layer(std::string_view text, Cover Character::*layer, uint8_t grey,
                             Image& frame) const {
  int bottom = 0;
  for (const auto& [code, character] : characters_) {
    bottom = std::max(bottom, (character.*layer).top + (character.*layer).height);
  }
  bottom = std::min(bottom, frame.height);
  int right = 0;
  std::vector<uint8_t> joined(static_cast<size_t>(frame.width) * bottom);
  FT_Pos pen = 0;
  for (const char code : text) {
    const Character& character = characters_.at(code);
    const Cover& cover = character.*layer;
    const int left = whole_pixels(pen) + cover.left;
    const int end = std::min(left + cover.width, frame.width);
    for (int y = std::max(cover.top, 0); y < std::min(cover.top + cover.height, bottom); ++y) {
      for (int x = std::max(left, 0); x < end; ++x) {
        const uint8_t over = cover.bytes[(y - cover.top) * cover.width + x - left];
        uint8_t& under = joined[static_cast<size_t>(y) * frame.width + x];
        under = over + divided_by_255(under * (255 - over));
      }
    }
    right = std::max(right, end);
    pen += character.advance;
  }
  for (int y = 0; y < bottom; ++y) {
    const size_t row = static_cast<size_t>(y) * frame.width;
    for (size_t pixel = row; pixel < row + right; ++pixel) {
      const uint8_t cover = joined[pixel];
      if (cover == 0) continue;
      for (size_t i = 3 * pixel; i < 3 * pixel + 3; ++i) {
        frame.rgb[i] = divided_by_255(frame.rgb[i] * (255 - cover) + grey * cover);
      }
    }
  }
}

}  // namespace ernie::media
