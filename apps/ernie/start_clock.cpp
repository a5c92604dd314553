#include "start_clock.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

#include "print_error.h"

namespace ernie::app {
namespace {

constexpr size_t kBarWidth = 30;
constexpr std::chrono::seconds kLinePause{1};

double gib(size_t bytes) { return static_cast<double>(bytes) / (size_t{1} << 30); }

double seconds_between(auto from, auto to) {
  return std::chrono::duration<double>(to - from).count();
}

}  // namespace

StartClock::StartClock() : terminal_(isatty(STDERR_FILENO)), start_(Clock::now()) {}

void StartClock::print(const std::string& line) {
  print_error("{}{}\n", terminal_ ? "\r\x1b[K" : "", line);
  std::fflush(stderr);
  last_line_ = Clock::now();
}

void StartClock::finish_phase() {
  if (phase_.empty()) return;
  const auto now = Clock::now();
  print(fmt::format("{:28} {:7.2f} s  (at {:.2f} s)", phase_, seconds_between(phase_start_, now),
                    seconds_between(start_, now)));
  phase_.clear();
}

void StartClock::begin(const std::string& phase) {
  std::lock_guard lock(mutex_);
  finish_phase();
  phase_ = phase;
  phase_start_ = Clock::now();
  tenths_ = 0;
  if (terminal_) {
    print_error("{} ...", phase_);
    std::fflush(stderr);
  }
}

void StartClock::progress(size_t done_bytes, size_t total_bytes) {
  std::lock_guard lock(mutex_);
  if (total_bytes == 0) return;
  const double share = static_cast<double>(done_bytes) / static_cast<double>(total_bytes);
  const std::string amount = fmt::format("{:.2f} of {:.2f} GiB", gib(done_bytes), gib(total_bytes));
  if (terminal_) {
    const size_t filled = static_cast<size_t>(share * kBarWidth);
    print_error("\r\x1b[K{} [{}{}] {}", phase_, std::string(filled, '#'),
                std::string(kBarWidth - filled, ' '), amount);
    std::fflush(stderr);
  } else if (static_cast<int>(share * 10) > tenths_ && Clock::now() > last_line_ + kLinePause) {
    tenths_ = static_cast<int>(share * 10);
    print(fmt::format("{}: {} % ({})", phase_, tenths_ * 10, amount));
  }
}

void StartClock::end() {
  std::lock_guard lock(mutex_);
  finish_phase();
}

void StartClock::note(const std::string& line) {
  std::lock_guard lock(mutex_);
  print(line);
}

double StartClock::seconds() const { return seconds_between(start_, Clock::now()); }

std::function<void(size_t, size_t)> load_progress(StartClock& clock) {
  enum Stage { kPlanning, kLoading, kLoaded };
  return [&clock, stage = kPlanning](size_t done, size_t total) mutable {
    if (stage == kPlanning) {
      clock.begin("load weights");
      stage = kLoading;
    }
    if (stage == kLoading) clock.progress(done, total);
    if (stage == kLoading && done >= total) {
      clock.begin("make the cache and warm up");
      stage = kLoaded;
    }
  };
}

}  // namespace ernie::app
