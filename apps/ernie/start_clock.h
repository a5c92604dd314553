#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <mutex>
#include <string>

namespace ernie::app {

// Says on stderr what a start-up is doing and for how long: one line per phase with the seconds it
// took and the seconds since the beginning, so that the phases add up to the total. On a terminal
// the running phase is shown too, with a bar while bytes are loaded; elsewhere a line comes at each
// tenth, once a second at most. Thread-safe.
class StartClock {
 public:
  StartClock();

  void begin(const std::string& phase);  // ends the phase before it
  void progress(size_t done_bytes, size_t total_bytes);
  void end();  // of the last phase
  void note(const std::string& line);

  double seconds() const;  // since construction

 private:
  using Clock = std::chrono::steady_clock;
  void finish_phase();
  void print(const std::string& line);

  const bool terminal_;
  const Clock::time_point start_;
  std::mutex mutex_;
  std::string phase_;
  Clock::time_point phase_start_;
  Clock::time_point last_line_;
  int tenths_ = 0;
};

// Shows the loading of weights, and what follows it, as phases. To be given to the engine.
std::function<void(size_t done_bytes, size_t total_bytes)> load_progress(StartClock& clock);

}  // namespace ernie::app
