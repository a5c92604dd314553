#include "sched/sequence.h"

#include <gtest/gtest.h>

#include <numeric>

namespace ernie::sched {
namespace {

Sequence sequence(int tokens, std::vector<MediaSpan> media = {}) {
  Sequence s;
  s.tokens.resize(tokens);
  std::iota(s.tokens.begin(), s.tokens.end(), 1);
  for (const MediaSpan& span : media) {
    std::fill_n(s.tokens.begin() + span.begin, span.length, 7);  // all placeholders are alike
  }
  s.media = std::move(media);
  return s;
}

std::vector<ContentKey> keys_of(Sequence s, int block_size = 4) {
  extend_block_keys(s, block_size);
  return s.block_keys;
}

TEST(BlockKeys, CoverFullBlocksOnlyAndGrowWithTheSequence) {
  Sequence s = sequence(7);
  extend_block_keys(s, 4);
  EXPECT_EQ(s.block_keys.size(), 1u);
  s.tokens.push_back(8);
  extend_block_keys(s, 4);
  EXPECT_EQ(s.block_keys, keys_of(sequence(8)));
}

TEST(BlockKeys, DependOnEverythingBefore) {
  Sequence other = sequence(12);
  other.tokens[0] = 99;
  const auto a = keys_of(sequence(12)), b = keys_of(other);
  for (int i = 0; i < 3; ++i) EXPECT_NE(a[i], b[i]) << i;
}

// A64
TEST(BlockKeys, TellPicturesWithTheSamePlaceholdersApart) {
  // The unit covers part of block 0, all of block 1, part of block 2.
  const auto a = keys_of(sequence(16, {{2, 8, ContentKey{1, 1}}}));
  const auto b = keys_of(sequence(16, {{2, 8, ContentKey{2, 2}}}));
  for (int i = 0; i < 4; ++i) EXPECT_NE(a[i], b[i]) << i;
  EXPECT_EQ(a, keys_of(sequence(16, {{2, 8, ContentKey{1, 1}}})));
}

TEST(BlockKeys, IgnorePicturesThatComeLater) {
  const auto a = keys_of(sequence(16, {{8, 4, ContentKey{1, 1}}}));
  const auto b = keys_of(sequence(16, {{8, 4, ContentKey{2, 2}}}));
  EXPECT_EQ(a[0], b[0]);
  EXPECT_EQ(a[1], b[1]);
  EXPECT_NE(a[2], b[2]);
}

TEST(BlockKeys, TellTwoAdjacentUnitsFromOne) {
  const auto one = keys_of(sequence(8, {{0, 8, ContentKey{1, 1}}}));
  const auto two = keys_of(sequence(8, {{0, 4, ContentKey{1, 1}}, {4, 4, ContentKey{1, 1}}}));
  EXPECT_NE(one[0], two[0]);
}

TEST(MediaRounding, MovesOnlyPositionsInsideAUnit) {
  const std::vector<MediaSpan> media = {{4, 6, {}}, {10, 5, {}}, {20, 3, {}}};
  const std::vector<std::array<int, 3>> expected = {
      // position, up, down
      {3, 3, 3},    {4, 4, 4},    {5, 10, 4},   {9, 10, 4},   {10, 10, 10},
      {11, 15, 10}, {15, 15, 15}, {19, 19, 19}, {21, 23, 20}, {30, 30, 30}};
  for (const auto& [position, up, down] : expected) {
    EXPECT_EQ(round_up_to_media(media, position), up) << position;
    EXPECT_EQ(round_down_to_media(media, position), down) << position;
  }
}

// A68
TEST(BlockKeys, TellSaltsApartFromTheFirstBlockOn) {
  Sequence salted = sequence(16, {});
  salted.cache_salt = ContentKey{7};
  const auto a = keys_of(sequence(16, {}));
  const auto b = keys_of(salted);
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) EXPECT_NE(a[i], b[i]) << i;
}

}  // namespace
}  // namespace ernie::sched
