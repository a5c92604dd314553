// Routes that look at prompts and do not generate.
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value_from.hpp>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "http/api/request.h"
#include "http/wire/parse_abort.h"
#include "http/wire/parse_tokenize.h"
#include "http/wire/render_tokens.h"

namespace ernie::http {
namespace {

namespace json = boost::json;

using Prompts = std::vector<serve::RenderedPrompt>;

constexpr const char* kJson = "application/json";
constexpr size_t kMaxAbortBytes = size_t{1} << 20;
constexpr size_t kIdBytes = 8;      // digits and a comma
constexpr size_t kTokenBytes = 40;  // the text of most tokens, as a string and in JSON

// Takes the bytes of an answer out of the budget while `make` makes it; the writer takes its own.
template <typename Make>
void send_bounded(const ApiContext& context, ResponseWriter& writer, size_t bytes, Make make) {
  std::string text;
  {
    const auto share = context.json.memory.held->acquire(bytes);
    if (!share) return writer.send_error(context.json.memory.exhausted());
    text = make();
  }
  writer.send(200, kJson, std::move(text));
}

void send_tokens(const ApiContext& context, ResponseWriter& writer, std::span<const int32_t> tokens,
                 bool token_strs) {
  const size_t bytes = tokens.size() * (kIdBytes + (token_strs ? kTokenBytes : 0));
  send_bounded(context, writer, bytes, [&] {
    std::optional<std::vector<std::string>> strs;
    if (token_strs) {
      strs.emplace();
      for (const int32_t& id : tokens) strs->push_back(context.service->decode({&id, 1}));
    }
    return tokenize_answer(tokens, strs, context.engine->config().max_model_len);
  });
}

Status serve_tokenize(const ApiContext& context, HttpRequest& http,
                      const std::shared_ptr<ResponseWriter>& writer,
                      const std::shared_ptr<Watch>& watch) {
  auto parsed = read_body(context, http, parse_tokenize);
  if (!parsed) return parsed.error();
  if (auto s = check_model(context, parsed->model); !s) return s;
  const bool token_strs = parsed->token_strs;
  if (!parsed->chat) {
    const auto tokens = context.service->encode(parsed->prompt);
    if (!tokens) return tokens.error();
    send_tokens(context, *writer, *tokens, token_strs);
    return {};
  }
  set_owner(context, http, watch, "tokenize-", parsed->chat->options);
  parsed->chat->bytes = std::move(http.body_bytes);
  watch->set(context.service->render(
      std::move(*parsed->chat), [context, writer, token_strs](const Result<Prompts>& prompts) {
        if (!prompts) return writer->send_error(prompts.error());
        send_tokens(context, *writer, prompts->front().prompt->tokens, token_strs);
      }));
  return {};
}

Status serve_detokenize(const ApiContext& context, HttpRequest& http,
                        const std::shared_ptr<ResponseWriter>& writer,
                        const std::shared_ptr<Watch>&) {
  const auto parsed = read_body(context, http, [&](const json::object& body) {
    return parse_detokenize(body, context.service->vocab_size(),
                            context.engine->config().max_model_len);
  });
  if (!parsed) return parsed.error();
  if (auto s = check_model(context, parsed->model); !s) return s;
  send_bounded(context, *writer, parsed->tokens.size() * kTokenBytes,
               [&] { return detokenize_answer(context.service->decode(parsed->tokens)); });
  return {};
}

size_t shown_bytes(const Prompts& prompts) {
  size_t bytes = 0;
  for (const auto& prompt : prompts)
    bytes += prompt.prompt->tokens.size() * kIdBytes + 2 * prompt.text.size();
  return bytes;
}

// `show` makes the answer of the prompts and the length of the context.
template <typename Parsed, typename Show>
Status serve_render(const ApiContext& context, HttpRequest& http,
                    const std::shared_ptr<ResponseWriter>& writer,
                    const std::shared_ptr<Watch>& watch,
                    Result<Parsed> (*parse)(const json::object&), Show show) {
  auto parsed = read_request(context, http, watch, parse, "render-");
  if (!parsed) return parsed.error();
  watch->set(context.service->render(
      std::move(parsed->request), [context, writer, show](const Result<Prompts>& prompts) {
        if (!prompts) return writer->send_error(prompts.error());
        send_bounded(context, *writer, shown_bytes(*prompts),
                     [&] { return show(*prompts, context.engine->config().max_model_len); });
      }));
  return {};
}

Status serve_rendered_chat(const ApiContext& context, HttpRequest& http,
                           const std::shared_ptr<ResponseWriter>& writer,
                           const std::shared_ptr<Watch>& watch) {
  return serve_render(
      context, http, writer, watch, parse_chat,
      [](const Prompts& prompts, int len) { return rendered_chat(prompts.front(), len); });
}

Status serve_rendered_completion(const ApiContext& context, HttpRequest& http,
                                 const std::shared_ptr<ResponseWriter>& writer,
                                 const std::shared_ptr<Watch>& watch) {
  return serve_render(context, http, writer, watch, parse_completion, rendered_completion);
}

// What only models with other heads can answer.
void refuse_embedding(const HttpRequest&, const std::shared_ptr<ResponseWriter>& writer) {
  writer->send_error(invalid_argument(
      "this server's model generates text and has no head for embeddings, scores or rewards; send "
      "the request to a server of a model that has one",
      {}, "unsupported_by_model"));
}

// Short work, done at once: it must not wait behind what it is to end.
Status abort_requests(const ApiContext& context, HttpRequest& http, ResponseWriter& writer) {
  const auto parsed = read_body(context, http, parse_abort);
  if (!parsed) return parsed.error();
  std::vector<std::string> aborted, not_found;
  if (parsed->all) aborted = context.under_way->abort(http.client, {});
  for (const std::string& id : parsed->ids) {
    const bool found = !context.under_way->abort(http.client, id).empty();
    (found ? aborted : not_found).push_back(id);
  }
  writer.send(200, kJson,
              json::serialize(json::object{{"aborted", json::value_from(aborted)},
                                           {"not_found", json::value_from(not_found)}}));
  return {};
}

}  // namespace

void register_utilities(Router& router, ApiContext api) {
  auto context = std::make_shared<const ApiContext>(std::move(api));
  const RouteOptions inference{.requires_json = true, .is_inference = true};
  router.add("POST", "/tokenize", inference, on_pool(context, serve_tokenize));
  router.add("GET", "/tokenizer_info", {},
             [context](const HttpRequest&, const std::shared_ptr<ResponseWriter>& writer) {
               writer->send(200, kJson,
                            tokenizer_info(context->service->special_tokens(),
                                           context->service->chat_template(),
                                           context->service->vocab_size()));
             });
  router.add("POST", "/detokenize", inference, on_pool(context, serve_detokenize));
  router.add("POST", "/v1/chat/completions/render", inference,
             on_pool(context, serve_rendered_chat));
  router.add("POST", "/v1/completions/render", inference,
             on_pool(context, serve_rendered_completion));
  router.add("POST", "/v1/abort_requests",
             {.requires_json = true, .max_body_bytes = kMaxAbortBytes},
             [context](HttpRequest http, const std::shared_ptr<ResponseWriter>& writer) {
               if (auto s = abort_requests(*context, http, *writer); !s)
                 writer->send_error(s.error());
             });
  for (const char* path : {"/v1/embeddings", "/v1/reward", "/pooling", "/score"})
    router.add("POST", path, inference, refuse_embedding);
}

}  // namespace ernie::http
