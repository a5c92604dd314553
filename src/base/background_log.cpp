#include "base/background_log.h"

#include <fmt/format.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <condition_variable>
#include <deque>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "base/thread_name.h"

namespace ernie::log {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kPollMs = 50;  // how soon the writer sees that it has to end
constexpr std::chrono::seconds kLastLines{1};

const char* color_of(spdlog::level::level_enum level) {
  if (level >= spdlog::level::err) return "\x1b[31m\x1b[1m";
  return level == spdlog::level::warn ? "\x1b[33m\x1b[1m" : "\x1b[32m";
}

}  // namespace

class BackgroundSink::Writer {
 public:
  Writer(int fd, size_t max_bytes) : fd_(fd), max_bytes_(max_bytes) {}

  void push(std::string line) {
    std::lock_guard lock(mutex_);
    if (closing_) {
      ++dropped_;
      return;
    }
    bytes_ += line.size();
    lines_.push_back(std::move(line));
    for (; bytes_ > max_bytes_; ++dropped_) take();
    changed_.notify_all();
  }

  uint64_t dropped() const {
    std::lock_guard lock(mutex_);
    return dropped_;
  }

  void run() {
    set_thread_name("ernie-log");
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [&] { return closing_ || !lines_.empty(); });
      if (lines_.empty() || (closing_ && Clock::now() > deadline_)) break;
      std::string line = take();
      const uint64_t lost = dropped_ - reported_;
      reported_ = dropped_;
      lock.unlock();
      if (lost > 0) write_lost(lost);
      const bool written = write(line);
      lock.lock();
      if (!written) ++dropped_;
    }
    dropped_ += lines_.size();
    lines_.clear();
    ended_ = true;
    changed_.notify_all();
  }

  // Waits for the writer no longer than `limit` and a little more.
  void stop(std::chrono::milliseconds limit) {
    std::unique_lock lock(mutex_);
    deadline_ = closing_ ? std::min(deadline_, Clock::now() + limit) : Clock::now() + limit;
    closing_ = true;
    changed_.notify_all();
    changed_.wait_for(lock, limit + std::chrono::milliseconds(4 * kPollMs), [&] { return ended_; });
  }

 private:
  std::string take() {
    std::string line = std::move(lines_.front());
    lines_.pop_front();
    bytes_ -= line.size();
    return line;
  }

  bool given_up() const {
    std::lock_guard lock(mutex_);
    return closing_ && Clock::now() > deadline_;
  }

  void write_lost(uint64_t lines) {
    char text[64];  // this thread allocates nothing, which could fail
    const auto end = fmt::format_to_n(text, sizeof(text),
                                      "{} log lines were dropped: nobody read them\n", lines);
    write({text, end.out});
  }

  // False: the line, or the rest of it, went nowhere. A pipe that has room by poll() takes PIPE_BUF
  // bytes without blocking.
  bool write(std::string_view text) {
    while (!text.empty()) {
      pollfd room{.fd = fd_, .events = POLLOUT, .revents = 0};
      const int ready = poll(&room, 1, kPollMs);
      if (given_up()) return false;
      if (ready <= 0) continue;
      const ssize_t n = ::write(fd_, text.data(), std::min<size_t>(text.size(), PIPE_BUF));
      if (n < 0 && errno != EINTR && errno != EAGAIN) return false;
      if (n > 0) text.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }

  const int fd_;
  const size_t max_bytes_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::string> lines_;
  size_t bytes_ = 0;
  uint64_t dropped_ = 0;
  uint64_t reported_ = 0;
  bool closing_ = false;
  bool ended_ = false;
  Clock::time_point deadline_{};
};

BackgroundSink::BackgroundSink(int fd, size_t max_bytes)
    : writer_(std::make_shared<Writer>(fd, max_bytes)), colored_(isatty(fd)) {
  std::thread([writer = writer_] { writer->run(); }).detach();
}

BackgroundSink::~BackgroundSink() { stop(std::chrono::milliseconds(0)); }

uint64_t BackgroundSink::dropped() const { return writer_->dropped(); }

void BackgroundSink::stop(std::chrono::milliseconds limit) { writer_->stop(limit); }

void BackgroundSink::sink_it_(const spdlog::details::log_msg& message) {
  spdlog::memory_buf_t text;
  formatter_->format(message, text);
  std::string line(text.data(), text.size());
  if (colored_ && message.color_range_end > message.color_range_start) {
    line.insert(message.color_range_end, "\x1b[m");
    line.insert(message.color_range_start, color_of(message.level));
  }
  writer_->push(std::move(line));
}

BackgroundLog::BackgroundLog() : sink_(std::make_shared<BackgroundSink>(STDERR_FILENO)) {
  auto logger = std::make_shared<spdlog::logger>("ernie", sink_);
  logger->set_error_handler([](const std::string&) {});  // the default writes to stderr itself
  spdlog::set_default_logger(std::move(logger));
}

BackgroundLog::~BackgroundLog() { stop(); }

void BackgroundLog::stop() { sink_->stop(kLastLines); }

}  // namespace ernie::log
