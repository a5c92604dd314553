#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "engine_bench_options.h"
#include "model_costs.h"
#include "start_clock.h"

namespace ernie::app {

// What the device can do at most, measured.
struct DeviceCeilings {
  double read_bytes_per_s = 0;
  double flops = 0;  // per second, bfloat16
};

// The least time that a cost can take, and which of memory and arithmetic sets it.
struct Floor {
  double seconds = 0;
  bool memory = true;
};
Floor floor_of(const StepCost& cost, const DeviceCeilings& ceilings);

struct DecodeFigure {
  int batch = 0;
  double step_seconds = 0;  // mean of a run, median of the runs
  int preemptions = 0;      // more than 0: the cache was too small for the batch
  StepCost cost;
};

struct PrefillFigure {
  int tokens = 0;
  double seconds = 0;  // from the first step to the first token, median
  StepCost cost;
};

// Time to the first token after one picture and a little text, medians.
struct ImageFigure {
  PictureSize size;
  int tokens = 0;
  double prepare_seconds = 0;   // scaling and cutting into patches, before the engine
  double cold_seconds = 0;      // in the engine, a picture never seen
  double repeated_seconds = 0;  // the same prompt again
  StepCost cold;
  StepCost repeated;
};

struct EngineBenchResult {
  std::string device;
  DeviceCeilings ceilings;
  std::vector<DecodeFigure> decode;
  std::vector<PrefillFigure> prefill;
  std::vector<ImageFigure> image;  // one, or none
  size_t weight_bytes = 0;         // of all ranks on a CPU, of one rank on GPUs
  size_t kv_bytes = 0;
  size_t peak_rss = 0;  // of the process, before the ceilings were measured
};

// Starts the engine, measures, ends it and measures the ceilings, saying so on `clock`. Throws
// StartError, or std::runtime_error when a request fails.
EngineBenchResult run_engine_bench(const EngineBenchOptions& options, StartClock& clock);

// The figures beside their floors, for people and for programs.
std::string engine_bench_table(const EngineBenchOptions& options, const EngineBenchResult& result);
std::string engine_bench_json(const EngineBenchOptions& options, const EngineBenchResult& result);

}  // namespace ernie::app
