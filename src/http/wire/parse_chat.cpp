#include <boost/json/serialize.hpp>
#include <utility>

#include "http/wire/parse_common.h"

namespace ernie::http {
namespace {

namespace json = boost::json;

constexpr size_t kMaxTemplateKwargs = 16 * 1024;

int depth_of(const json::value& value) {
  int deepest = 0;
  if (value.is_array()) {
    for (const auto& item : value.as_array()) deepest = std::max(deepest, depth_of(item));
  } else if (value.is_object()) {
    for (const auto& member : value.as_object())
      deepest = std::max(deepest, depth_of(member.value()));
  } else {
    return 0;
  }
  return deepest + 1;
}

void parse_template_kwargs(FieldReader& fields, serve::ChatRequest* request) {
  const json::object* kwargs = fields.object("chat_template_kwargs");
  if (!kwargs) return;
  if (json::serialize(*kwargs).size() > kMaxTemplateKwargs || depth_of(json::value(*kwargs)) > 32) {
    fields.fail("chat_template_kwargs", "may be at most 16 KB of JSON and nest at most 32 deep");
    return;
  }
  for (const char* reserved :
       {"messages", "tools", "documents", "tokenize", "add_generation_prompt"}) {
    if (kwargs->contains(reserved)) {
      fields.fail("chat_template_kwargs", std::string("may not set \"") + reserved + "\"");
    }
  }
  request->chat.template_kwargs = *kwargs;
  FieldReader inner(*kwargs, "chat_template_kwargs.");
  if (auto thinking = inner.boolean("enable_thinking")) request->chat.enable_thinking = thinking;
  if (const json::object* options = inner.object("options")) {
    FieldReader mode(*options, "chat_template_kwargs.options.");
    if (auto word = mode.string("thinking_mode", 16)) {
      if (*word == "open") {
        request->chat.enable_thinking = true;
      } else if (*word == "close" || *word == "false") {
        request->chat.enable_thinking = false;
      } else {
        mode.fail("thinking_mode",
                  "should be open, close or false, got " + describe(json::value(*word)));
      }
    }
    inner.adopt(mode);
  }
  fields.adopt(inner);
}

// Old clients carry these fields in "metadata"; anything else in it is theirs.
void parse_metadata(FieldReader& fields, serve::ChatRequest* request) {
  const json::object* metadata = fields.object("metadata");
  if (!metadata) return;
  FieldReader inner(*metadata, "metadata.");
  inner.refuse("raw_request", "send the request itself");
  request->chat.enable_thinking = inner.boolean("enable_thinking");
  if (auto v = inner.integer("reasoning_max_tokens", 0, INT32_MAX)) {
    request->reasoning_limit.tokens = static_cast<int>(*v);
  }
  if (auto v = inner.integer("max_streaming_response_tokens", 1, INT32_MAX)) {
    request->options.max_streaming_response_tokens = static_cast<int>(*v);
  }
  fields.adopt(inner);
}

void parse_continuation(FieldReader& fields, serve::ChatRequest* request) {
  request->chat.continue_final_message = fields.boolean("continue_final_message").value_or(false);
  request->chat.add_generation_prompt =
      fields.boolean("add_generation_prompt").value_or(!request->chat.continue_final_message);
  if (request->chat.continue_final_message && request->chat.add_generation_prompt) {
    fields.fail("continue_final_message", "cannot go with \"add_generation_prompt\": true",
                "conflicting_parameters");
  }
}

}  // namespace

Result<ParsedChat> parse_chat(const json::object& body) {
  FieldReader fields(body);
  ParsedChat out;
  out.request.model = fields.string("model", 1024).value_or("");
  const json::array* messages = fields.array("messages");
  if (!messages)
    fields.fail("messages", "is missing: a list of messages is required",
                "missing_required_parameter");
  if (messages && messages->empty())
    fields.fail("messages", "is empty: at least one message is required");

  out.request.options = parse_options(fields);
  out.stream = parse_stream_options(fields);
  parse_metadata(fields, &out.request);
  parse_template_kwargs(fields, &out.request);
  parse_thinking(fields, &out.request);
  parse_continuation(fields, &out.request);
  const bool logprobs = fields.boolean("logprobs").value_or(false);
  const auto top = fields.integer("top_logprobs", 0, 1'000'000);
  if (top.value_or(0) > 0 && !logprobs) fields.fail("top_logprobs", "needs \"logprobs\": true");
  if (logprobs) out.request.options.top_logprobs = static_cast<int>(top.value_or(0));
  if (auto of_prompt = fields.integer("prompt_logprobs", 0, 1'000'000)) {
    out.request.options.prompt_logprobs = static_cast<int>(*of_prompt);
  }
  parse_tools(fields, &out.request, &out.functions_only);
  refuse_unsupported(fields);
  fields.refuse("disable_chat_template", "use /v1/completions");
  fields.refuse("prompt_token_ids", "use /v1/completions with a list of ids");
  fields.refuse("echo", "use /v1/completions");
  if (auto status = fields.status(); !status) return status.error();

  auto parsed = parse_messages(*messages);
  if (!parsed) return parsed.error();
  out.request.chat.messages = std::move(*parsed);
  if (out.request.chat.continue_final_message &&
      out.request.chat.messages.back().role != "assistant") {
    return invalid_argument(
        "continue_final_message needs a last message of the assistant, whose text the answer goes "
        "on with",
        "continue_final_message");
  }
  out.unknown_fields = fields.unread_keys();
  return out;
}

}  // namespace ernie::http
