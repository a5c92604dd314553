#pragma once

#include <CLI/App.hpp>
#include <boost/json/object.hpp>

#include "options.h"
#include "served_model.h"

namespace ernie::app {

// The flags of `app`, parsed, as strangers may see them: of those that hold a key, a path or a
// template only whether they are set. Flags without a value and without a default are null.
boost::json::object shown_flags(const CLI::App& app);

// What GET /config-info answers: flags, of which those that the start decided have its values, the
// engine, the model's geometry and the memory plan.
boost::json::object config_info(const ServeOptions& options, ServedModel& model,
                                double start_seconds);

}  // namespace ernie::app
