#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <memory>
#include <string>

#include "http/api/routes.h"

namespace ernie::http {
namespace {

namespace json = boost::json;

std::string load_json(const engine::EngineStats& stats, const engine::EngineConfig& config) {
  const double used = stats.total_blocks - stats.available_blocks;
  return json::serialize(
      json::object{{"running", stats.running},
                   {"waiting", stats.waiting},
                   {"max_running", config.max_num_seqs},
                   {"max_waiting", config.max_waiting_requests},
                   {"kv_usage", stats.total_blocks == 0 ? 0.0 : used / stats.total_blocks},
                   {"kv_blocks",
                    {{"total", stats.total_blocks},
                     {"free", stats.free_blocks},
                     {"available", stats.available_blocks},
                     {"tokens_each", config.block_size}}},
                   {"totals",
                    {{"steps", stats.steps},
                     {"prompt_tokens", stats.prompt_tokens},
                     {"cached_tokens", stats.cached_tokens},
                     {"generated_tokens", stats.generated_tokens}}}});
}

}  // namespace

void register_status(Router& router, const engine::Engine& engine, const RecentErrors& errors,
                     const json::object& config_info) {
  const RouteOptions open{.requires_key = false};
  router.add("GET", "/load", open,
             [&engine](const HttpRequest&, const std::shared_ptr<ResponseWriter>& writer) {
               writer->send(200, "application/json", load_json(engine.stats(), engine.config()));
             });
  router.add("GET", "/errors", open,
             [&errors](const HttpRequest&, const std::shared_ptr<ResponseWriter>& writer) {
               writer->send(200, "application/json", errors.to_json());
             });
  router.add("GET", "/config-info", open,
             [text = json::serialize(config_info)](const HttpRequest&,
                                                   const std::shared_ptr<ResponseWriter>& writer) {
               writer->send(200, "application/json", text);
             });
}

}  // namespace ernie::http
