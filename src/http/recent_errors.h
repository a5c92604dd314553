#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <mutex>
#include <string>

#include "http/server.h"

namespace ernie::http {

// The last answers that failed, for GET /errors. Those of one route and reason are one entry with
// their number, so that a client that repeats itself hides no other. Holds no text that a client
// chose but the id of its request: an error's message may quote a prompt. Thread-safe.
class RecentErrors {
 public:
  static constexpr size_t kKept = 50;

  void add(const AccessRecord& record);  // kept if it failed; clients that left did not
  std::string to_json() const;           // the latest first

 private:
  struct Entry {
    std::chrono::system_clock::time_point time;
    AccessRecord record;  // of the latest
    int count = 0;
  };

  mutable std::mutex mutex_;
  std::deque<Entry> entries_;
};

}  // namespace ernie::http
