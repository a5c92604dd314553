#include "media/fetcher.h"

#include <gtest/gtest.h>

#include <chrono>
#include <deque>
#include <future>
#include <stdexcept>
#include <string>

#include "media/test_server.h"

namespace ernie::media {
namespace {

constexpr auto kSoon = std::chrono::seconds(10);  // of fetches that last a minute
constexpr int kNotNow = 50;                       // ms

// One that waits a minute for a host.
FetchPolicy patient() {
  FetchPolicy policy;
  policy.allow_private_media = true;
  policy.timeout_ms = 60'000;
  policy.low_speed_s = 60;
  policy.max_transfers = 4;
  policy.max_transfers_per_client = 2;
  return policy;
}

class FetcherTest : public testing::Test {
 protected:
  // Outcomes outlive the fetcher, which ends what is left.
  struct Outcome {
    std::atomic<bool> cancelled = false;
    std::promise<std::string> text;  // the body or the error's code
    std::future<std::string> future = text.get_future();

    std::string get() {
      return future.wait_for(kSoon) == std::future_status::ready ? future.get() : "none";
    }
  };

  Outcome& fetch(ClientId client, const std::string& url) {
    Outcome& outcome = outcomes_.emplace_back();
    fetcher_.fetch(client, url, outcome.cancelled, [&outcome](Result<FetchedMedia> media) {
      outcome.text.set_value(media ? std::string(media->bytes.begin(), media->bytes.end())
                                   : media.error().code);
    });
    return outcome;
  }

  Listener silent_;
  TestServer quick_{[](const std::string&, int fd) { send_text(fd, answer("body")); }};
  std::deque<Outcome> outcomes_;
  Fetcher fetcher_{patient(), RequestMemory()};
};

// A53
TEST_F(FetcherTest, SlowHostsOfOthersKeepNobodyWaiting) {
  for (const ClientId client : {1, 2}) {
    for (int i = 0; i < 10; ++i) fetch(client, silent_.url("/"));
  }
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(silent_.connected(10'000));
  EXPECT_EQ(fetch(3, quick_.url("/")).get(), "body");
  EXPECT_FALSE(silent_.connected(kNotNow)) << "two transfers for each client";
}

// A87
TEST_F(FetcherTest, ACancelledFetchEndsAndTheNextOneBegins) {
  Outcome& first = fetch(1, silent_.url("/"));
  fetch(1, silent_.url("/"));
  Outcome& waiting = fetch(1, silent_.url("/"));
  Outcome& next = fetch(1, quick_.url("/"));
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(silent_.connected(10'000));
  waiting.cancelled = true;
  EXPECT_EQ(waiting.get(), "cancelled");
  EXPECT_EQ(next.future.wait_for(std::chrono::milliseconds(kNotNow)), std::future_status::timeout);
  first.cancelled = true;
  EXPECT_EQ(first.get(), "cancelled");
  EXPECT_EQ(next.get(), "body");
  EXPECT_FALSE(silent_.connected(kNotNow)) << "one that was cancelled before its turn";
}

// A88
TEST_F(FetcherTest, StoppingEndsWhatRunsWhatWaitsAndWhatComes) {
  for (int i = 0; i < 5; ++i) fetch(1, silent_.url("/"));
  EXPECT_TRUE(silent_.connected(10'000));
  fetcher_.stop();
  fetch(1, quick_.url("/"));
  for (Outcome& outcome : outcomes_) EXPECT_EQ(outcome.get(), "shutting_down");
}

// A91
TEST_F(FetcherTest, WhatFailsAtTheEndOfAFetchLeavesTheOthers) {
  const std::atomic<bool> never = false;
  fetcher_.fetch(1, quick_.url("/"), never, [](auto) { throw std::runtime_error("anything"); });
  EXPECT_EQ(fetch(1, quick_.url("/")).get(), "body");
}

}  // namespace
}  // namespace ernie::media
