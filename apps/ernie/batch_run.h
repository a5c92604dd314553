#pragma once

#include <cstddef>
#include <functional>
#include <set>
#include <string>

#include "base/request_memory.h"
#include "http/router.h"

namespace ernie::app {

struct BatchFiles {
  std::string input;   // a line for each request: {"custom_id", "method", "url", "body"}
  std::string output;  // a line for each answer, in the order in which they end
};

// What there is to do.
struct BatchPlan {
  size_t lines = 0;            // of the input
  std::set<std::string> done;  // ids that the output has
};

// Checks every line of the input and reads which answers the output has from an earlier run, of
// which it cuts a last line that is not whole. Throws StartError that names file, line and field.
BatchPlan plan_batch(const BatchFiles& files);

struct BatchOptions {
  size_t parallel = 1;  // requests under way
  RequestMemory memory;
  std::function<bool()> stop = [] { return false; };  // no more requests are begun
  std::function<void(size_t answered, size_t failed)> progress = [](size_t, size_t) {};
};

struct BatchResult {
  size_t answered = 0;  // lines that the output has now
  size_t failed = 0;    // of those written now, with another status than 200
};

// Answers what the output does not have yet by the routes of `router`. Throws on what cannot be
// read or written.
BatchResult run_batch(const BatchFiles& files, const BatchPlan& plan, const http::Router& router,
                      const BatchOptions& options);

}  // namespace ernie::app
