#include "base/thread_pool.h"

#include <chrono>
#include <utility>

#include "base/check.h"
#include "base/thread_name.h"

namespace ernie {
namespace {

constexpr int kSpinsBeforeYield = 2000;

inline void pause() { __builtin_ia32_pause(); }

bool has_tasks(uint64_t ticket) { return (ticket & 0xffffffffu) < (ticket >> 32); }

}  // namespace

ThreadPool::ThreadPool(int threads, const std::string& name) {
  CHECK(threads >= 1, "a thread pool needs at least 1 thread, got " + std::to_string(threads));
  workers_.reserve(static_cast<size_t>(threads - 1));
  try {
    for (int i = 1; i < threads; ++i) {
      workers_.emplace_back([this, i, name] {
        if (!name.empty()) set_thread_name(name);
        work(i);
      });
    }
  } catch (...) {  // the system gives no more threads; those that run must not outlive this
    stop();
    throw;
  }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() {
  stop_.store(true);
  wake_.fetch_add(1);
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::run(int64_t tasks, const void* context, TaskFunction function) {
  if (tasks <= 0) return;
  if (tasks == 1 || workers_.empty()) {
    for (int64_t i = 0; i < tasks; ++i) function(context, i, 0);
    return;
  }
  CHECK(tasks < INT64_C(1) << 31, "too many tasks in one loop: " + std::to_string(tasks));
  function_ = function;
  context_ = context;
  done_.store(0, std::memory_order_relaxed);
  // Sequentially consistent with sleepers_: either this thread sees the sleeper, or the sleeper
  // sees the tasks.
  ticket_.store(static_cast<uint64_t>(tasks) << 32);
  if (sleepers_.load() > 0) {
    wake_.fetch_add(1);
    wake_.notify_all();
  }
  drain(0);
  // A worker that lost its processor in the middle of a task gets it back sooner if this one
  // yields.
  for (int spins = 0; done_.load(std::memory_order_acquire) < tasks; ++spins) {
    spins < kSpinsBeforeYield ? pause() : std::this_thread::yield();
  }
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

void ThreadPool::run_task(int64_t task, int thread) {
  try {
    function_(context_, task, thread);
  } catch (...) {
    std::lock_guard lock(failure_mutex_);
    if (!failure_) failure_ = std::current_exception();
  }
}

void ThreadPool::drain(int thread) {
  uint64_t ticket = ticket_.load(std::memory_order_acquire);
  while (has_tasks(ticket)) {
    if (!ticket_.compare_exchange_weak(ticket, ticket + 1, std::memory_order_acq_rel)) continue;
    run_task(static_cast<int64_t>(ticket & 0xffffffffu), thread);
    done_.fetch_add(1, std::memory_order_release);
    ticket = ticket_.load(std::memory_order_acquire);
  }
}

void ThreadPool::work(int thread) {
  using Clock = std::chrono::steady_clock;
  while (!stop_.load(std::memory_order_relaxed)) {
    drain(thread);
    const auto sleep_at = Clock::now() + std::chrono::microseconds(kSpinMicroseconds);
    bool busy = false;
    while (!busy && Clock::now() < sleep_at) {
      for (int i = 0; i < 32 && !busy; ++i) {
        pause();
        busy = has_tasks(ticket_.load(std::memory_order_relaxed));
      }
    }
    if (busy) continue;
    const uint32_t seen = wake_.load();
    sleepers_.fetch_add(1);
    if (!has_tasks(ticket_.load()) && !stop_.load()) wake_.wait(seen);
    sleepers_.fetch_sub(1);
  }
}

}  // namespace ernie
