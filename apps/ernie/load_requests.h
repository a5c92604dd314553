#pragma once

#include <cstdint>
#include <string>

#include "serve_bench_options.h"

namespace ernie::app {

// Makes the bodies of the requests. A body depends on the options and its number only.
class LoadRequests {
 public:
  // Throws nothing. `model` is the name that requests use.
  LoadRequests(const ServeBenchOptions& options, std::string model)
      : options_(options), model_(std::move(model)) {}

  const char* path() const { return options_.chat ? "/v1/chat/completions" : "/v1/completions"; }

  // JSON. Takes milliseconds for each large picture.
  std::string body(uint64_t number) const;

 private:
  ServeBenchOptions options_;
  std::string model_;
};

}  // namespace ernie::app
