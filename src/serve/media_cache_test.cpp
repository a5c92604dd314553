#include "serve/media_cache.h"

#include <gtest/gtest.h>

#include <thread>

namespace ernie::serve {
namespace {

model::PreparedMedia media_of(size_t bytes) {
  auto grid = std::make_shared<model::PatchGrid>();
  grid->pixels.resize(bytes);
  model::PreparedMedia media;
  media.tokens = static_cast<int>(bytes);
  media.units.push_back(std::move(grid));
  return media;
}

ContentKey key(uint64_t number) { return {number, 0}; }

// Without it the cache could grow without end, or drop what is in use.
TEST(MediaCache, DropsTheLongestUnusedToStayWithinItsBytes) {
  MediaCache cache(350'000);
  for (uint64_t i = 1; i <= 3; ++i) cache.insert(key(i), media_of(100'000));
  EXPECT_TRUE(cache.find(key(1)));
  cache.insert(key(4), media_of(100'000));
  EXPECT_FALSE(cache.find(key(2)));
  for (const uint64_t i : {1, 3, 4}) EXPECT_TRUE(cache.find(key(i))) << i;
  cache.insert(key(5), media_of(350'000));
  EXPECT_FALSE(cache.find(key(5)));
  EXPECT_TRUE(cache.find(key(1))) << "what is too large drops nothing";
  const auto held = cache.find(key(1));
  cache.insert(key(6), media_of(300'000));
  EXPECT_FALSE(cache.find(key(1)));
  EXPECT_EQ(held->units[0]->pixels.size(), 100'000u) << "still whole for who holds it";
  EXPECT_EQ(cache.find(key(6))->tokens, 300'000);
}

TEST(MediaCache, ThreadsMayShareIt) {
  MediaCache cache(10'000);
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([&cache, t] {
      for (uint64_t i = 0; i < 2000; ++i) {
        const uint64_t number = 1 + (i * 7 + t) % 30;
        if (const auto known = cache.find(key(number))) {
          EXPECT_EQ(known->tokens, static_cast<int>(number * 10));
        } else {
          cache.insert(key(number), media_of(number * 10));
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
}

}  // namespace
}  // namespace ernie::serve
