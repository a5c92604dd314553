#include "text/detok_stream.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "text/test_support.h"
#include "text/utf8.h"

namespace ernie::text {
namespace {

constexpr int32_t kByte = 13;  // the id of byte 0

TEST(DetokenStream, HoldsBackUnfinishedCharacters) {
  DetokenStream stream(toy_tokenizer());
  EXPECT_EQ(stream.push(kByte + 0xF0), "");
  EXPECT_EQ(stream.push(kByte + 0x9F), "");
  EXPECT_EQ(stream.push(kByte + 0x90), "");
  EXPECT_EQ(stream.push(kByte + 0x95), "🐕");
  EXPECT_EQ(stream.flush(), "");
}

TEST(DetokenStream, ReplacesBytesAsSoonAsTheyCannotBecomeACharacter) {
  DetokenStream stream(toy_tokenizer());
  EXPECT_EQ(stream.push(kByte + 0xE5), "");
  EXPECT_EQ(stream.push(kByte + 'x'), "\uFFFDx");
  EXPECT_EQ(stream.push(kByte + 0x80), "\uFFFD");
  EXPECT_EQ(stream.push(kByte + 0xE5), "");
  EXPECT_EQ(stream.push(kByte + 0x9B), "");
  EXPECT_EQ(stream.flush(), "\uFFFD\uFFFD");
}

TEST(DetokenStream, KeepsOrSkipsSpecialTokens) {
  const int32_t cls = *toy_tokenizer().cls_id();
  EXPECT_EQ(DetokenStream(toy_tokenizer(), true).push(cls), "");
  EXPECT_EQ(DetokenStream(toy_tokenizer(), false).push(cls), "<|begin_of_sentence|>");
}

TEST(DetokenStream, DeltasJoinToTheDecodedText) {
  EXPECT_TRUE(rc::check([](bool skip) {
    const Tokenizer& tokenizer = toy_tokenizer();
    const auto id =
        rc::gen::oneOf(rc::gen::inRange<int32_t>(kByte, kByte + 256),
                       rc::gen::element<int32_t>(kByte + 0xE5, kByte + 0x9B, kByte + 0xBE,
                                                 kByte + 0xF0, kByte + 0x9F),
                       rc::gen::inRange<int32_t>(-1, tokenizer.vocab_size() + 2));
    const auto ids = *rc::gen::container<std::vector<int32_t>>(id);
    DetokenStream stream(tokenizer, skip);
    std::string text;
    for (int32_t i : ids) {
      const std::string delta = stream.push(i);
      RC_ASSERT(is_valid_utf8(delta));
      text += delta;
    }
    text += stream.flush();
    RC_ASSERT(text == tokenizer.decode(ids, skip));
  }));
}

}  // namespace
}  // namespace ernie::text
