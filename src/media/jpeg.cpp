#include <fmt/format.h>

#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <utility>
// jpeglib.h needs <cstdio> first.
#include <jpeglib.h>
// jerror.h needs jpeglib.h first.
#include <jerror.h>

#include "media/codec.h"
#include "media/exif.h"

namespace ernie::media {
namespace {

// A progressive file may repeat scans over the whole picture; real ones have about ten.
constexpr int kMaxScans = 100;
constexpr int kExifMarker = JPEG_APP0 + 1;

// One libjpeg decompressor. libjpeg reports an error by a longjmp back into the method that called
// it, so no method may own an object with a destructor while libjpeg runs.
class JpegReader {
 public:
  explicit JpegReader(Bytes bytes) {
    info_.err = jpeg_std_error(&errors_);
    errors_.error_exit = on_error;
    errors_.emit_message = on_message;
    info_.client_data = this;
    progress_.progress_monitor = on_progress;
    if (setjmp(jump_)) return;
    jpeg_create_decompress(&info_);
    info_.progress = &progress_;
    jpeg_mem_src(&info_, bytes.data(), bytes.size());
    jpeg_save_markers(&info_, kExifMarker, 0xFFFF);
    created_ = true;
  }
  ~JpegReader() { jpeg_destroy_decompress(&info_); }
  JpegReader(const JpegReader&) = delete;
  JpegReader& operator=(const JpegReader&) = delete;

  bool read_header() {
    if (!created_ || setjmp(jump_)) return false;
    jpeg_read_header(&info_, TRUE);
    keeps_coefficients_ = info_.progressive_mode || jpeg_has_multiple_scans(&info_);
    return true;
  }

  // Starts decoding into grey, RGB or CMYK rows of channels() bytes a pixel.
  bool start() {
    if (setjmp(jump_)) return false;
    info_.out_color_space = info_.num_components == 1   ? JCS_GRAYSCALE
                            : info_.num_components == 3 ? JCS_RGB
                                                        : JCS_CMYK;
    jpeg_start_decompress(&info_);
    return true;
  }

  bool read_row(uint8_t* row) {
    if (setjmp(jump_)) return false;
    jpeg_read_scanlines(&info_, &row, 1);
    return true;
  }

  // Reads on to the end marker. As Pillow, it may be missing: all rows are there.
  bool finish() {
    if (setjmp(jump_)) return false;
    needs_data_ = false;
    jpeg_finish_decompress(&info_);
    return true;
  }

  int width() const { return static_cast<int>(info_.image_width); }
  int height() const { return static_cast<int>(info_.image_height); }
  int channels() const { return info_.num_components; }
  // Of files of several scans libjpeg holds the whole picture's coefficients, two bytes each.
  bool keeps_coefficients() const { return keeps_coefficients_; }

  int orientation() const {
    for (auto marker = info_.marker_list; marker != nullptr; marker = marker->next) {
      const Bytes data(marker->data, marker->data_length);
      if (data.size() > 6 && std::memcmp(data.data(), "Exif\0\0", 6) == 0) {
        return exif_orientation(data);
      }
    }
    return 1;
  }

  Error error() const {
    if (errors_.msg_code == JERR_IMAGE_TOO_BIG) {
      return image_too_large(
          fmt::format("{}x{} pixels, a JPEG has at most 65500 a side", width(), height()));
    }
    return invalid_image(ImageFormat::kJpeg, message_);
  }

 private:
  static void on_error(j_common_ptr info) {
    auto* self = static_cast<JpegReader*>(info->client_data);
    info->err->format_message(info, self->message_);
    std::longjmp(self->jump_, 1);
  }
  // Warnings pass in silence as in Pillow, except that the data have ended too early.
  static void on_message(j_common_ptr info, int level) {
    const bool needs_data = static_cast<JpegReader*>(info->client_data)->needs_data_;
    if (level < 0 && info->err->msg_code == JWRN_JPEG_EOF && needs_data) on_error(info);
  }
  static void on_progress(j_common_ptr info) {
    auto* self = static_cast<JpegReader*>(info->client_data);
    if (self->info_.input_scan_number <= kMaxScans) return;
    std::snprintf(self->message_, sizeof(self->message_), "over %d scans", kMaxScans);
    std::longjmp(self->jump_, 1);
  }

  jpeg_decompress_struct info_{};
  jpeg_error_mgr errors_{};
  jpeg_progress_mgr progress_{};
  std::jmp_buf jump_{};
  char message_[JMSG_LENGTH_MAX] = "cannot start the decoder";
  bool created_ = false;
  bool keeps_coefficients_ = false;
  bool needs_data_ = true;
};

void grey_to_rgb(const uint8_t* grey, int width, uint8_t* rgb) {
  for (int x = 0; x < width; ++x, rgb += 3) rgb[0] = rgb[1] = rgb[2] = grey[x];
}

// Adobe stores CMYK inverted (255 = no ink). Pillow inverts every CMYK JPEG.
void inverted_cmyk_to_rgb(const uint8_t* cmyk, int width, uint8_t* rgb) {
  for (int x = 0; x < width; ++x, cmyk += 4, rgb += 3) {
    const unsigned light = cmyk[3];
    for (int c = 0; c < 3; ++c) rgb[c] = under_ink(255u - cmyk[c], light);
  }
}

}  // namespace

Result<StoredSize> read_jpeg_header(Bytes bytes) {
  JpegReader reader(bytes);
  if (!reader.read_header()) return reader.error();
  const int channels = reader.channels();
  if (channels != 1 && channels != 3 && channels != 4) {
    return invalid_image(ImageFormat::kJpeg,
                         fmt::format("{} components; expected 1, 3 or 4", channels));
  }
  return StoredSize{reader.width(), reader.height(), reader.orientation(),
                    3 + (reader.keeps_coefficients() ? 2 * channels : 0)};
}

Result<Image> decode_jpeg(Bytes bytes) {
  JpegReader reader(bytes);
  if (!reader.read_header() || !reader.start()) return reader.error();
  const int width = reader.width();
  const int channels = reader.channels();
  Image image{width, reader.height(), {}};
  image.rgb.resize(size_t{3} * width * image.height);
  std::vector<uint8_t> row(channels == 3 ? 0 : size_t(width) * channels);
  for (int y = 0; y < image.height; ++y) {
    uint8_t* out = image.rgb.data() + size_t{3} * width * y;
    if (!reader.read_row(channels == 3 ? out : row.data())) return reader.error();
    if (channels == 1) grey_to_rgb(row.data(), width, out);
    if (channels == 4) inverted_cmyk_to_rgb(row.data(), width, out);
  }
  if (!reader.finish()) return reader.error();
  return image;
}

}  // namespace ernie::media
