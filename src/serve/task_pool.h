#pragma once

#include <exception>
#include <functional>
#include <thread>
#include <utility>
#include <vector>

#include "base/client_id.h"
#include "base/fair_queue.h"
#include "base/log.h"

namespace ernie::serve {

// Threads that run tasks, for which clients take turns. Its end waits for all tasks. Thread-safe.
class TaskPool {
 public:
  // Each client has `at_once` of the threads at most.
  TaskPool(int threads, int at_once) : tasks_(static_cast<size_t>(at_once)) {
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
  }
  ~TaskPool() {
    tasks_.close();
    for (auto& thread : threads_) thread.join();
  }

  bool post(ClientId client, std::function<void()> task) {
    return tasks_.push(client, std::move(task));
  }

 private:
  // What fails in a task ends that task alone.
  void work() {
    while (auto task = tasks_.pop()) {
      try {
        task->value();
      } catch (const std::exception& e) {
        log::error("a task of the service failed: {}", e.what());
      }
      tasks_.done(task->client);
    }
  }

  FairQueue<std::function<void()>> tasks_;
  std::vector<std::thread> threads_;
};

}  // namespace ernie::serve
