#include "http/api/routes.h"

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <chrono>
#include <utility>

#include "http/api/answer.h"
#include "http/api/request.h"

namespace ernie::http {
namespace {

namespace json = boost::json;

int64_t unix_now() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

AnswerOptions answer_options(const ApiContext& context, const serve::GenerationOptions& options,
                             const StreamOptions& stream, bool is_chat) {
  AnswerOptions out;
  out.head = {options.request_id, context.model_name, unix_now()};
  out.stream = stream;
  out.show.logprobs = options.top_logprobs >= 0;
  out.show.token_ids = options.return_token_ids;
  out.show.split_reasoning = is_chat && !context.service->config().reasoning_parser.empty();
  out.is_chat = is_chat;
  out.choices = options.n;
  out.memory = context.json.memory;
  return out;
}

Status serve_chat(const ApiContext& context, HttpRequest& http,
                  const std::shared_ptr<ResponseWriter>& writer,
                  const std::shared_ptr<Watch>& watch) {
  auto parsed = read_request(context, http, parse_chat, "chatcmpl-");
  if (!parsed) return parsed.error();
  auto options = answer_options(context, parsed->request.options, parsed->stream, true);
  watch->set(
      context.service->chat(std::move(parsed->request), make_answer(std::move(options), writer)));
  return {};
}

Status serve_completion(const ApiContext& context, HttpRequest& http,
                        const std::shared_ptr<ResponseWriter>& writer,
                        const std::shared_ptr<Watch>& watch) {
  auto parsed = read_request(context, http, parse_completion, "cmpl-");
  if (!parsed) return parsed.error();
  auto options = answer_options(context, parsed->request.options, parsed->stream, false);
  options.echo = parsed->request.echo;
  options.choices *= static_cast<int>(parsed->request.prompts.size());
  watch->set(context.service->complete(std::move(parsed->request),
                                       make_answer(std::move(options), writer)));
  return {};
}

std::string models_json(const ApiContext& context) {
  json::object model{{"id", context.model_name},
                     {"object", "model"},
                     {"created", unix_now()},
                     {"owned_by", "ernie.cpp"},
                     {"root", context.model_name},
                     {"parent", nullptr},
                     {"max_model_len", context.engine->config().max_model_len},
                     {"permission", json::array{}}};
  return json::serialize(json::object{{"object", "list"}, {"data", json::array{std::move(model)}}});
}

}  // namespace

void register_api(Router& router, ApiContext api) {
  auto context = std::make_shared<const ApiContext>(std::move(api));
  const RouteOptions inference{.requires_json = true, .is_inference = true};
  router.add("POST", "/v1/chat/completions", inference, on_pool(context, serve_chat));
  router.add("POST", "/v1/completions", inference, on_pool(context, serve_completion));
  router.add("GET", "/v1/models", {},
             [context](HttpRequest, std::shared_ptr<ResponseWriter> writer) {
               writer->send(200, "application/json", models_json(*context));
             });
}

void register_health(Router& router, const engine::Engine& engine, std::function<bool()> ready) {
  for (const char* path : {"/health", "/ping"}) {
    router.add("GET", path, {.requires_key = false},
               [&engine, ready](HttpRequest, std::shared_ptr<ResponseWriter> writer) {
                 if (ready() && engine.stats().healthy) {
                   return writer->send(200, "application/json", R"({"status":"ok"})");
                 }
                 writer->send_error(
                     {ErrorKind::kUnavailable,
                      "the server cannot take requests now: it is starting, shutting down or "
                      "has lost its device",
                      {},
                      "not_ready"});
               });
  }
}

void register_metrics(Router& router, obs::Metrics& metrics, std::function<void()> refresh) {
  router.add("GET", "/metrics", {.requires_key = false},
             [&metrics, refresh = std::move(refresh)](HttpRequest,
                                                      std::shared_ptr<ResponseWriter> writer) {
               refresh();
               writer->send(200, "text/plain; version=0.0.4; charset=utf-8", metrics.render());
             });
}

}  // namespace ernie::http
