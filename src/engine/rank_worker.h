#pragma once

#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <thread>

#include "base/queue.h"
#include "comm/communicator.h"
#include "engine/model_runner.h"
#include "engine/watchdog.h"

namespace ernie::engine {

// One rank: a thread that owns a backend, a shard of the model and its part of the cache. Whatever
// touches them is posted to that thread and runs there in order.
class RankWorker {
 public:
  struct Rank {
    Communicator& comm;
    std::unique_ptr<ops::Backend> backend;
    std::unique_ptr<model::Model> model;
    std::unique_ptr<ModelRunner> runner;
  };
  using Task = std::function<void(Rank&)>;

  RankWorker(int index, std::unique_ptr<Communicator> comm);
  ~RankWorker();  // runs what is queued and joins
  RankWorker(const RankWorker&) = delete;
  RankWorker& operator=(const RankWorker&) = delete;

  // Runs a task that must not throw.
  void post(Task task);

  RankProgress progress() const;  // any thread

  // See Communicator::check() and set_time_limit(). Any thread.
  void check_collectives() { comm_->check(); }
  void limit_collectives(std::chrono::milliseconds limit) { comm_->set_time_limit(limit); }

  // Frees a rank that waits for one that failed; its task then throws.
  void abort_collectives() { comm_->abort(); }

  // Runs a task and hands its result or exception to the caller.
  template <typename F>
  auto call(F f) -> std::future<std::invoke_result_t<F, Rank&>> {
    auto task = std::make_shared<std::packaged_task<std::invoke_result_t<F, Rank&>(Rank&)>>(f);
    auto future = task->get_future();
    post([task](Rank& rank) { (*task)(rank); });
    return future;
  }

 private:
  void run(int index);

  const std::unique_ptr<Communicator> comm_;
  Queue<Task> tasks_;
  mutable std::mutex mutex_;
  RankProgress progress_;  // under mutex_
  std::thread thread_;
};

}  // namespace ernie::engine
