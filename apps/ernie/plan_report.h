#pragma once

#include <string>
#include <vector>

#include "engine/engine.h"
#include "model/model.h"
#include "plan_options.h"

namespace ernie::app {

// What a model takes of devices.
struct ModelPlan {
  model::PartSizes whole;  // as one rank would hold it
  model::PartSizes each;   // of one rank
  engine::MemoryReport memory;
  std::string problem;  // why it does not fit, and what would; empty: it fits

  bool fits() const { return problem.empty(); }
};

// Throws StartError when flags contradict each other or the model.
ModelPlan plan_model(const PlanOptions& options, const DeviceGroup& devices);
std::string plan_text(const PlanOptions& options, const DeviceGroup& devices,
                      const ModelPlan& plan);
std::string plan_json(const PlanOptions& options, const DeviceGroup& devices,
                      const ModelPlan& plan);

// Tokens of the key-value cache on several groups of GPUs, by quantisation.
struct PlanTable {
  std::vector<std::string> quantizations;
  struct Row {
    std::string gpus;
    std::vector<int64_t> kv_tokens;  // 0: does not fit
  };
  std::vector<Row> rows;

  bool any_fits() const;
};

// By `options.quantization` if that is given. Throws StartError.
PlanTable plan_table(const PlanOptions& options);
std::string table_text(const PlanOptions& options, const PlanTable& table);
std::string table_json(const PlanOptions& options, const PlanTable& table);

}  // namespace ernie::app
