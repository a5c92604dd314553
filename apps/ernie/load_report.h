#pragma once

#include <string>

#include "load_client.h"

namespace ernie::app {

// What a run measured, for people and for programs. The latter has the names of vLLM's benchmark.
std::string load_table(const ServeBenchOptions& options, const LoadResult& result);
std::string load_json(const ServeBenchOptions& options, const std::string& model,
                      const LoadResult& result);

}  // namespace ernie::app
