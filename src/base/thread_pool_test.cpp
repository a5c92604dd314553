#include "base/thread_pool.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <stdexcept>

namespace ernie {
namespace {

TEST(ThreadPool, RunsEveryTaskOnceAndSeesItsResults) {
  for (int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    std::vector<int> hits(1000);  // plain ints: a race would show under the thread sanitizer
    for (int round = 0; round < 300; ++round) {
      const int64_t tasks = round % 17 == 0 ? 0 : (round * 37) % 1000;
      std::fill(hits.begin(), hits.end(), 0);
      pool.parallel_for(tasks, [&](int64_t task, int thread) {
        ASSERT_GE(thread, 0);
        ASSERT_LT(thread, threads);
        ++hits[static_cast<size_t>(task)];
      });
      for (int64_t i = 0; i < 1000; ++i) ASSERT_EQ(hits[static_cast<size_t>(i)], i < tasks ? 1 : 0);
    }
  }
}

TEST(ThreadPool, ThreadNumbersAreNeverSharedAtOneTime) {
  ThreadPool pool(4);
  std::vector<int> busy(4);
  for (int round = 0; round < 200; ++round) {
    pool.parallel_for(64, [&](int64_t, int thread) {
      int& mine = busy[static_cast<size_t>(thread)];
      ASSERT_EQ(++mine, 1);
      ASSERT_EQ(--mine, 0);
    });
  }
}

TEST(ThreadPool, WorksAgainAfterItsWorkersFellAsleep) {
  ThreadPool pool(3);
  for (int round = 0; round < 20; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    std::atomic<int> sum{0};
    pool.parallel_for(100, [&](int64_t task, int) { sum += static_cast<int>(task); });
    ASSERT_EQ(sum.load(), 4950);
  }
}

TEST(ThreadPool, IdleWorkersUseNoProcessorTime) {
  ThreadPool pool(4);
  pool.parallel_for(8, [](int64_t, int) {});
  const auto cpu_us = [] {
    rusage u{};
    getrusage(RUSAGE_SELF, &u);
    return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 + u.ru_utime.tv_usec +
           u.ru_stime.tv_usec;
  };
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const auto before = cpu_us();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_LT(cpu_us() - before, 20000);
}

TEST(ThreadPool, WhatATaskThrowsReachesTheCaller) {
  for (const int threads : {1, 4}) {
    ThreadPool pool(threads);
    std::atomic<int> done = 0;
    const auto some_throw = [&](int64_t task, int) {
      if (task % 10 == 3) throw std::runtime_error("anything");
      ++done;
    };
    EXPECT_THROW(pool.parallel_for(100, some_throw), std::runtime_error);
    if (threads > 1) {
      EXPECT_EQ(done, 90) << "the others run";
    }
    done = 0;
    pool.parallel_for(100, [&](int64_t, int) { ++done; });
    EXPECT_EQ(done, 100);
  }
}

}  // namespace
}  // namespace ernie
