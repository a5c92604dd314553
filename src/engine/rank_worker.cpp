#include "engine/rank_worker.h"

#include "base/thread_name.h"

namespace ernie::engine {

RankWorker::RankWorker(int index, std::unique_ptr<Communicator> comm)
    : comm_(std::move(comm)), thread_([this, index] { run(index); }) {}

RankWorker::~RankWorker() {
  tasks_.close();
  thread_.join();
}

void RankWorker::post(Task task) {
  {
    std::lock_guard lock(mutex_);
    ++progress_.tasks_left;
  }
  tasks_.push(std::move(task));
}

RankProgress RankWorker::progress() const {
  std::lock_guard lock(mutex_);
  RankProgress progress = progress_;
  progress.waiting_since = comm_->waiting_since();
  return progress;
}

void RankWorker::run(int index) {
  set_thread_name("ernie-rank" + std::to_string(index));
  Rank rank{.comm = *comm_};
  while (auto task = tasks_.pop()) {
    (*task)(rank);
    std::lock_guard lock(mutex_);
    --progress_.tasks_left;
    progress_.last_end = Clock::now();
  }
  // In this order, because each uses the ones before it.
  rank.runner.reset();
  rank.model.reset();
  rank.backend.reset();
}

}  // namespace ernie::engine
