#pragma once

#include <spdlog/sinks/base_sink.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>

namespace ernie::log {

// Log lines that a thread of its own writes to `fd`, so that nobody who logs waits for whoever
// reads them. Of lines that wait, the oldest are dropped and counted when they take more than
// `max_bytes`; the next line that is written says how many. A closed `fd` drops all.
class BackgroundSink : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit BackgroundSink(int fd, size_t max_bytes = size_t{256} << 10);
  ~BackgroundSink() override;  // stop() without a limit of its own: what can be written at once

  uint64_t dropped() const;

  // Writes what waits, for at most `limit`, and ends the thread. Later lines are dropped.
  void stop(std::chrono::milliseconds limit);

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override;
  void flush_() override {}

 private:
  class Writer;
  const std::shared_ptr<Writer> writer_;  // shared with its thread, which may hang in the system
  const bool colored_;
};

// Makes a BackgroundSink on stderr the program's log until it is destroyed, and gives the last
// lines a second.
class BackgroundLog {
 public:
  BackgroundLog();
  ~BackgroundLog();
  BackgroundLog(const BackgroundLog&) = delete;
  BackgroundLog& operator=(const BackgroundLog&) = delete;

  uint64_t dropped() const { return sink_->dropped(); }
  void stop();

 private:
  std::shared_ptr<BackgroundSink> sink_;
};

}  // namespace ernie::log
