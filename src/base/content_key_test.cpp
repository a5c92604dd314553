#include "base/content_key.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

namespace ernie {
namespace {

// A64, A68
TEST(ContentKey, IsSha256) {
  // FIPS 180-2, appendix B.1.
  const unsigned char expected[32] = {0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea,
                                      0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
                                      0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c,
                                      0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad};
  const ContentKey key = content_key("abc", 3);
  EXPECT_EQ(std::memcmp(key.words.data(), expected, sizeof(expected)), 0);
}

// A64, A68
TEST(ContentKey, AChainDependsOnEveryPartAndItsOrder) {
  const auto chain = [](const std::string& first, const std::string& second) {
    const ContentKey start = content_key(ContentKey{}, first.data(), first.size());
    return content_key(start, second.data(), second.size());
  };
  EXPECT_EQ(chain("a", "b"), chain("a", "b"));
  EXPECT_NE(chain("a", "b"), chain("b", "a"));
  EXPECT_NE(chain("ab", ""), chain("a", "b"));
  EXPECT_NE(chain("", "b"), content_key(ContentKey{}, "b", 1));
}

}  // namespace
}  // namespace ernie
