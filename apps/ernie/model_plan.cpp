#include <algorithm>
#include <optional>

#include "engine/plan.h"
#include "engine/rank_sizes.h"
#include "json_flags.h"
#include "plan_report.h"

namespace ernie::app {
namespace {

constexpr const char* kGroups[] = {"1x24G", "1x48G",  "1x80G",  "2x80G",  "4x80G",
                                   "8x80G", "1x141G", "2x141G", "4x141G", "8x141G"};
constexpr const char* kStored = "stored";
constexpr const char* kQuantizations[] = {"bf16", "wint8", "wint4"};

engine::EngineConfig engine_config(const PlanOptions& options, const DeviceGroup& devices) {
  engine::EngineConfig config = options.serve.engine;
  config.tensor_parallel_size = devices.count;
  return config;
}

// Whether the ranks can share the model in this format, however much memory they have.
bool can_share(const PlanOptions& options, const engine::EngineConfig& config,
               const ops::Sizing& sizing) {
  return model::plan_memory(options.config, engine::load_options(config, options.config, 0),
                            config.tensor_parallel_size, sizing)
      .ok();
}

int64_t kv_tokens(const PlanOptions& options, const DeviceGroup& devices,
                  const std::optional<model::Quantization>& quantization) {
  engine::EngineConfig config = engine_config(options, devices);
  config.quantization = quantization;
  if (!can_share(options, config, devices.sizing())) return 0;
  try {
    const auto memory = engine::plan(options.config, config, devices.memory(), devices.sizing());
    return int64_t{memory.num_blocks} * config.block_size;
  } catch (const engine::NotEnoughMemory&) {
    return 0;
  }
}

// Of one of so many ranks. A pack is for one number of ranks, but its whole can be counted too.
model::PartSizes parts_of(const PlanOptions& options, const engine::EngineConfig& config, int ranks,
                          const ops::Sizing& sizing) {
  model::LoadOptions load = engine::load_options(config, options.config, 0);
  load.choice = model::LoadChoice::kDummy;
  return take(model::count_parts(options.config, load, ranks, sizing));
}

// A checkpoint that is quantised already is loaded as it is stored.
std::vector<std::string> table_columns(const PlanOptions& options) {
  if (!options.quantization.empty()) return {options.quantization};
  if (options.config.quantization.any()) return {kStored};
  return {std::begin(kQuantizations), std::end(kQuantizations)};
}

}  // namespace

ModelPlan plan_model(const PlanOptions& options, const DeviceGroup& devices) {
  const engine::EngineConfig config = engine_config(options, devices);
  ModelPlan plan;
  try {
    plan.memory = engine::plan(options.config, config, devices.memory(), devices.sizing());
  } catch (const engine::NotEnoughMemory& e) {
    plan.memory = e.report();
    plan.problem = e.what();
  }
  plan.whole = parts_of(options, config, 1, devices.sizing());
  plan.each = parts_of(options, config, devices.count, devices.sizing());
  return plan;
}

bool PlanTable::any_fits() const {
  return std::any_of(rows.begin(), rows.end(), [](const Row& row) {
    return std::any_of(row.kv_tokens.begin(), row.kv_tokens.end(),
                       [](int64_t tokens) { return tokens > 0; });
  });
}

PlanTable plan_table(const PlanOptions& options) {
  PlanTable table;
  table.quantizations = table_columns(options);
  for (const char* group : kGroups) {
    PlanTable::Row row{group, {}};
    for (const std::string& quantization : table.quantizations)
      row.kv_tokens.push_back(kv_tokens(
          options, parse_device_group(group),
          quantization == kStored ? std::nullopt : parse_quantization_flag(quantization).weights));
    table.rows.push_back(std::move(row));
  }
  return table;
}

}  // namespace ernie::app
