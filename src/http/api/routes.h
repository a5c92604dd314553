#pragma once

#include <boost/json/object.hpp>
#include <functional>
#include <memory>
#include <string>

#include "engine/engine.h"
#include "http/api/watch.h"
#include "http/recent_errors.h"
#include "http/router.h"
#include "http/wire/parse.h"
#include "obs/metrics.h"
#include "serve/chat_service.h"

namespace ernie::http {

// What the routes of the API need; all of it outlives the server.
struct ApiContext {
  engine::Engine* engine = nullptr;
  serve::ChatService* service = nullptr;
  std::string model_name;          // as /v1/models and answers show it
  bool check_model_name = false;   // a request's "model" must be model_name
  bool cache_salt_by_key = false;  // caches are shared with requests of the same API key only
  JsonLimits json;
  std::shared_ptr<UnderWay> under_way = std::make_shared<UnderWay>();  // of all routes
};

// POST /v1/chat/completions and /v1/completions, GET /v1/models and each model below it.
void register_api(Router& router, ApiContext context);

// OpenAI's newer API, POST /v1/responses, and Anthropic's POST /v1/messages and
// /v1/messages/count_tokens.
void register_other_apis(Router& router, ApiContext context);

// What generates nothing: POST /tokenize, /detokenize, /render below either route of completions;
// and what this kind of model cannot do: POST /v1/embeddings, /v1/reward, /pooling, /score. And
// POST /v1/abort_requests.
void register_utilities(Router& router, ApiContext context);

// GET /health and /ping. `ready` is false while starting or draining.
void register_health(Router& router, const engine::Engine& engine, std::function<bool()> ready);

// GET /metrics. `refresh` brings gauges up to date before each scrape.
void register_metrics(Router& router, obs::Metrics& metrics, std::function<void()> refresh);

// What else an operator may ask, beside the metrics: GET /config-info answers `config_info`, GET
// /load how busy the engine is, GET /errors which answers failed last and why.
void register_status(Router& router, const engine::Engine& engine, const RecentErrors& errors,
                     const boost::json::object& config_info);

}  // namespace ernie::http
