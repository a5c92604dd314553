#include "model_choice.h"

#include <fmt/format.h>

#include <filesystem>

#include "model/model_resolver.h"
#include "text/json_file.h"

namespace ernie::app {
namespace {

std::string builtin_names() {
  return fmt::format("{}", fmt::join(model::builtin_config_names(), ", "));
}

}  // namespace

ModelChoice choose_model(const std::string& model) {
  if (model.empty())
    throw StartError("--model is missing; it must be a folder, a config.json or one of " +
                     builtin_names());
  if (const auto builtin = model::builtin_config(model)) return {*builtin, {}};
  std::error_code ignored;
  if (std::filesystem::is_regular_file(model, ignored))
    return {take(model::parse_config(take(text::read_file(model)), model)), {}};
  const Result<std::string> found = model::resolve_model(model);
  if (!found)
    throw StartError(found.error().message + "; geometries that need no files: " + builtin_names());
  return {take(model::load_config(*found)), *found};
}

}  // namespace ernie::app
