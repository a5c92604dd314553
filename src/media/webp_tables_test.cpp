#include "media/webp_tables.h"

#include <gtest/gtest.h>

#include "media/image.h"
#include "media/test_files.h"

namespace ernie::media {
namespace {

using File = std::vector<uint8_t>;

// Writes numbers of so many bits, lowest bits first.
class BitWriter {
 public:
  void write(uint32_t value, int count) {
    for (int i = 0; i < count; ++i, ++bits_) {
      if (bits_ % 8 == 0) bytes_.push_back(0);
      bytes_.back() |= (value >> i & 1) << bits_ % 8;
    }
  }
  const File& bytes() const { return bytes_; }

 private:
  File bytes_;
  size_t bits_ = 0;
};

void write_code_of_zero(BitWriter& out) { out.write(0b0001, 4); }

// A code whose first 256 symbols have 8 bits each.
void write_code_of_bytes(BitWriter& out, int alphabet) {
  out.write(0, 1);
  out.write(12 - 4, 4);
  for (const int length : {17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8}) {
    out.write(length == 0 || length == 8 ? 1 : 0, 3);
  }
  out.write(0, 1);
  for (int symbol = 0; symbol < alphabet; ++symbol) out.write(symbol < 256 ? 1 : 0, 1);
}

void write_byte(BitWriter& out, int byte) {
  for (int bit = 7; bit >= 0; --bit) out.write(byte >> bit & 1, 1);
}

void append(File& file, const std::string& name, uint32_t size) {
  file.insert(file.end(), name.begin(), name.end());
  for (int i = 0; i < 4; ++i) file.push_back(static_cast<uint8_t>(size >> 8 * i));
}

// A black picture with a group of codes of its own for each 4x4 pixels.
File picture_of_groups(int side, int cache_bits) {
  BitWriter out;
  out.write(0x2F, 8);
  out.write(side - 1, 14);
  out.write(side - 1, 14);
  out.write(0, 1 + 3 + 1);  // no alpha, version, no transform
  out.write(cache_bits > 0 ? 1 : 0, 1);
  if (cache_bits > 0) out.write(cache_bits, 4);
  out.write(1, 1 + 3);  // an entropy image with blocks of 4x4
  out.write(0, 1);
  write_code_of_bytes(out, 280);
  write_code_of_bytes(out, 256);
  for (int code = 0; code < 3; ++code) write_code_of_zero(out);
  const int groups = side / 4 * (side / 4);
  for (int group = 0; group < groups; ++group) {
    write_byte(out, group & 255);
    write_byte(out, group >> 8);
  }
  for (int code = 0; code < 5 * groups; ++code) write_code_of_zero(out);
  File data = out.bytes();
  if (data.size() % 2 == 1) data.push_back(0);

  File file;
  append(file, "RIFF", static_cast<uint32_t>(12 + data.size()));
  append(file, "WEBPVP8L", static_cast<uint32_t>(data.size()));
  file.insert(file.end(), data.begin(), data.end());
  return file;
}

TEST(WebpTables, A62TablesOfManyGroupsAreAnnounced) {
  constexpr size_t kGroups = 4'096;
  for (const auto& [cache_bits, bytes] : {std::pair{0, 11'800}, std::pair{11, 20'000}}) {
    const File file = picture_of_groups(256, cache_bits);
    ASSERT_TRUE(decode_image(file));
    EXPECT_GT(probe_image(file)->decoding_bytes, kGroups * bytes) << cache_bits;
    EXPECT_LT(probe_image(file)->decoding_bytes, kGroups * (bytes + 1'500)) << cache_bits;
  }
}

TEST(WebpTables, OrdinaryPicturesHaveSmallOnes) {
  const std::pair<const char*, size_t> rows[] = {
      {"webp_lossless.webp", 7}, {"webp_lossless_alpha.webp", 12}, {"webp_lossy_alpha.webp", 12}};
  for (const auto& [name, bytes] : rows) {
    const auto info = probe_image(read_golden(name));
    ASSERT_TRUE(info) << name;
    const size_t pixels = size_t(info->width) * info->height;
    EXPECT_GT(info->decoding_bytes, bytes * pixels + 10'000) << name;
    EXPECT_LT(info->decoding_bytes, bytes * pixels + 300'000) << name;
  }
}

TEST(WebpTables, AnyCutOfTheStreamIsTaken) {
  const File file = picture_of_groups(16, 11);
  for (size_t size = 0; size < file.size(); ++size) {
    const size_t bytes =
        webp_frame_table_bytes({file.data() + 12, size < 12 ? 0 : size - 12}, 16, 16);
    EXPECT_LE(bytes, 17u * 21'000) << size;
  }
}

}  // namespace
}  // namespace ernie::media
