#include "media/data_url.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <string>

namespace ernie::media {
namespace {

constexpr size_t kNoLimit = 1 << 20;

std::string text_of(const Result<std::vector<uint8_t>>& bytes) {
  return bytes ? std::string(bytes->begin(), bytes->end()) : bytes.error().code;
}

std::string encode(const std::vector<uint8_t>& bytes) {
  const std::string alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    unsigned group = 0;
    for (size_t j = 0; j < 3; ++j) group = group << 8 | (i + j < bytes.size() ? bytes[i + j] : 0);
    for (size_t j = 0; j < 4; ++j) {
      out += i + j <= bytes.size() ? alphabet[group >> (18 - 6 * j) & 63] : '=';
    }
  }
  return out;
}

// A65
TEST(Base64, RoundTrip) {
  EXPECT_TRUE(rc::check([](const std::vector<uint8_t>& bytes) {
    std::string text = encode(bytes);
    RC_ASSERT(*decode_base64(text, bytes.size()) == bytes);
    while (text.ends_with('=')) text.pop_back();
    RC_ASSERT(*decode_base64(text, bytes.size()) == bytes);
    if (!bytes.empty()) {
      RC_ASSERT(decode_base64(text, bytes.size() - 1).error().code == "media_too_large");
    }
  }));
}

// A65
TEST(Base64, WhitespaceIsSkippedAndPaddingOptional) {
  EXPECT_EQ(text_of(decode_base64("aGVs\r\nbG8=", kNoLimit)), "hello");
  EXPECT_EQ(text_of(decode_base64(" a G\tVsbG8 = \n", kNoLimit)), "hello");
  EXPECT_EQ(text_of(decode_base64("aGVsbG8", kNoLimit)), "hello");
  EXPECT_EQ(text_of(decode_base64("aA=\n=", kNoLimit)), "h");
  EXPECT_EQ(text_of(decode_base64("", kNoLimit)), "");
}

// A65
TEST(Base64, MalformedTextIsRefused) {
  for (const char* text : {"a", "aGVsb", "aGVsbG8==", "aGVsbG8=x", "aA=", "aGVs=", "=", "====",
                           "aGVs====", "aG!s", "aG-s", "aG_s", "aGVs\x80", "aGVs%2B", "a.b="}) {
    EXPECT_EQ(text_of(decode_base64(text, kNoLimit)), "invalid_base64") << text;
  }
  EXPECT_EQ(text_of(decode_base64(std::string("aG\0s", 4), kNoLimit)), "invalid_base64");
  EXPECT_NE(decode_base64("aG-s", kNoLimit).error().message.find("URL-safe"), std::string::npos);
}

// A52
TEST(DataUrl, MediaTypeIsIgnoredAndBase64Required) {
  EXPECT_EQ(text_of(decode_data_url("data:image/png;base64,aGk=", kNoLimit)), "hi");
  EXPECT_EQ(text_of(decode_data_url("DATA:text/html;charset=x;BASE64,aGk", kNoLimit)), "hi");
  EXPECT_EQ(text_of(decode_data_url("data:;base64,aGk=", kNoLimit)), "hi");
  for (const char* url : {"data:", "data:image/png;base64", "data:image/png,hello", "data:,x",
                          "data:base64,aGk=", "data:image/png;base64 ,aGk=", "date:;base64,aGk="}) {
    EXPECT_EQ(text_of(decode_data_url(url, kNoLimit)), "invalid_base64") << url;
  }
}

TEST(DataUrl, CommasInQuotesAreOfTheMediaType) {
  for (const char* url : {R"(data:video/mp4;codecs="avc1.4d, mp4a";base64,aGk=)",
                          R"(data:video/mp4;a="\",";b="x\\";base64,aGk=)",
                          R"(data:video/mp4;a=",;base64,";base64,aGk=)"}) {
    EXPECT_EQ(text_of(decode_data_url(url, kNoLimit)), "hi") << url;
  }
  for (const char* url :
       {R"(data:video/mp4;codecs="avc1,;base64,aGk=)", R"(data:video/mp4;a="\)"}) {
    EXPECT_EQ(text_of(decode_data_url(url, kNoLimit)), "invalid_base64") << url;
  }
}

TEST(DataUrl, DataMayBePercentEncoded) {
  EXPECT_EQ(text_of(decode_data_url("data:;base64,aGVsbG8%3D", kNoLimit)), "hello");
  EXPECT_EQ(text_of(decode_data_url("data:;base64,%61GVsbG%38%3d", kNoLimit)), "hello");
  EXPECT_EQ(text_of(decode_data_url("data:;base64,Pj4%2BPj4%2F", kNoLimit)), ">>>>>?");
  for (const char* data : {"aGk%", "aGk%3", "aGk%3x", "aGk%%3D", "aGk%253D"}) {
    EXPECT_EQ(text_of(decode_data_url(std::string("data:;base64,") + data, kNoLimit)),
              "invalid_base64")
        << data;
  }
}

// A52
TEST(DataUrl, OverTheLimitIsTooLarge) {
  const auto bytes = decode_data_url("data:;base64," + std::string(4000, 'A'), 2999);
  ASSERT_FALSE(bytes);
  EXPECT_EQ(bytes.error().kind, ErrorKind::kTooLarge);
  EXPECT_EQ(bytes.error().code, "media_too_large");
  EXPECT_EQ(decode_data_url("data:;base64," + std::string(4000, 'A'), 3000)->size(), 3000u);
}

}  // namespace
}  // namespace ernie::media
