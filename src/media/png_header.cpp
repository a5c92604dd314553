#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstring>
#include <optional>

#include "media/codec.h"
#include "media/exif.h"

// Reads what is needed from a PNG's chunks without libpng: the size and the orientation. Compressed
// metadata (iCCP, zTXt, iTXt) is never used; it is inflated here only far enough to refuse bombs.
namespace ernie::media {
namespace {

constexpr size_t kSignatureBytes = 8;
constexpr size_t kChunkOverhead = 12;  // length, type, CRC
constexpr size_t kHeaderDataBytes = 13;
constexpr size_t kMaxInflatedMetadata = 16 * 1024 * 1024;
constexpr size_t kLeastMetadata = 4096;  // what a chunk counts at least: starting zlib costs too

uint32_t read_be32(const uint8_t* p) {
  return uint32_t{p[0]} << 24 | uint32_t{p[1]} << 16 | uint32_t{p[2]} << 8 | p[3];
}

struct Chunk {
  std::string_view type;
  Bytes data;
};

// The chunk at `offset`, or nothing where the file ends before the chunk does.
std::optional<Chunk> chunk_at(Bytes bytes, size_t offset) {
  if (bytes.size() < offset + kChunkOverhead) return {};
  const size_t length = read_be32(bytes.data() + offset);
  if (length > bytes.size() - offset - kChunkOverhead) return {};
  return Chunk{{reinterpret_cast<const char*>(bytes.data()) + offset + 4, 4},
               bytes.subspan(offset + 8, length)};
}

Bytes after_zero(Bytes data) {
  const auto zero = std::find(data.begin(), data.end(), 0);
  return zero == data.end() ? Bytes() : data.subspan(zero - data.begin() + 1);
}

Bytes without_first(Bytes data, size_t count) { return data.subspan(std::min(count, data.size())); }

// The zlib stream inside a metadata chunk; empty when it has none.
Bytes compressed_part(const Chunk& chunk) {
  if (chunk.type == "iCCP" || chunk.type == "zTXt") {
    return without_first(after_zero(chunk.data), 1);  // name, 0, method
  }
  if (chunk.type == "iTXt") {  // keyword, 0, flag, method, language, 0, translated keyword, 0, text
    const Bytes rest = after_zero(chunk.data);
    if (rest.empty() || rest[0] != 1) return {};
    return after_zero(after_zero(without_first(rest, 2)));
  }
  return {};
}

// How many bytes a zlib stream inflates to, counted up to just past `limit`.
size_t inflated_bytes(Bytes compressed, size_t limit) {
  z_stream stream{};
  if (inflateInit(&stream) != Z_OK) return 0;
  std::array<uint8_t, 32768> scratch;
  stream.next_in = const_cast<uint8_t*>(compressed.data());
  stream.avail_in = static_cast<uInt>(compressed.size());
  size_t total = 0;
  int status = Z_OK;
  while (status == Z_OK && total <= limit) {
    stream.next_out = scratch.data();
    stream.avail_out = scratch.size();
    status = inflate(&stream, Z_NO_FLUSH);
    total += scratch.size() - stream.avail_out;
  }
  inflateEnd(&stream);
  return total;
}

}  // namespace

Result<StoredSize> read_png_header(Bytes bytes) {
  size_t offset = kSignatureBytes;
  std::optional<Chunk> chunk = chunk_at(bytes, offset);
  if (!chunk || chunk->type != "IHDR" || chunk->data.size() != kHeaderDataBytes) {
    return invalid_image(ImageFormat::kPng, "no IHDR chunk at its start");
  }
  const uint8_t* data = chunk->data.data();
  if (crc32(0, data - 4, kHeaderDataBytes + 4) != read_be32(data + kHeaderDataBytes)) {
    return invalid_image(ImageFormat::kPng, "wrong CRC of the IHDR chunk");
  }
  const uint32_t width = read_be32(data);
  const uint32_t height = read_be32(data + 4);
  if (width == 0 || height == 0 || width > INT_MAX || height > INT_MAX) {
    return invalid_image(ImageFormat::kPng, fmt::format("a size of {}x{}", width, height));
  }
  StoredSize size{static_cast<int>(width), static_cast<int>(height)};
  constexpr uint8_t kAlpha = 4;
  if (data[9] & kAlpha) size.decoding_bytes = 4;
  size_t metadata = 0;
  while ((chunk = chunk_at(bytes, offset)) && chunk->type != "IEND") {
    if (chunk->type == "tRNS") size.decoding_bytes = 4;
    if (chunk->type == "eXIf") size.orientation = exif_orientation(chunk->data);
    if (const Bytes compressed = compressed_part(*chunk); !compressed.empty()) {
      metadata +=
          std::max(inflated_bytes(compressed, kMaxInflatedMetadata - metadata), kLeastMetadata);
    }
    if (metadata > kMaxInflatedMetadata) {
      return image_too_large(fmt::format("its PNG metadata inflates to over {} bytes, the limit",
                                         kMaxInflatedMetadata));
    }
    offset += chunk->data.size() + kChunkOverhead;
  }
  return size;
}

}  // namespace ernie::media
