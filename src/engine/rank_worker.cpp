#include "engine/rank_worker.h"

#include "base/thread_name.h"

namespace ernie::engine {

RankWorker::RankWorker(int index, std::unique_ptr<Communicator> comm)
    : comm_(std::move(comm)), thread_([this, index] { run(index); }) {}

RankWorker::~RankWorker() {
  tasks_.close();
  thread_.join();
}

void RankWorker::run(int index) {
  set_thread_name("ernie-rank" + std::to_string(index));
  Rank rank{.comm = *comm_};
  while (auto task = tasks_.pop()) (*task)(rank);
  // In this order, because each uses the ones before it.
  rank.runner.reset();
  rank.model.reset();
  rank.backend.reset();
}

}  // namespace ernie::engine
