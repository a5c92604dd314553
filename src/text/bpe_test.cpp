#include "text/bpe.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <sentencepiece_processor.h>

#include <algorithm>
#include <ctime>
#include <random>

#include "text/test_support.h"

namespace ernie::text {
namespace {

const Bpe& toy_bpe() {
  static const Result<Bpe> bpe =
      Bpe::load(std::filesystem::path(kToyTokenizer) / "tokenizer.model");
  return *bpe;
}

std::vector<int> whole(const std::string& text) {
  std::vector<int> ids;
  EXPECT_TRUE(toy_bpe().model().Encode(text, &ids).ok());
  return ids;
}

std::vector<int32_t> windowed(const std::string& text) {
  std::vector<int32_t> ids;
  toy_bpe().encode(text, SIZE_MAX, ids);
  return ids;
}

// Texts over a small alphabet give the most merges that depend on their neighbours.
TEST(Bpe, WindowsGiveTheIdsOfTheWholeText) {
  const std::vector<std::string> alphabets[] = {
      {"a"},
      {"\u2581"},
      {"a", "e"},
      {"🐕"},
      {"e\u0301"},
      {"\u0301"},
      {"a", "b", "c", "e", "t", "h", "\u2581"},
      {"a", "图", "1", "🐕", "\n", "\u2581", "<", "|", ">"},
      {"bacam", "\u2581the", "\u2581bacam", "ing", "片", "\u0301", "图片里有什么"},
  };
  std::mt19937 random(7);
  for (const auto& alphabet : alphabets) {
    for (int round = 0; round < 6; ++round) {
      std::string text;
      const size_t bytes = 4000 + random() % 40'000;
      while (text.size() < bytes) text += alphabet[random() % alphabet.size()];
      ASSERT_EQ(windowed(text), whole(text)) << alphabet[0] << " " << text.size();
    }
  }
}

// A44
TEST(Bpe, TimeIsLinearInTheText) {
  for (const char* unit : {"a", "\u2581", "🐕", "e\u0301\u0302", "图"}) {
    const auto cost = [&](size_t bytes) {
      std::string text;
      while (text.size() < bytes) text += unit;
      double best = 1e9;
      for (int round = 0; round < 3; ++round) {
        const std::clock_t start = std::clock();  // of this process alone
        EXPECT_FALSE(windowed(text).empty());
        best = std::min(best, static_cast<double>(std::clock() - start));
      }
      return best;
    };
    // Twice the linear ratio, for noise; n^2 would be 100.
    EXPECT_LT(cost(200'000) / cost(20'000), 20) << unit;
  }
}

}  // namespace
}  // namespace ernie::text
