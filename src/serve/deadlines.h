#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

namespace ernie::serve {

// Calls back at given times, on a thread of its own. Thread-safe.
class Deadlines {
 public:
  using Time = std::chrono::steady_clock::time_point;

  Deadlines();
  ~Deadlines();

  // `call`, which must not throw, is not begun once what is returned has been dropped; this object
  // outlives that.
  std::shared_ptr<const void> at(Time time, std::function<void()> call);

 private:
  using Key = std::pair<Time, uint64_t>;

  void run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<Key, std::function<void()>> calls_;
  uint64_t next_ = 0;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace ernie::serve
