#pragma once

#include <memory>
#include <mutex>

#include "http/message.h"
#include "serve/output.h"

namespace ernie::http {

// Keeps a generation and its client together: a client that leaves cancels it. Lives as long as the
// request is under way. Thread-safe.
class Watch {
 public:
  static std::shared_ptr<Watch> over(ResponseWriter& writer);

  void set(std::shared_ptr<serve::Generation> generation);
  bool gone();

 private:
  void leave();

  std::mutex mutex_;
  bool gone_ = false;
  std::shared_ptr<serve::Generation> generation_;
};

}  // namespace ernie::http
