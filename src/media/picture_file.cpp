#include "media/picture_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "media/codec.h"
#include "media/video.h"

namespace ernie::media {
namespace {

constexpr size_t kOpenBytes = size_t{16} << 20;  // for the decoder to read a header

bool is_for_decoder(std::span<const uint8_t> file) {
  const auto format = sniff_image(file);
  return format && needs_media_decoder(*format);
}

Result<VideoFile> open_in_decoder(std::span<const uint8_t> file, MediaDecoder& decoder,
                                  const DecodeLimits& limits, const std::atomic<bool>& cancelled) {
  return VideoFile::open(file, decoder, {.frame = limits, .threads = 1, .open_bytes = kOpenBytes},
                         cancelled);
}

}  // namespace

PictureFile::PictureFile(FetchedMedia file, MediaDecoder& decoder, const DecodeLimits& limits)
    : file_(std::move(file)),
      decoder_(&decoder),
      limits_(limits),
      needs_decoder_(is_for_decoder(file_.bytes)) {}

Result<PictureFile> PictureFile::open(FetchedMedia file, MediaDecoder& decoder,
                                      const DecodeLimits& limits, const RequestMemory& memory,
                                      const std::atomic<bool>& cancelled) {
  PictureFile picture(std::move(file), decoder, limits);
  const std::vector<uint8_t>& bytes = picture.file_.bytes;
  if (!picture.needs_decoder_) {
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
  if (!share) return Error{ErrorKind::kUnavailable, "the request was cancelled", {}, "cancelled"};
  const auto still = open_in_decoder(bytes, decoder, limits, cancelled);
  if (!still) return still.error();
  picture.width_ = still->info().width;
  picture.height_ = still->info().height;
  picture.decoding_bytes_ = std::max(opening, still->info().decoding_bytes + bytes.size());
  return picture;
}

Result<Image> PictureFile::decode(const std::atomic<bool>& cancelled) const {
  if (!needs_decoder_) return decode_image(file_.bytes, limits_);
  // Opened once more: a picture that waits for its turn holds no descriptor.
  auto still = open_in_decoder(file_.bytes, *decoder_, limits_, cancelled);
  if (!still) return still.error();
  if (auto s = still->start(std::array<uint32_t, 1>{0}); !s) return s.error();
  return still->next(cancelled);
}

}  // namespace ernie::media
