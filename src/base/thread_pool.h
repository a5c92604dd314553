#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace ernie {

// Runs the tasks of one parallel loop at a time on the calling thread and `threads - 1` workers.
// The caller never waits for a worker to wake up: it starts on the tasks at once, and what workers
// claim in the meantime they do. Idle workers spin for kSpinMicroseconds, then sleep.
//
// parallel_for() is for one thread at a time; it throws the first thing that a task throws, when
// all have ended.
class ThreadPool {
 public:
  // Workers are named `name`; without one as the thread that makes the pool.
  explicit ThreadPool(int threads, const std::string& name = {});
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls body(task, thread) for every task in [0, tasks), 0 <= thread < threads(), and returns
  // when all are done.
  template <class Body>
  void parallel_for(int64_t tasks, const Body& body) {
    run(tasks, &body, [](const void* context, int64_t task, int thread) {
      (*static_cast<const Body*>(context))(task, thread);
    });
  }

 private:
  using TaskFunction = void (*)(const void* context, int64_t task, int thread);
  static constexpr int kSpinMicroseconds = 100;

  void stop();  // and joins the workers
  void run(int64_t tasks, const void* context, TaskFunction function);
  void work(int thread);
  // Claims and runs tasks of the current loop until none is left.
  void drain(int thread);
  void run_task(int64_t task, int thread);

  TaskFunction function_ = nullptr;
  const void* context_ = nullptr;
  // Tasks of the current loop (upper half) and the next one to claim (lower half). A claim is a
  // compare-and-swap of the whole word, so it always belongs to the loop that is being run.
  alignas(64) std::atomic<uint64_t> ticket_{0};
  alignas(64) std::atomic<int64_t> done_{0};
  alignas(64) std::atomic<uint32_t> wake_{0};
  std::atomic<int> sleepers_{0};
  std::atomic<bool> stop_{false};
  std::mutex failure_mutex_;
  std::exception_ptr failure_;  // of the current loop; under failure_mutex_ until that is done
  std::vector<std::thread> workers_;
};

}  // namespace ernie
