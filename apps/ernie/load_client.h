#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "load_requests.h"
#include "samples.h"

namespace ernie::app {

// What came of a run. Failed requests count in nothing else.
struct LoadResult {
  int completed = 0;
  int failed = 0;
  int cut_off = 0;     // under way when the run was stopped
  int unreported = 0;  // completed ones without usage: their answers' pieces count as tokens
  std::map<std::string, int> failures;  // by reason; rare ones together
  int64_t prompt_tokens = 0;
  int64_t output_tokens = 0;
  double seconds = 0;
  int peak_concurrency = 0;
  Samples ttft, tpot, itl, e2el;  // seconds
};

struct LoadProgress {
  int completed = 0;
  int failed = 0;
  int running = 0;
  int64_t pieces = 0;  // of streams, so far
  double seconds = 0;
};

struct LoadHooks {
  std::function<void(const LoadProgress&)> progress;  // several times a second
  std::function<bool()> stop;                         // true: end now
};

// Sends `count` requests, those from number `first` on, at the rate and concurrency of `options`,
// and reads the streamed answers. All connections share this thread; one more makes the bodies, at
// most 64 ahead. Bodies and answers are dropped as requests end.
LoadResult run_load(const ServeBenchOptions& options, const LoadRequests& requests, uint64_t first,
                    int count, const LoadHooks& hooks);

}  // namespace ernie::app
