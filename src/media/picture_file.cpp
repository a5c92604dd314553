#include "media/picture_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "media/codec.h"

namespace ernie::media {
namespace {

constexpr size_t kOpenBytes = size_t{16} << 20;  // for the decoder to read a header

bool is_for_decoder(std::span<const uint8_t> file) {
  const auto format = sniff_image(file);
  return format && needs_media_decoder(*format);
}

}  // namespace

Result<PictureFile> PictureFile::open(FetchedMedia file, MediaDecoder& decoder,
                                      const DecodeLimits& limits, const RequestMemory& memory,
                                      const std::atomic<bool>& cancelled) {
  PictureFile picture(std::move(file), limits);
  const std::vector<uint8_t>& bytes = picture.file_.bytes;
  if (!is_for_decoder(bytes)) {
    const auto info = probe_image(bytes, limits);
    if (!info) return info.error();
    picture.width_ = info->width;
    picture.height_ = info->height;
    picture.decoding_bytes_ = info->decoding_bytes;
    return picture;
  }
  if (bytes.size() > limits.max_bytes) return file_too_large(bytes.size(), limits);
  const size_t opening = kOpenBytes + bytes.size();
  if (opening > memory.decoding->limit()) {
    return image_too_large(fmt::format("opening its file takes {} bytes of memory, the limit is {}",
                                       opening, memory.decoding->limit()));
  }
  const auto share = memory.decoding->wait(opening, cancelled);
  if (!share) return request_cancelled();
  auto still = VideoFile::open(
      bytes, decoder, {.frame = limits, .threads = 1, .open_bytes = kOpenBytes}, cancelled);
  if (!still) return still.error();
  picture.width_ = still->info().width;
  picture.height_ = still->info().height;
  picture.decoding_bytes_ = still->info().decoding_bytes;
  picture.still_ = std::move(*still);
  return picture;
}

Result<Image> PictureFile::decode(const std::atomic<bool>& cancelled) {
  if (!still_) return decode_image(file_.bytes, limits_);
  if (auto status = still_->start(std::array<uint32_t, 1>{0}, cancelled); !status)
    return status.error();
  return still_->next(cancelled);
}

}  // namespace ernie::media
