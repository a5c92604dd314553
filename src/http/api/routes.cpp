#include "http/api/routes.h"

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <chrono>
#include <mutex>
#include <set>
#include <utility>

#include "base/failure.h"
#include "base/log.h"
#include "http/api/answer.h"
#include "http/wire/field_reader.h"
#include "http/wire/parse.h"

namespace ernie::http {
namespace {

namespace json = boost::json;

int64_t unix_now() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// Warns once for each name, for the first hundred names.
void warn_unknown_fields(const std::vector<std::string>& names) {
  static std::mutex mutex;
  static std::set<std::string> seen;
  std::lock_guard lock(mutex);
  for (const std::string& name : names) {
    if (seen.size() >= 100 || !seen.insert(name.substr(0, 64)).second) continue;
    std::string shown = name.substr(0, 64);
    for (char& c : shown) {
      if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7f) c = '?';
    }
    log::warn("requests carry the field \"{}\", which this server does not know and ignores",
              shown);
  }
}

Status check_model(const ApiContext& context, const std::string& model) {
  if (!context.check_model_name || model.empty() || model == "default" ||
      model == context.model_name) {
    return {};
  }
  return Error{ErrorKind::kNotFound,
               "the model " + describe(json::value(model)) +
                   " is not served here; this server has \"" + context.model_name + "\"",
               "model", "model_not_support"};
}

// Keeps the generation and its client together: a client that leaves cancels it.
class Watch : public std::enable_shared_from_this<Watch> {
 public:
  static std::shared_ptr<Watch> over(ResponseWriter& writer) {
    auto watch = std::make_shared<Watch>();
    writer.on_disconnect([watch] { watch->leave(); });
    return watch;
  }
  void set(std::shared_ptr<serve::Generation> generation) {
    std::unique_lock lock(mutex_);
    if (!gone_) {
      generation_ = std::move(generation);
      return;
    }
    lock.unlock();
    generation->cancel();
  }
  bool gone() {
    std::lock_guard lock(mutex_);
    return gone_;
  }

 private:
  void leave() {
    std::shared_ptr<serve::Generation> generation;
    {
      std::lock_guard lock(mutex_);
      gone_ = true;
      generation = std::move(generation_);
    }
    if (generation) generation->cancel();
  }

  std::mutex mutex_;
  bool gone_ = false;
  std::shared_ptr<serve::Generation> generation_;
};

AnswerOptions answer_options(const ApiContext& context, const serve::GenerationOptions& options,
                             const StreamOptions& stream, const std::string& request_id,
                             bool is_chat) {
  AnswerOptions out;
  const std::string& id = options.request_id.empty() ? request_id : options.request_id;
  out.head = {(is_chat ? "chatcmpl-" : "cmpl-") + id, context.model_name, unix_now()};
  out.stream = stream;
  out.show.logprobs = options.top_logprobs >= 0;
  out.show.token_ids = options.return_token_ids;
  out.show.split_reasoning =
      is_chat && context.service->config().syntax.thinking == text::AnswerSyntax::Thinking::kSplit;
  out.is_chat = is_chat;
  out.choices = options.n;
  out.memory = context.json.memory;
  return out;
}

// What both APIs do with a request: parse it, refuse another model's name, start the answer.
template <typename Parsed, typename Start>
void serve_parsed(const ApiContext& context, HttpRequest& request,
                  const std::shared_ptr<ResponseWriter>& writer,
                  const std::shared_ptr<Watch>& watch, Result<Parsed> (*parse)(const json::object&),
                  bool is_chat, Start start) {
  auto body = parse_json_object(request.body, context.json);
  if (!body) return writer->send_error(body.error());
  std::string().swap(request.body);  // its share stays, for the strings that parsing copies
  auto parsed = parse(*body);
  if (!parsed) return writer->send_error(parsed.error());
  body->clear();
  if (auto s = check_model(context, parsed->request.model); !s)
    return writer->send_error(s.error());
  warn_unknown_fields(parsed->unknown_fields);
  auto options =
      answer_options(context, parsed->request.options, parsed->stream, request.request_id, is_chat);
  parsed->request.options.request_id = options.head.id;
  parsed->request.options.client = request.client;
  if (context.cache_salt_by_key) {
    // Which the gate has checked.
    parsed->request.options.cache_salt += " of " + std::string(request.header("authorization")) +
                                          std::string(request.header("x-api-key"));
  }
  parsed->request.bytes = std::move(request.body_bytes);
  watch->set(start(std::move(*parsed), std::move(options)));
}

void serve_chat(const ApiContext& context, HttpRequest& request,
                const std::shared_ptr<ResponseWriter>& writer,
                const std::shared_ptr<Watch>& watch) {
  serve_parsed(context, request, writer, watch, parse_chat, true,
               [&](ParsedChat&& parsed, AnswerOptions options) {
                 options.show.functions_only = parsed.functions_only;
                 return context.service->chat(std::move(parsed.request),
                                              make_answer(std::move(options), writer));
               });
}

void serve_completion(const ApiContext& context, HttpRequest& request,
                      const std::shared_ptr<ResponseWriter>& writer,
                      const std::shared_ptr<Watch>& watch) {
  serve_parsed(context, request, writer, watch, parse_completion, false,
               [&](ParsedCompletion&& parsed, AnswerOptions options) {
                 serve::CompletionRequest& completion = parsed.request;
                 options.echo = completion.echo;
                 options.choices *= static_cast<int>(completion.prompts.size());
                 return context.service->complete(std::move(completion),
                                                  make_answer(std::move(options), writer));
               });
}

using Serve = void (*)(const ApiContext&, HttpRequest&, const std::shared_ptr<ResponseWriter>&,
                       const std::shared_ptr<Watch>&);

// Parsing belongs to the service's pool for text, not to the threads that move bytes.
Handler on_pool(std::shared_ptr<const ApiContext> context, Serve serve) {
  return [context, serve](HttpRequest request, std::shared_ptr<ResponseWriter> writer) {
    auto watch = Watch::over(*writer);
    auto shared = std::make_shared<HttpRequest>(std::move(request));
    const auto task = [context, serve, shared, writer, watch] {
      if (watch->gone()) return;
      try {
        serve(*context, *shared, writer, watch);
      } catch (const std::exception& e) {
        writer->send_error(failure_of_request(e));
      }
    };
    if (!context->service->post(shared->client, task))
      writer->send_error(
          {ErrorKind::kUnavailable, "the server is shutting down", {}, "shutting_down"});
  };
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
