#include <png.h>

#include <csetjmp>
#include <cstring>
#include <utility>

#include "media/codec.h"

namespace ernie::media {
namespace {

// One libpng decompressor. libpng reports an error by a longjmp back into the method that called
// it, so no method may own an object with a destructor while libpng runs.
class PngReader {
 public:
  explicit PngReader(Bytes bytes) : rest_(bytes) {
    png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, on_error, on_warning);
    if (png_ != nullptr) info_ = png_create_info_struct(png_);
  }
  ~PngReader() { png_destroy_read_struct(&png_, &info_, nullptr); }
  PngReader(const PngReader&) = delete;
  PngReader& operator=(const PngReader&) = delete;

  // Reads up to the pixels and asks for 8-bit RGB or RGBA.
  bool start() {
    if (info_ == nullptr || setjmp(jump_)) return false;
    png_set_read_fn(png_, this, on_read);
    // Skip all metadata, so none of it can be inflated or stored.
    png_set_keep_unknown_chunks(png_, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
    // read_png_header and the caller's limits have passed the size; libpng's own limit is lower.
    png_set_user_limits(png_, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_read_info(png_, info_);
    png_set_expand(png_);
    png_set_strip_16(png_);
    png_set_gray_to_rgb(png_);
    png_set_interlace_handling(png_);
    png_read_update_info(png_, info_);
    return true;
  }

  bool read_pixels(png_bytepp rows) {
    if (setjmp(jump_)) return false;
    png_read_image(png_, rows);
    png_read_end(png_, nullptr);
    return true;
  }

  int width() const { return static_cast<int>(png_get_image_width(png_, info_)); }
  int height() const { return static_cast<int>(png_get_image_height(png_, info_)); }
  int channels() const { return png_get_channels(png_, info_); }
  Error error() const { return invalid_image(ImageFormat::kPng, message_); }

 private:
  [[noreturn]] static void on_error(png_structp png, png_const_charp message) {
    auto* self = static_cast<PngReader*>(png_get_error_ptr(png));
    std::strncpy(self->message_, message, sizeof(self->message_) - 1);
    std::longjmp(self->jump_, 1);
  }
  static void on_warning(png_structp, png_const_charp) {}
  static void on_read(png_structp png, png_bytep out, size_t count) {
    auto* self = static_cast<PngReader*>(png_get_io_ptr(png));
    if (count > self->rest_.size()) png_error(png, "the file ends too early");
    std::memcpy(out, self->rest_.data(), count);
    self->rest_ = self->rest_.subspan(count);
  }

  Bytes rest_;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  std::jmp_buf jump_{};
  char message_[128] = "cannot start the decoder";
};

}  // namespace

Result<Image> decode_png(Bytes bytes) {
  PngReader reader(bytes);
  if (!reader.start()) return reader.error();
  Image image{reader.width(), reader.height(), {}};
  const size_t pixels = size_t(image.width) * image.height;
  const size_t row_bytes = size_t(image.width) * reader.channels();
  image.rgb.resize(row_bytes * image.height);
  std::vector<png_bytep> rows(image.height);
  for (int y = 0; y < image.height; ++y) rows[y] = image.rgb.data() + row_bytes * y;
  if (!reader.read_pixels(rows.data())) return reader.error();
  if (reader.channels() == 4) {
    flatten_over_white(image.rgb.data(), pixels, image.rgb.data());
    image.rgb.resize(3 * pixels);
  }
  return image;
}

}  // namespace ernie::media
