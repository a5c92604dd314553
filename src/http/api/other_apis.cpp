#include <utility>

#include "http/api/answer.h"
#include "http/api/request.h"
#include "http/api/routes.h"
#include "http/wire/anthropic_form.h"
#include "http/wire/responses_form.h"

// Newer APIs over the same service.
namespace ernie::http {
namespace {

Result<ParsedChat> parse_message(const boost::json::object& body) { return parse_anthropic(body); }
Result<ParsedChat> parse_count(const boost::json::object& body) {
  return parse_anthropic(body, /*count_only=*/true);
}

Status serve_message(const ApiContext& context, HttpRequest& http,
                     const std::shared_ptr<ResponseWriter>& writer,
                     const std::shared_ptr<Watch>& watch) {
  auto parsed = read_request(context, http, watch, parse_message, "msg_");
  if (!parsed) return parsed.error();
  AnswerHead head{parsed->request.options.request_id, context.model_name};
  auto form = anthropic_form(std::move(head));
  watch->set(context.service->chat(
      std::move(parsed->request),
      make_answer(std::move(form), parsed->stream.stream, context.json.memory, writer)));
  return {};
}

Status serve_response(const ApiContext& context, HttpRequest& http,
                      const std::shared_ptr<ResponseWriter>& writer,
                      const std::shared_ptr<Watch>& watch) {
  auto parsed = read_request(context, http, watch, parse_response, "resp_");
  if (!parsed) return parsed.error();
  AnswerHead head{parsed->request.options.request_id, context.model_name, unix_now()};
  auto form = responses_form(std::move(head), std::move(parsed->echo));
  watch->set(context.service->chat(
      std::move(parsed->request),
      make_answer(std::move(form), parsed->stream, context.json.memory, writer)));
  return {};
}

Status serve_count(const ApiContext& context, HttpRequest& http,
                   const std::shared_ptr<ResponseWriter>& writer,
                   const std::shared_ptr<Watch>& watch) {
  auto parsed = read_request(context, http, watch, parse_count, "msg_");
  if (!parsed) return parsed.error();
  // What an answer must look like costs no token of the prompt, but time.
  parsed->request.options.format.reset();
  parsed->request.tool_use = {};
  watch->set(context.service->render(
      std::move(parsed->request), [writer](Result<std::vector<serve::RenderedPrompt>> rendered) {
        if (!rendered) return writer->send_error(rendered.error());
        const size_t tokens = rendered->front().prompt->tokens.size();
        writer->send(200, "application/json", anthropic_count(static_cast<int>(tokens)));
      }));
  return {};
}

}  // namespace

void register_other_apis(Router& router, ApiContext api) {
  auto context = std::make_shared<const ApiContext>(std::move(api));
  const RouteOptions anthropic{
      .requires_json = true, .is_inference = true, .errors = ErrorForm::kAnthropic};
  router.add("POST", "/v1/responses", {.requires_json = true, .is_inference = true},
             on_pool(context, serve_response));
  router.add("POST", "/v1/messages", anthropic, on_pool(context, serve_message));
  router.add("POST", "/v1/messages/count_tokens", anthropic, on_pool(context, serve_count));
}

}  // namespace ernie::http
