#include "http/api/routes.h"

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "base/percent.h"
#include "http/api/answer.h"
#include "http/api/request.h"

namespace ernie::http {
namespace {

namespace json = boost::json;

AnswerOptions answer_options(const ApiContext& context, const serve::GenerationOptions& options,
                             const StreamOptions& stream, bool is_chat) {
  AnswerOptions out;
  out.head = {options.request_id, context.model_name, unix_now()};
  out.stream = stream;
  out.show.logprobs = options.top_logprobs >= 0;
  out.show.prompt_logprobs = options.prompt_logprobs;
  out.show.token_ids = options.return_token_ids;
  out.show.split_reasoning =
      is_chat && context.service->config().syntax.thinking == text::AnswerSyntax::Thinking::kSplit;
  out.is_chat = is_chat;
  out.choices = options.n;
  out.memory = context.json.memory;
  return out;
}

Status serve_chat(const ApiContext& context, HttpRequest& http,
                  const std::shared_ptr<ResponseWriter>& writer,
                  const std::shared_ptr<Watch>& watch) {
  auto parsed = read_request(context, http, watch, parse_chat, "chatcmpl-");
  if (!parsed) return parsed.error();
  auto options = answer_options(context, parsed->request.options, parsed->stream, true);
  options.show.functions_only = parsed->functions_only;
  watch->set(
      context.service->chat(std::move(parsed->request), make_answer(std::move(options), writer)));
  return {};
}

Status serve_completion(const ApiContext& context, HttpRequest& http,
                        const std::shared_ptr<ResponseWriter>& writer,
                        const std::shared_ptr<Watch>& watch) {
  auto parsed = read_request(context, http, watch, parse_completion, "cmpl-");
  if (!parsed) return parsed.error();
  auto options = answer_options(context, parsed->request.options, parsed->stream, false);
  options.echo = parsed->request.echo;
  if (options.echo) options.show.echo_logprobs = parsed->request.options.top_logprobs;
  options.choices *= static_cast<int>(parsed->request.prompts.size());
  watch->set(context.service->complete(std::move(parsed->request),
                                       make_answer(std::move(options), writer)));
  return {};
}

json::object model_json(const ApiContext& context) {
  return {{"id", context.model_name},
          {"object", "model"},
          {"created", unix_now()},
          {"owned_by", "ernie.cpp"},
          {"root", context.model_name},
          {"parent", nullptr},
          {"max_model_len", context.engine->config().max_model_len},
          {"permission", json::array{}}};
}

constexpr std::string_view kModels = "/v1/models";

void list_models(const ApiContext& context, ResponseWriter& writer) {
  writer.send(200, "application/json",
              json::serialize(
                  json::object{{"object", "list"}, {"data", json::array{model_json(context)}}}));
}

void show_model(const ApiContext& context, const HttpRequest& request, ResponseWriter& writer) {
  const std::string_view path = request.path;
  // The server lets only whole escapes pass.
  const std::string id = percent_decoded(path.substr(kModels.size() + 1)).value_or("");
  if (id != context.model_name) return writer.send_error(model_not_served(context, id));
  writer.send(200, "application/json", json::serialize(model_json(context)));
}

}  // namespace

void register_api(Router& router, ApiContext api) {
  auto context = std::make_shared<const ApiContext>(std::move(api));
  const RouteOptions inference{.requires_json = true, .is_inference = true};
  router.add("POST", "/v1/chat/completions", inference, on_pool(context, serve_chat));
  router.add("POST", "/v1/completions", inference, on_pool(context, serve_completion));
  router.add("GET", std::string(kModels), {},
             [context](const HttpRequest&, const std::shared_ptr<ResponseWriter>& writer) {
               list_models(*context, *writer);
             });
  router.add("GET", std::string(kModels) + "/*", {},
             [context](const HttpRequest& request, const std::shared_ptr<ResponseWriter>& writer) {
               show_model(*context, request, *writer);
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
