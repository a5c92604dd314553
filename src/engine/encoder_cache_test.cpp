// The encoder cache as a class, then in an engine over the toy model, which takes features from
// where the cache says they are.
#include "engine/encoder_cache.h"

#include <gtest/gtest.h>

#include <future>
#include <random>

#include "engine/test_support.h"

namespace ernie::engine::toy {
namespace {

using Media = model::ModelInput::Media;

model::MediaUnit unit(uint64_t content, int32_t length) {
  return {.length = length, .hash = ContentKey{content, 5}};
}

Media placed(EncoderCache& cache, const model::MediaUnit& unit) {
  Media media{.unit = &unit};
  cache.place(std::span(&media, 1));
  return media;
}

// Without it a unit could be read from rows that were given to another meanwhile, or two units lie
// in the same rows.
TEST(EncoderCache, WhatItCallsEncodedIsInItsRows) {
  std::mt19937 random(1);
  for (const int32_t rows : {1, 7, 64, 200}) {
    EncoderCache cache(rows);
    std::vector<uint64_t> memory(rows, 0);
    uint64_t hits = 0;
    for (int i = 0; i < 20000; ++i) {
      const uint64_t content = 1 + random() % 40;
      const model::MediaUnit u = unit(content, static_cast<int32_t>(1 + content * 7 % 33));
      const Media m = placed(cache, u);
      EXPECT_EQ(m.cache_row<0, u.length> rows);
      if (m.cache_row < 0) continue;
      ASSERT_LE(m.cache_row + u.length, rows);
      for (int32_t r = m.cache_row; r < m.cache_row + u.length; ++r) {
        if (m.encoded) {
          ASSERT_EQ(memory[r], content);
        }
        memory[r] = content;
      }
      hits += m.encoded;
    }
    EXPECT_EQ(cache.queries(), 20000u);
    EXPECT_EQ(cache.hits(), hits);
    EXPECT_GT(hits, 0u);
  }
}

TEST(EncoderCache, TheLongestUnusedUnitGoesFirst) {
  EncoderCache cache(30);
  const model::MediaUnit a = unit(1, 10), b = unit(2, 10), c = unit(3, 10), d = unit(4, 10);
  for (const auto* u : {&a, &b, &c}) EXPECT_FALSE(placed(cache, *u).encoded);
  EXPECT_TRUE(placed(cache, a).encoded);
  EXPECT_FALSE(placed(cache, d).encoded);  // in b's place
  for (const auto* u : {&a, &c, &d}) EXPECT_TRUE(placed(cache, *u).encoded);
  EXPECT_FALSE(placed(cache, b).encoded);
}

// Without it a unit whose pixels nobody has could be gone when its turn in the step comes.
TEST(EncoderCache, WhatItHasIsReadBeforeAStepTakesItsRows) {
  EncoderCache cache(20);
  const model::MediaUnit a = unit(1, 10), b = unit(2, 10), c = unit(3, 10);
  for (const auto* u : {&a, &b}) placed(cache, *u);
  EXPECT_TRUE(cache.has(a));
  EXPECT_FALSE(cache.has(c));
  std::vector<Media> step{{.unit = &c}, {.unit = &a}};
  cache.place(step);
  EXPECT_EQ(step[0].unit, &a);
  EXPECT_TRUE(step[0].encoded);
  EXPECT_FALSE(step[1].encoded);
}

TEST(EncoderCache, SmallUnitsMakeRoomForALargeOne) {
  EncoderCache cache(30);
  const model::MediaUnit large = unit(9, 25), whole = unit(10, 30), more = unit(11, 31);
  std::vector<model::MediaUnit> small;
  for (uint64_t i = 0; i < 6; ++i) small.push_back(unit(20 + i, 5));
  for (const auto& u : small) placed(cache, u);
  EXPECT_GE(placed(cache, large).cache_row, 0);
  EXPECT_TRUE(placed(cache, small[5]).encoded) << "one small unit has room beside it";
  EXPECT_TRUE(placed(cache, large).encoded);
  EXPECT_EQ(placed(cache, whole).cache_row, 0);
  EXPECT_EQ(placed(cache, more).cache_row, -1);
  EXPECT_TRUE(placed(cache, whole).encoded) << "what does not fit evicts nothing";
}

TEST(EncoderCache, OneHashOfTwoLengthsIsNotMixedUp) {
  EncoderCache cache(30);
  const model::MediaUnit a = unit(1, 10), b = unit(1, 11);
  placed(cache, a);
  EXPECT_EQ(placed(cache, b).cache_row, -1);
  EXPECT_TRUE(placed(cache, a).encoded);
}

EngineConfig without_prefix_cache() {
  EngineConfig config = small_config();
  config.enable_prefix_caching = false;
  config.max_encoder_cache = 100;
  return config;
}

std::shared_ptr<const model::Prompt> about(uint64_t picture, int first_word, int length = 20) {
  return prompt(counting(40, first_word), {{6, length, picture}});
}

// Without it a picture behind a new beginning would be encoded again.
TEST(EngineEncoderCache, APictureIsEncodedOnce) {
  for (const int ranks : {1, 2}) {
    for (const bool prefix_cache : {false, true}) {
      EngineConfig config = without_prefix_cache();
      config.tensor_parallel_size = ranks;
      config.enable_prefix_caching = prefix_cache;
      ToyEngine engine(config);
      for (int word = 1; word < 6; ++word) {
        EXPECT_EQ(engine.run(about(1, word), greedy(5)).tokens, expected(*about(1, word), 5));
      }
      EXPECT_EQ(engine.controls().encoded, 1);
      EXPECT_EQ(engine->stats().encoder_cache_queries, 5u);
      EXPECT_EQ(engine->stats().encoder_cache_hits, 4u);
    }
  }
}

TEST(EngineEncoderCache, NoneIsKeptWhenItIsOff) {
  EngineConfig config = without_prefix_cache();
  config.max_encoder_cache = 0;
  ToyEngine engine(config);
  EXPECT_EQ(engine->memory().encoder_cache_tokens, 0);
  for (int word = 1; word < 4; ++word) {
    EXPECT_EQ(engine.run(about(1, word), greedy(5)).tokens, expected(*about(1, word), 5));
  }
  EXPECT_EQ(engine.controls().encoded, 3);
  EXPECT_EQ(engine->stats().encoder_cache_hits, 0u);
}

TEST(EngineEncoderCache, OneStepEncodesARepeatedPictureOnce) {
  EngineConfig config = without_prefix_cache();
  config.max_num_batched_tokens = 256;
  ToyEngine engine(config);
  const auto twice = prompt(counting(80), {{4, 20, 1}, {30, 9, 2}, {44, 20, 1}});
  EXPECT_EQ(engine.run(twice, greedy(8)).tokens, expected(*twice, 8));
  EXPECT_EQ(engine.controls().encoded, 2);
}

// A cache of one picture or less: every step takes the rows of pictures that steps before it, or
// the same step, still read.
TEST(EngineEncoderCache, AnswersAreTheSameHoweverSmallItIs) {
  for (const int tokens : {1, 20, 21, 50, 1000}) {
    for (const int ranks : {1, 2}) {
      for (const int steps_in_flight : {1, 2}) {
        EngineConfig config = without_prefix_cache();
        config.max_encoder_cache = tokens;
        config.tensor_parallel_size = ranks;
        config.steps_in_flight = steps_in_flight;
        config.max_num_batched_tokens = 128;
        ToyEngine engine(config);
        std::vector<std::shared_ptr<const model::Prompt>> prompts;
        std::vector<ToyEngine::Running> running;
        for (int i = 0; i < 24; ++i) {
          const uint64_t picture = 1 + i * i % 5;
          const auto length = static_cast<int>(10 + picture * 2);
          prompts.push_back(
              prompt(counting(80, i),
                     {{3, length, picture}, {30, 20, 7 + picture % 2}, {52, length, picture}}));
          running.push_back(engine.submit(prompts.back(), greedy(10)));
        }
        for (size_t i = 0; i < prompts.size(); ++i) {
          EXPECT_EQ(running[i].wait().tokens, expected(*prompts[i], 10))
              << tokens << " tokens, " << ranks << " ranks, request " << i;
        }
        if (tokens == 1000) {
          EXPECT_EQ(engine.controls().encoded, 5);
        }
      }
    }
  }
}

// Without it a request that is cancelled while its picture is being encoded could leave rows that
// count as encoded but are not.
TEST(EngineEncoderCache, ACancelledRequestLeavesItsPictureWhole) {
  for (const int steps_in_flight : {1, 2}) {
    EngineConfig config = without_prefix_cache();
    config.steps_in_flight = steps_in_flight;
    config.max_encoder_cache = 45;  // two pictures
    ToyEngine engine(config);
    engine.controls().step_delay_us = 500;
    for (int i = 0; i < 40; ++i) {
      const uint64_t picture = 1 + i % 3;
      const auto cancelled = engine.submit(about(picture, i), greedy(50));
      if (i % 2 == 0) std::this_thread::sleep_for(std::chrono::microseconds(100 * i));
      engine->cancel(cancelled.handle);
      const auto again = about(picture, i + 1);
      EXPECT_EQ(engine.run(again, greedy(3)).tokens, expected(*again, 3)) << i;
    }
  }
}

// The prompt of somebody who has seen its pictures before.
std::shared_ptr<const model::Prompt> without_pixels(const model::Prompt& prompt) {
  auto out = std::make_shared<model::Prompt>(prompt);
  for (model::MediaUnit& unit : out->media) {
    auto grid = std::make_shared<model::PatchGrid>(*unit.patches);
    grid->pixels.clear();
    unit.patches = std::move(grid);
  }
  return out;
}

// Sends prompts without pixels, and decodes when it is asked, on threads of its own.
class LateDecoder {
 public:
  ToyEngine::Running submit(ToyEngine& engine, std::shared_ptr<const model::Prompt> prompt,
                            int max_tokens, std::chrono::microseconds takes = {}) {
    auto sink = std::make_shared<Collector>();
    const auto handle = engine->submit(
        {.id = "id",
         .prompt = without_pixels(*prompt),
         .sampling = greedy(max_tokens),
         .decode_media =
             [this, prompt, takes](OnPrompt done) {
               ++asked_;
               threads_.push_back(std::async(std::launch::async, [prompt, takes, done] {
                 std::this_thread::sleep_for(takes);
                 done(prompt);
               }));
             },
         .sink = sink});
    CHECK(handle.ok(), "refused");
    return {*handle, sink};
  }
  Answer run(ToyEngine& engine, std::shared_ptr<const model::Prompt> prompt) {
    return submit(engine, std::move(prompt), 5).wait();
  }
  int asked() const { return asked_; }

 private:
  std::atomic<int> asked_{0};
  std::vector<std::future<void>> threads_;  // of the engine's thread
};

// Without it a picture whose features are kept would have to be decoded again to be answered.
TEST(EngineEncoderCache, NoPixelsAreAskedForWhereACacheHasThePicture) {
  for (const bool prefix_cache : {false, true}) {
    EngineConfig config = without_prefix_cache();
    config.enable_prefix_caching = prefix_cache;
    if (prefix_cache) config.max_encoder_cache = 0;
    ToyEngine engine(config);
    LateDecoder decoder;
    const auto first = about(1, 1);
    engine.run(first, greedy(5));
    const auto again = about(1, prefix_cache ? 1 : 2);
    EXPECT_EQ(decoder.run(engine, again).tokens, expected(*again, 5));
    EXPECT_EQ(decoder.asked(), 0);
    EXPECT_EQ(engine.controls().encoded, 1);
  }
}

TEST(EngineEncoderCache, PixelsAreAskedForWhereTheCachesHaveLostThePicture) {
  for (const bool prefix_cache : {false, true}) {
    EngineConfig config = without_prefix_cache();
    config.enable_prefix_caching = prefix_cache;
    config.max_encoder_cache = 20;  // one picture
    ToyEngine engine(config);
    LateDecoder decoder;
    for (const uint64_t picture : {1, 2}) engine.run(about(picture, 1), greedy(5));
    const auto again = about(1, 9);
    EXPECT_EQ(decoder.run(engine, again).tokens, expected(*again, 5));
    EXPECT_EQ(decoder.asked(), 1);
    EXPECT_EQ(engine.controls().encoded, 3);
  }
}

TEST(EngineEncoderCache, OthersGoOnWhilePixelsAreDecoded) {
  ToyEngine engine(without_prefix_cache());
  std::promise<OnPrompt> asked;
  const auto sink = std::make_shared<Collector>();
  const auto late = about(1, 1);
  const auto handle =
      engine->submit({.id = "id",
                      .prompt = without_pixels(*late),
                      .sampling = greedy(5),
                      .decode_media = [&](OnPrompt done) { asked.set_value(std::move(done)); },
                      .sink = sink});
  ASSERT_TRUE(handle);
  const OnPrompt done = asked.get_future().get();
  EXPECT_EQ(engine.run(about(2, 3), greedy(5)).tokens, expected(*about(2, 3), 5));
  EXPECT_FALSE(sink->finished());
  done(late);
  EXPECT_EQ(sink->wait().tokens, expected(*late, 5));
  done(late);  // of a request that has ended
  EXPECT_EQ(engine.run(about(3, 3), greedy(5)).tokens, expected(*about(3, 3), 5));
}

// Pictures that leave the cache between the plan of a step and the next one, in a cache that also
// loses blocks: features never come from other rows, and nobody waits for ever.
TEST(EngineEncoderCache, AnswersAreTheSameWhateverIsLostOnTheWay) {
  for (const int tokens : {0, 20, 60}) {
    for (const int steps_in_flight : {1, 2}) {
      EngineConfig config = without_prefix_cache();
      config.enable_prefix_caching = tokens != 20;
      config.max_encoder_cache = tokens;
      config.steps_in_flight = steps_in_flight;
      config.num_gpu_blocks_override = 40;  // of 8 tokens: sequences are preempted
      ToyEngine engine(config);
      LateDecoder decoder;
      std::vector<std::shared_ptr<const model::Prompt>> prompts;
      std::vector<ToyEngine::Running> running;
      for (int i = 0; i < 60; ++i) {
        const uint64_t picture = 1 + i * i % 5;
        const auto length = static_cast<int>(10 + picture * 2);
        prompts.push_back(
            prompt(counting(80, i % 7),
                   {{3, length, picture}, {30, 20, 7 + picture % 2}, {52, length, picture}}));
        const std::chrono::microseconds takes(100 * (i % 9));
        running.push_back(i % 3 == 0 ? engine.submit(prompts.back(), greedy(40))
                                     : decoder.submit(engine, prompts.back(), 40, takes));
        if (i % 10 == 9) engine->cancel(running[static_cast<size_t>(i) - 4].handle);
      }
      for (size_t i = 0; i < prompts.size(); ++i) {
        const Answer answer = running[i].wait();
        if (answer.reason == FinishReason::kCancelled) continue;
        EXPECT_EQ(answer.tokens, expected(*prompts[i], 40)) << tokens << " tokens, request " << i;
      }
      EXPECT_GT(decoder.asked(), 0);
      EXPECT_GT(engine->stats().preemptions, 0u);
    }
  }
}

}  // namespace
}  // namespace ernie::engine::toy
