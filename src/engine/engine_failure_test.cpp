#include <gtest/gtest.h>

#include <atomic>
#include <new>
#include <stdexcept>
#include <string>

#include "base/testing/failing_allocator.h"
#include "engine/test_support.h"

namespace ernie::engine::toy {
namespace {

bool eventually(const std::function<bool()>& condition) {
  for (int i = 0; i < 1000 && !condition(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return condition();
}

// Requests that make the thread allocate in all its ways.
struct Case {
  std::shared_ptr<const model::Prompt> prompt;
  SamplingParams params;
};
std::vector<Case> cases() {
  std::vector<Case> out{{prompt(counting(20)), greedy(6)},
                        {prompt(counting(30), {{4, 6, 9}}), greedy(6)},
                        {prompt(counting(25, 9)), scoring(greedy(3), 2)}};
  out[0].params.bad_words = {{1, 2, 3}};
  out[1].params.options.repetition_penalty = 1.0f + 1e-6f;
  return out;
}

// Fails the first allocation, in the next run a later one and so on. Each time every request ends
// once, right or with an error, and either the engine goes on or it says that it cannot. How many
// did.
int fail_each_allocation_of(const char* thread, const EngineConfig& usual = small_config()) {
  const std::vector<Case> all = cases();
  std::vector<std::vector<int32_t>> answers;
  {
    ToyEngine engine(usual);
    for (const Case& c : all) answers.push_back(engine.run(c.prompt, c.params).tokens);
  }
  bool failed = true;
  int alone = 0;
  int given_up = 0;
  for (int n = 1; failed; n += 1 + n / 20) {  // all the first ones, then fewer
    EngineConfig config = usual;
    std::atomic<int> fatal = 0;
    config.on_fatal = [&](const std::string&) { ++fatal; };
    ToyEngine engine(config);
    fail_allocation(thread, n);
    std::vector<std::pair<size_t, std::shared_ptr<Collector>>> open;
    for (size_t i = 0; i < all.size(); ++i) {
      const auto sink = std::make_shared<Collector>();
      if (engine.try_submit(all[i].prompt, all[i].params, sink)) open.emplace_back(i, sink);
    }
    int errors = static_cast<int>(all.size() - open.size());
    for (const auto& [i, sink] : open) {
      const Answer answer = sink->wait();
      if (answer.error) {
        ++errors;
      } else {
        EXPECT_EQ(answer.tokens, answers[i]) << n;
      }
    }
    failed = allocation_has_failed();
    fail_allocation("", 0);
    const auto last = std::make_shared<Collector>();
    const bool works = engine.try_submit(all[0].prompt, all[0].params, last).ok() &&
                       last->wait().tokens == answers[0];
    if (works) {
      EXPECT_LE(errors, 1) << n;
      alone += errors;
    } else {
      EXPECT_TRUE(eventually([&] { return fatal == 1; })) << n;
      EXPECT_FALSE(engine->stats().healthy) << n;
      ++given_up;
    }
  }
  return alone + given_up;
}

TEST(EngineFailure, A91AnyAllocationOfTheEnginesThreadMayFail) {
  for (const int steps_in_flight : {1, 2}) {
    EngineConfig config = small_config();
    config.steps_in_flight = steps_in_flight;
    EXPECT_GT(fail_each_allocation_of("ernie-engine", config), 0);
  }
}

TEST(EngineFailure, A91AnyAllocationOfAThreadThatSaysLateDrawsMayFail) {
  EngineConfig config = small_config();
  config.steps_in_flight = 2;
  config.late_threads = 3;
  fail_each_allocation_of("ernie-late", config);  // if it comes before the engine's thread
}

TEST(EngineFailure, A91AnyAllocationOfARanksThreadMayFail) {
  EXPECT_GT(fail_each_allocation_of("ernie-rank0"), 0);
}

class ThrowingSink : public EventSink {
 public:
  void on_token(const TokenEvent&) override { throw std::runtime_error("anything"); }
  void on_finish(FinishReason, const RequestStats&, const std::optional<Error>&) override {
    throw std::bad_alloc();
  }
};

TEST(EngineFailure, A91ASinkThatThrowsHoldsUpNobody) {
  ToyEngine engine(small_config());
  const Case first = cases()[0];
  ASSERT_TRUE(engine.try_submit(first.prompt, first.params, std::make_shared<ThrowingSink>()));
  EXPECT_EQ(engine.run(first.prompt, first.params).tokens.size(), 6u);
  EXPECT_TRUE(engine->drain(std::chrono::seconds(10))) << "its end counts";
}

}  // namespace
}  // namespace ernie::engine::toy
