#include "media/webp_tables.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

namespace ernie::media {
namespace {

constexpr int kMaxCodeBits = 15;
constexpr int kLiterals = 256;
constexpr int kLengthCodes = 24;
constexpr int kDistanceCodes = 40;

// The stream of a lossless picture, lowest bits first.
class BitReader {
 public:
  explicit BitReader(Bytes bytes) : bytes_(bytes) {}

  uint32_t read(int count) {
    uint32_t out = 0;
    for (int i = 0; i < count; ++i, ++at_) {
      if (at_ >= 8 * bytes_.size()) {
        ended_ = true;
        return 0;
      }
      out |= (uint32_t{bytes_[at_ / 8]} >> at_ % 8 & 1) << i;
    }
    return out;
  }
  // Whether more was read than there is.
  bool ended() const { return ended_; }

 private:
  Bytes bytes_;
  size_t at_ = 0;
  bool ended_ = false;
};

// A canonical Huffman code. One of a single symbol takes no bits.
class HuffmanCode {
 public:
  explicit HuffmanCode(const std::vector<int>& lengths) {
    for (const int length : lengths) ++counts_[length];
    counts_[0] = 0;
    for (int length = 1; length <= kMaxCodeBits; ++length) {
      for (size_t symbol = 0; symbol < lengths.size(); ++symbol) {
        if (lengths[symbol] == length) symbols_.push_back(static_cast<int>(symbol));
      }
    }
  }

  int read(BitReader& bits) const {
    if (symbols_.size() == 1) return symbols_.front();
    int code = 0, first = 0, index = 0;
    for (int length = 1; length <= kMaxCodeBits && !bits.ended(); ++length) {
      code |= static_cast<int>(bits.read(1));
      const int count = counts_[length];
      if (code - count < first) return symbols_[index + code - first];
      index += count;
      first = (first + count) << 1;
      code <<= 1;
    }
    return 0;  // no such code: libwebp refuses it
  }

 private:
  std::array<int, kMaxCodeBits + 1> counts_{};
  std::vector<int> symbols_;
};

std::vector<int> read_simple_lengths(BitReader& bits, int alphabet) {
  std::vector<int> lengths(std::max(alphabet, kLiterals));
  const bool two = bits.read(1) != 0;
  const int first = static_cast<int>(bits.read(bits.read(1) != 0 ? 8 : 1));
  lengths[first] = 1;
  if (two) lengths[bits.read(8)] = 1;
  lengths.resize(alphabet);
  return lengths;
}

HuffmanCode read_code(BitReader& bits, int alphabet) {
  if (bits.read(1) != 0) return HuffmanCode(read_simple_lengths(bits, alphabet));
  constexpr int kOrder[] = {17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  std::vector<int> lengths_of_lengths(std::size(kOrder));
  const int given = 4 + static_cast<int>(bits.read(4));
  for (int i = 0; i < given && i < std::ssize(kOrder); ++i) {
    lengths_of_lengths[kOrder[i]] = static_cast<int>(bits.read(3));
  }
  const HuffmanCode code(lengths_of_lengths);
  int left = alphabet;  // lengths that are stored
  if (bits.read(1) != 0) {
    const int count_bits = 2 + 2 * static_cast<int>(bits.read(3));
    left = 2 + static_cast<int>(bits.read(count_bits));
  }
  std::vector<int> lengths;
  int last = 8;
  for (; std::ssize(lengths) < alphabet && left > 0 && !bits.ended(); --left) {
    const int symbol = code.read(bits);
    int value = symbol, times = 1;
    if (symbol < 16) {
      if (symbol != 0) last = symbol;
    } else {
      value = symbol == 16 ? last : 0;
      times = symbol == 18 ? 11 + static_cast<int>(bits.read(7))
                           : 3 + static_cast<int>(bits.read(symbol == 16 ? 2 : 3));
    }
    lengths.insert(lengths.end(), times, value);
  }
  lengths.resize(alphabet);
  return HuffmanCode(lengths);
}

int read_cache_bits(BitReader& bits) {
  return bits.read(1) != 0 ? static_cast<int>(bits.read(4)) : 0;
}

std::vector<HuffmanCode> read_codes(BitReader& bits, int cache_bits) {
  const int cache = cache_bits > 0 ? 1 << cache_bits : 0;
  std::vector<HuffmanCode> codes;
  for (const int alphabet :
       {kLiterals + kLengthCodes + cache, kLiterals, kLiterals, kLiterals, kDistanceCodes}) {
    codes.push_back(read_code(bits, alphabet));
  }
  return codes;
}

// The value that a prefix code and its further bits stand for.
int64_t read_prefixed(BitReader& bits, int prefix) {
  if (prefix < 4) return prefix + 1;
  const int further = (prefix - 2) >> 1;
  return (int64_t{2 + (prefix & 1)} << further) + bits.read(further) + 1;
}

// Reads a small picture inside the stream and gives the red and green of each pixel that is written
// out; copies and the colour cache only repeat those, or 0.
template <typename Take>
void read_inner_picture(BitReader& bits, int64_t pixels, Take take) {
  const auto codes = read_codes(bits, read_cache_bits(bits));
  while (pixels > 0 && !bits.ended()) {
    const int green = codes[0].read(bits);
    if (green < kLiterals) {
      const int red = codes[1].read(bits);
      codes[2].read(bits);
      codes[3].read(bits);
      take(red << 8 | green);
      --pixels;
    } else if (green < kLiterals + kLengthCodes) {
      pixels -= read_prefixed(bits, green - kLiterals);
      read_prefixed(bits, codes[4].read(bits));
    } else {
      --pixels;
    }
  }
}

int64_t blocks(int64_t size, int bits) { return (size + (1 << bits) - 1) >> bits; }

// Reads the transforms, of which one may make rows shorter.
void skip_transforms(BitReader& bits, int64_t& width, int64_t height) {
  constexpr int kSubtractGreen = 2, kColourIndexing = 3;
  const auto ignore = [](int) {};
  for (int i = 0; i < 4 && bits.read(1) != 0; ++i) {
    const int kind = static_cast<int>(bits.read(2));
    if (kind == kSubtractGreen) continue;
    if (kind == kColourIndexing) {
      const int colours = 1 + static_cast<int>(bits.read(8));
      read_inner_picture(bits, colours, ignore);
      width = blocks(width, colours <= 2 ? 3 : colours <= 4 ? 2 : colours <= 16 ? 1 : 0);
    } else {
      const int block_bits = 2 + static_cast<int>(bits.read(3));
      read_inner_picture(bits, blocks(width, block_bits) * blocks(height, block_bits), ignore);
    }
  }
}

// As VP8LDecodeHeader and VP8LBuildHuffmanTable of libwebp 1.2 size them.
size_t table_bytes(size_t groups, int cache_bits) {
  const size_t entries = 2'300 + 662 + (size_t{1} << cache_bits);
  return groups * (4 * entries + 600);
}

size_t lossless_bytes(BitReader bits, int64_t width, int64_t height) {
  // Up to here libwebp has one table for each number.
  constexpr size_t kDense = 1'000;
  skip_transforms(bits, width, height);
  const int cache_bits = read_cache_bits(bits);
  if (bits.read(1) == 0) return table_bytes(1, cache_bits);
  const int block_bits = 2 + static_cast<int>(bits.read(3));
  std::vector<bool> seen(1 << 16);
  seen[0] = true;
  size_t distinct = 1, highest = 0;
  read_inner_picture(bits, blocks(width, block_bits) * blocks(height, block_bits), [&](int group) {
    if (!seen[group]) ++distinct;
    seen[group] = true;
    highest = std::max(highest, static_cast<size_t>(group));
  });
  return table_bytes(highest < kDense ? highest + 1 : distinct, cache_bits);
}

}  // namespace

size_t webp_frame_table_bytes(Bytes chunks, int width, int height) {
  constexpr size_t kChunkHeader = 8, kLosslessHeader = 5, kAlphaHeader = 1;
  if (chunks.size() < kChunkHeader) return 0;
  const Bytes data = chunks.subspan(kChunkHeader);
  if (std::memcmp(chunks.data(), "VP8L", 4) == 0 && data.size() > kLosslessHeader) {
    return lossless_bytes(BitReader(data.subspan(kLosslessHeader)), width, height);
  }
  const bool alpha = std::memcmp(chunks.data(), "ALPH", 4) == 0 && data.size() > kAlphaHeader;
  if (!alpha || (data[0] & 3) != 1) return 0;  // none, or stored as it is
  return lossless_bytes(BitReader(data.subspan(kAlphaHeader)), width, height);
}

}  // namespace ernie::media
