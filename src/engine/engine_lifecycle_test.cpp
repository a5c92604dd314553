// Requests that do not simply run to their end: cancelled, late, refused, failed, drained.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <future>
#include <thread>

#include "engine/test_support.h"

namespace ernie::engine::toy {
namespace {

using namespace std::chrono_literals;

bool eventually(const std::function<bool()>& condition, std::chrono::milliseconds limit = 5000ms) {
  for (const auto end = Clock::now() + limit; Clock::now() < end;) {
    if (condition()) return true;
    std::this_thread::sleep_for(1ms);
  }
  return condition();
}

// A87
TEST(EngineLifecycle, CancelFreesEverythingWhereverTheRequestIs) {
  EngineConfig config = small_config();
  config.max_num_seqs = 2;
  config.max_num_batched_tokens = 16;
  for (const int steps_in_flight : {1, 2}) {
    config.steps_in_flight = steps_in_flight;
    ToyEngine engine(config);
    engine.controls().step_delay_us = 2000;
    const auto decoding = engine.submit(prompt(counting(8)), greedy(200));
    decoding.sink->wait_for_tokens(3);
    const auto prefilling = engine.submit(prompt(counting(200, 9)), greedy(40));
    const auto queued = engine.submit(prompt(counting(9, 30)), greedy(40));
    std::this_thread::sleep_for(5ms);
    for (const auto& running : {decoding, prefilling, queued}) {
      EXPECT_FALSE(running.sink->finished());
      engine->cancel(running.handle);
      EXPECT_EQ(running.wait().reason, FinishReason::kCancelled);
    }
    EXPECT_TRUE(eventually([&] {
      const EngineStats stats = engine->stats();
      return stats.running == 0 && stats.waiting == 0 &&
             stats.available_blocks == stats.total_blocks;
    }));
    const auto tokens = decoding.wait().tokens;
    const auto all = expected(*prompt(counting(8)), 200);
    EXPECT_TRUE(std::equal(tokens.begin(), tokens.end(), all.begin()));
    engine->cancel(decoding.handle);  // unknown by now
    EXPECT_EQ(engine.run(prompt(counting(20)), greedy(5)).tokens,
              expected(*prompt(counting(20)), 5));
  }
}

// A86
TEST(EngineLifecycle, DeadlinesEndRequestsInQueueAndRunning) {
  EngineConfig config = small_config();
  config.max_num_seqs = 1;
  config.max_num_batched_tokens = 64;
  ToyEngine engine(config);
  engine.controls().step_delay_us = 1000;
  const auto start = Clock::now();
  const auto running = engine.submit(prompt(counting(8)), greedy(240), start + 60ms);
  const auto queued = engine.submit(prompt(counting(8)), greedy(240), start + 30ms);
  for (const auto& late : {queued, running}) {
    const Answer answer = late.wait();
    ASSERT_TRUE(answer.error.has_value());
    EXPECT_EQ(answer.error->kind, ErrorKind::kTimeout);
    EXPECT_EQ(answer.error->code, "deadline_exceeded");
  }
  EXPECT_TRUE(queued.wait().tokens.empty());
  EXPECT_EQ(queued.wait().stats.scheduled, Clock::time_point{});
  EXPECT_FALSE(running.wait().tokens.empty());
  EXPECT_TRUE(eventually([&] { return engine->stats().running == 0; }));
}

// A86
TEST(EngineLifecycle, AQueueDeadlineEndsOnlyWhatWasNeverScheduled) {
  EngineConfig config = small_config();
  config.max_num_seqs = 1;
  ToyEngine engine(config);
  engine.controls().step_delay_us = 1000;
  const auto submit = [&](int max_tokens) {
    auto sink = std::make_shared<Collector>();
    EXPECT_TRUE(engine
                    ->submit({.id = "x",
                              .prompt = prompt(counting(8)),
                              .sampling = greedy(max_tokens),
                              .queue_deadline = Clock::now() + 50ms,
                              .sink = sink})
                    .ok());
    return sink;
  };
  const auto first = submit(150);
  const auto second = submit(5);
  EXPECT_EQ(second->wait().error->kind, ErrorKind::kTimeout);
  EXPECT_FALSE(first->finished());
  EXPECT_EQ(first->wait().reason, FinishReason::kLength);
}

// A85
TEST(EngineLifecycle, RefusesWhatItCannotServe) {
  EngineConfig config = small_config();
  config.max_model_len = 64;
  config.max_num_seqs = 1;
  config.max_waiting_requests = 2;
  config.max_media_tokens = 40;
  ToyEngine engine(config);
  auto sink = std::make_shared<Collector>();
  const auto refused = [&](std::shared_ptr<const model::Prompt> p, int max_tokens) {
    const auto result = engine.try_submit(std::move(p), greedy(max_tokens), sink);
    EXPECT_FALSE(result.ok());
    return result.ok() ? Error{} : result.error();
  };
  const Error too_long = refused(prompt(counting(64)), 1);
  EXPECT_EQ(too_long.kind, ErrorKind::kInvalidArgument);
  EXPECT_EQ(too_long.code, "context_length_exceeded");
  EXPECT_EQ(refused(prompt({}), 1).kind, ErrorKind::kInvalidArgument);
  EXPECT_EQ(refused(prompt(counting(4)), -1).param, "max_tokens");
  // A unit of more patches than the buffers hold.
  const auto large = std::make_shared<model::Prompt>(*prompt(counting(60), {{1, 50, 1}}));
  EXPECT_EQ(refused(large, 1).code, "image_too_large");
  large->media[0].is_video = true;
  EXPECT_EQ(refused(large, 1).code, "video_too_large");
  SamplingParams wanting = greedy(1);
  wanting.options.top_logprobs = 21;  // the toy's sampler gives 20
  const auto logprobs = engine.try_submit(prompt(counting(4)), wanting, sink);
  ASSERT_FALSE(logprobs.ok());
  EXPECT_EQ(logprobs.error().param, "top_logprobs");

  engine.controls().step_delay_us = 20000;
  const auto running = engine.submit(prompt(counting(4)), greedy(50));
  ASSERT_TRUE(eventually([&] { return engine->stats().running == 1; }));
  engine.submit(prompt(counting(4)), greedy(1));
  engine.submit(prompt(counting(4)), greedy(1));
  EXPECT_EQ(refused(prompt(counting(4)), 1).kind, ErrorKind::kRateLimited);
  EXPECT_EQ(engine->stats().waiting, 2);
}

// A85
TEST(EngineLifecycle, AClientThatFillsTheQueueKeepsNobodyOut) {
  EngineConfig config = small_config();
  config.max_num_seqs = 1;
  config.max_waiting_requests = 8;
  ToyEngine engine(config);
  engine.controls().step_delay_us = 5000;
  const auto submit = [&](ClientId client) {
    auto sink = std::make_shared<Collector>();
    const bool taken = engine.try_submit(prompt(counting(4)), greedy(10), sink, {}, client).ok();
    return taken ? sink : nullptr;
  };
  std::vector<std::shared_ptr<Collector>> greedy_ones;
  while (auto sink = submit(1)) greedy_ones.push_back(sink);
  EXPECT_GE(greedy_ones.size(), 8u);
  const auto other = submit(2);
  ASSERT_TRUE(other);
  other->wait();
  EXPECT_FALSE(greedy_ones[4]->finished()) << "clients take turns";
}

TEST(EngineLifecycle, AnAnswerEndsWhereTheContextEnds) {
  EngineConfig config = small_config();
  config.max_model_len = 40;
  ToyEngine engine(config);
  const Answer answer = engine.run(prompt(counting(30)), greedy(1000));
  EXPECT_EQ(answer.tokens.size(), 10u);
  EXPECT_EQ(answer.reason, FinishReason::kLength);
}

TEST(EngineLifecycle, DrainRefusesNewRequestsAndWaitsForTheOthers) {
  ToyEngine engine(small_config());
  engine.controls().step_delay_us = 1000;
  const auto running = engine.submit(prompt(counting(8)), greedy(60));
  EXPECT_FALSE(engine->drain(1ms));
  const auto refused =
      engine.try_submit(prompt(counting(8)), greedy(1), std::make_shared<Collector>());
  EXPECT_EQ(refused.error().kind, ErrorKind::kUnavailable);
  EXPECT_TRUE(engine->drain(10s));
  EXPECT_TRUE(running.sink->finished());
  EXPECT_EQ(running.wait().tokens.size(), 60u);
}

// A88
TEST(EngineLifecycle, CancelAllEndsWhatIsThereAndNothingLater) {
  ToyEngine engine(small_config());
  engine.controls().step_delay_us = 1000;
  std::vector<ToyEngine::Running> running;
  for (int i = 0; i < 30; ++i) running.push_back(engine.submit(prompt(counting(8)), greedy(200)));
  engine->cancel_all();
  for (const auto& r : running) EXPECT_EQ(r.wait().reason, FinishReason::kCancelled);
  EXPECT_EQ(engine.run(prompt(counting(8)), greedy(20)).tokens.size(), 20u);
}

TEST(EngineLifecycle, StoppingCancelsWhatIsLeft) {
  ToyEngine engine(small_config());
  engine.controls().step_delay_us = 1000;
  std::vector<ToyEngine::Running> running;
  for (int i = 0; i < 30; ++i) running.push_back(engine.submit(prompt(counting(8)), greedy(200)));
  engine.stop();
  for (const auto& r : running) {
    ASSERT_TRUE(r.sink->finished());
    EXPECT_EQ(r.wait().reason, FinishReason::kCancelled);
  }
}

// A81
TEST(EngineLifecycle, ANumericFaultEndsItsRequestOnly) {
  for (const int steps_in_flight : {1, 2}) {
    EngineConfig config = small_config();
    config.steps_in_flight = steps_in_flight;
    ToyEngine engine(config);
    const auto good = prompt(counting(20));
    const auto all = expected(*good, 30);
    int32_t poison = 30;  // a token the good request never meets
    while (std::ranges::count(all, poison) > 0) ++poison;
    engine.controls().nan_after = poison;
    const auto bad = engine.submit(prompt({5, 6, poison}), greedy(30));
    EXPECT_EQ(engine.run(good, greedy(30)).tokens, all);
    const Answer answer = bad.wait();
    EXPECT_EQ(answer.reason, FinishReason::kError);
    EXPECT_EQ(answer.error->code, "numeric_fault");
    EXPECT_EQ(answer.error->kind, ErrorKind::kInternal);
    EXPECT_TRUE(engine->stats().healthy);
  }
}

// A89
TEST(EngineLifecycle, AFaultOfAnyRankTellsEveryRequestAndStopsService) {
  for (const int bad_rank : {0, 1}) {
    EngineConfig config = small_config();
    config.tensor_parallel_size = 2;
    config.max_num_seqs = 2;
    std::string reason;
    std::atomic<int> fatal_calls = 0;
    config.on_fatal = [&](const std::string& r) {
      reason = r;
      ++fatal_calls;
    };
    ToyEngine engine(config);
    engine.controls().step_delay_us = 1000;
    std::vector<ToyEngine::Running> running;
    for (int i = 0; i < 4; ++i) running.push_back(engine.submit(prompt(counting(8)), greedy(200)));
    running[0].sink->wait_for_tokens(2);
    engine.controls().fail_on_rank = bad_rank;
    for (const auto& r : running) {
      const Answer answer = r.wait();
      EXPECT_EQ(answer.reason, FinishReason::kError);
      EXPECT_EQ(answer.error->code, "device_fault");
      EXPECT_NE(answer.error->message.find("on fire"), std::string::npos);
    }
    EXPECT_TRUE(eventually([&] { return fatal_calls == 1; }));
    EXPECT_NE(reason.find("rank " + std::to_string(bad_rank)), std::string::npos);
    EXPECT_FALSE(engine->stats().healthy);
    const auto refused =
        engine.try_submit(prompt(counting(8)), greedy(1), std::make_shared<Collector>());
    EXPECT_EQ(refused.error().kind, ErrorKind::kUnavailable);
    engine.stop();  // must not hang although the other rank waited for the one that failed
    EXPECT_EQ(fatal_calls, 1);
  }
}

// A90
TEST(EngineLifecycle, ARankThatHangsIsFoundAndNamed) {
  struct Case {
    int ranks, bad_rank;
    StepTimeLimits limits;
  };
  for (const Case& c :
       {Case{2, 0, {.rank = 300ms}}, Case{2, 1, {.rank = 300ms}}, Case{2, 1, {.step = 300ms}},
        Case{1, 0, {.step = 300ms}}, Case{1, 0, {.step = 100ms, .token = 25ms}}}) {  // prompts of 8
    EngineConfig config = small_config();
    config.tensor_parallel_size = c.ranks;
    config.time_limits = c.limits;
    std::promise<std::string> reason;
    config.on_fatal = [&](const std::string& r) { reason.set_value(r); };
    ToyEngine engine(config);
    engine.controls().hang_on_rank = c.bad_rank;
    const auto start = Clock::now();
    const auto running = engine.submit(prompt(counting(8)), greedy(20));
    const auto deadline = start + 10s;
    const auto late = engine.submit(prompt(counting(8)), greedy(20), deadline);
    for (const auto& r : {running, late}) {
      const Answer answer = r.wait();
      ASSERT_TRUE(answer.error.has_value());
      EXPECT_EQ(answer.error->code, "device_fault");
      EXPECT_NE(answer.error->message.find(fmt::format("rank {} failed: it hangs", c.bad_rank)),
                std::string::npos)
          << answer.error->message;
      EXPECT_EQ(answer.error->message.find("more than 100 ms"), std::string::npos)
          << "the tokens of the step were not counted: " << answer.error->message;
    }
    EXPECT_LT(Clock::now() - start, 2s);
    EXPECT_NE(reason.get_future().get().find("it hangs"), std::string::npos);
    EXPECT_FALSE(engine->stats().healthy);
    engine.controls().hang_on_rank = -1;
    engine.stop();
  }
}

// As after a stop of the whole process.
TEST(EngineLifecycle, TimeInWhichNobodyLookedIsNoHang) {
  EngineConfig config = small_config();
  config.time_limits = {.step = 1s};
  ToyEngine engine(config);
  engine.controls().step_delay_us = 1'600'000;
  const auto running = engine.submit(prompt(counting(8)), greedy(2));
  while (engine.controls().forwards == 0) std::this_thread::sleep_for(1ms);
  const auto blind = std::make_shared<model::Prompt>(*prompt(counting(20), {{3, 10, 1}}));
  const auto grid = std::make_shared<model::PatchGrid>(*blind->media[0].patches);
  grid->pixels.clear();
  blind->media[0].patches = grid;
  ASSERT_TRUE(engine->submit({.id = "id",
                              .prompt = blind,
                              .sampling = greedy(1),
                              .decode_media =
                                  [&](OnPrompt) {  // on the engine's thread
                                    std::this_thread::sleep_for(1300ms);
                                    engine.controls().step_delay_us = 0;
                                  },
                              .sink = std::make_shared<Collector>()}));
  EXPECT_EQ(running.wait().error, std::nullopt);
  EXPECT_TRUE(engine->stats().healthy);
}

TEST(EngineLifecycle, StatisticsAddUp) {
  ToyEngine engine(small_config());
  const Answer first = engine.run(prompt(counting(40)), greedy(10));
  EXPECT_EQ(first.stats.prompt_tokens, 40);
  EXPECT_EQ(first.stats.cached_tokens, 0);
  EXPECT_EQ(first.stats.generated_tokens, 10);
  EXPECT_LE(first.stats.arrival, first.stats.scheduled);
  EXPECT_LE(first.stats.scheduled, first.stats.first_token);
  EXPECT_LE(first.stats.first_token, first.stats.finished);
  const Answer second = engine.run(prompt(counting(40)), greedy(10));
  EXPECT_EQ(second.stats.cached_tokens, 32);  // the fifth block is given back
  const EngineStats stats = engine->stats();
  EXPECT_EQ(stats.prompt_tokens, 80u);
  EXPECT_EQ(stats.cached_tokens, 32u);
  EXPECT_EQ(stats.generated_tokens, 20u);
  EXPECT_EQ(stats.steps, 20u);
  EXPECT_EQ(stats.available_blocks, 256);
  EXPECT_LT(stats.free_blocks, 256);
}

TEST(EngineLifecycle, SleepsWhenThereIsNothingToDo) {
  ToyEngine engine(small_config());
  engine.run(prompt(counting(8)), greedy(3));
  const auto cpu_us = [] {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_utime.tv_sec * 1000000 + usage.ru_utime.tv_usec +
           usage.ru_stime.tv_sec * 1000000 + usage.ru_stime.tv_usec;
  };
  const auto before = cpu_us();
  const uint64_t forwards = engine.controls().forwards;
  std::this_thread::sleep_for(300ms);
  EXPECT_LT(cpu_us() - before, 30000);
  EXPECT_EQ(engine.controls().forwards, forwards);
}

}  // namespace
}  // namespace ernie::engine::toy
