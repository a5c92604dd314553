#include "base/background_log.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <spdlog/logger.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <memory>
#include <string>
#include <thread>

namespace ernie::log {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

class BackgroundLogTest : public testing::Test {
 protected:
  BackgroundLogTest() {
    std::signal(SIGPIPE, SIG_IGN);
    EXPECT_EQ(pipe(ends_), 0);
    sink_ = std::make_shared<BackgroundSink>(ends_[1], kBytes);
    logger_ = std::make_unique<spdlog::logger>("test", sink_);
    logger_->set_pattern("%v");
  }
  ~BackgroundLogTest() override {
    sink_->stop(milliseconds(0));
    close(ends_[0]);
    close(ends_[1]);
  }

  // What the pipe gives until it gives nothing for a moment.
  std::string read_all() {
    fcntl(ends_[0], F_SETFL, O_NONBLOCK);
    std::string text;
    char buffer[4096];
    for (auto last = Clock::now(); Clock::now() - last < milliseconds(300);) {
      const ssize_t n = read(ends_[0], buffer, sizeof(buffer));
      if (n > 0) {
        text.append(buffer, static_cast<size_t>(n));
        last = Clock::now();
      } else {
        std::this_thread::sleep_for(milliseconds(5));
      }
    }
    return text;
  }

  static constexpr size_t kBytes = 10'000;
  int ends_[2] = {};
  std::shared_ptr<BackgroundSink> sink_;
  std::unique_ptr<spdlog::logger> logger_;
};

// A92
TEST_F(BackgroundLogTest, LinesComeWholeAndInOrder) {
  std::string expected;
  for (int i = 0; i < 100; ++i) {
    logger_->info("line {}", i);
    expected += "line " + std::to_string(i) + "\n";
  }
  sink_->stop(milliseconds(5'000));
  EXPECT_EQ(read_all(), expected);
  EXPECT_EQ(sink_->dropped(), 0u);
}

// A92
TEST_F(BackgroundLogTest, APipeThatNobodyReadsHoldsUpNobody) {
  const auto begin = Clock::now();
  for (int i = 0; i < 50'000; ++i) logger_->info("line {:5}", i);
  EXPECT_LT(Clock::now() - begin, milliseconds(5'000));
  const uint64_t dropped = sink_->dropped();
  EXPECT_GT(dropped, 40'000u);
  const std::string text = read_all();
  EXPECT_TRUE(text.ends_with("line 49999\n")) << "the newest lines are kept";
  EXPECT_NE(text.find(" log lines were dropped"), std::string::npos);
  int64_t lines = 0;
  for (size_t at = 0; (at = text.find("line ", at)) != std::string::npos; ++at) ++lines;
  EXPECT_EQ(lines, 50'000 - static_cast<int64_t>(dropped));
}

// A92
TEST_F(BackgroundLogTest, StoppingHasALimit) {
  for (int i = 0; i < 50'000; ++i) logger_->info("line {:5}", i);
  const auto begin = Clock::now();
  sink_->stop(milliseconds(100));
  EXPECT_LT(Clock::now() - begin, milliseconds(2'000));
  logger_->info("goes nowhere");
}

// A92
TEST_F(BackgroundLogTest, AClosedPipeDropsAndCounts) {
  close(ends_[0]);
  for (int i = 0; i < 100; ++i) logger_->info("line {}", i);
  sink_->stop(milliseconds(5'000));
  EXPECT_EQ(sink_->dropped(), 100u);
  ends_[0] = open("/dev/null", O_RDONLY);
}

}  // namespace
}  // namespace ernie::log
