#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "base/hash.h"
#include "media/image.h"

// For tests: the pictures of tests/golden/media. Tests run in the repository's root.
namespace ernie::media {

inline std::string golden_path(const std::string& name) { return "tests/golden/media/" + name; }

inline std::vector<uint8_t> read_golden(const std::string& name) {
  std::ifstream in(golden_path(name), std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

// XXH3-128 of the pixels, as tools/golden writes it.
inline std::string hash_of(const Image& image) {
  const Hash128 hash = hash_bytes(image.rgb.data(), image.rgb.size());
  return fmt::format("{:016x}{:016x}", hash.high, hash.low);
}

}  // namespace ernie::media
