// ernie plan: says what memory a model takes and whether it fits, without weights and devices.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "commands.h"
#include "plan_report.h"
#include "print_error.h"

namespace ernie::app {

int run_plan(std::vector<std::string> args) {
  if (std::find(args.begin(), args.end(), "--help") != args.end() ||
      std::find(args.begin(), args.end(), "-h") != args.end()) {
    fmt::print("{}", plan_help());
    return 0;
  }
  const PlanOptions options = parse_plan_options(std::move(args), model::process_environment());
  for (const std::string& note : options.serve.notes) print_error("ernie: {}\n", note);
  if (!options.devices) {
    const PlanTable table = plan_table(options);
    fmt::print("{}", options.json ? table_json(options, table) : table_text(options, table));
    return table.any_fits() ? 0 : 1;
  }
  const ModelPlan plan = plan_model(options, *options.devices);
  fmt::print("{}", options.json ? plan_json(options, *options.devices, plan)
                                : plan_text(options, *options.devices, plan));
  return plan.fits() ? 0 : 1;
}

}  // namespace ernie::app
