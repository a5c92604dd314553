#pragma once

#include <cstdint>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

// For tests: the pictures of tests/golden/media. Tests run in the repository's root.
namespace ernie::media {

inline std::string golden_path(const std::string& name) { return "tests/golden/media/" + name; }

inline std::vector<uint8_t> read_golden(const std::string& name) {
  std::ifstream in(golden_path(name), std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

}  // namespace ernie::media
