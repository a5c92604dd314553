#include <algorithm>
#include <boost/json/serialize.hpp>
#include <utility>

#include "http/wire/parse_common.h"
#include "http/wire/tool_reader.h"

// OpenAI's Responses API, without state: https://platform.openai.com/docs/api-reference/responses.
namespace ernie::http {
namespace {

namespace json = boost::json;

constexpr size_t kMaxShownBytes = size_t{1} << 20;

// Turns the items of an input into messages of the conversation.
class ItemReader {
 public:
  explicit ItemReader(std::vector<text::ChatMessage>& out) : out_(out) {}

  void read(FieldReader& item) {
    const std::string type = item.string("type", 64).value_or("message");
    if (type == "message") {
      read_message(item);
    } else if (type == "function_call") {
      read_call(item);
    } else if (type == "function_call_output") {
      text::ChatMessage result{.role = "tool"};
      result.tool_call_id = item.string("call_id", kMaxNameBytes).value_or("");
      read_content(item, "output", result);
      out_.push_back(std::move(result));
    } else if (type == "reasoning") {
      read_reasoning(item);
    } else {
      item.fail("type",
                "is " + describe(json::value(type)) +
                    "; known types are message, function_call, function_call_output and "
                    "reasoning",
                "unsupported_parameter");
    }
  }

 private:
  static std::string role_of(FieldReader& item) {
    std::string role = item.string("role", 64).value_or("");
    if (role == "user" || role == "system" || role == "assistant") return role;
    if (role == "developer") return "system";
    item.fail("role",
              "should be user, assistant, system or developer, got " + describe(json::value(role)));
    return role;
  }

  void read_message(FieldReader& item) {
    const std::string role = role_of(item);
    const bool goes_on = role == "assistant" && !out_.empty() && out_.back().role == role &&
                         out_.back().parts.empty() && out_.back().tool_calls.is_null();
    if (!goes_on) out_.push_back({.role = role});
    read_content(item, "content", out_.back());
  }

  static void read_content(FieldReader& item, const char* key, text::ChatMessage& message) {
    const json::value* content = item.value(key);
    if (!content) return item.fail(key, "is missing", "missing_required_parameter");
    if (content->is_string()) {
      message.parts.push_back({text::PartKind::kText, std::string(content->as_string()), {}});
      return;
    }
    const json::array* parts = item.array(key);
    for (size_t i = 0; parts && i < parts->size(); ++i) {
      const std::string name = item.prefix() + key + "[" + std::to_string(i) + "]";
      const json::object* object = (*parts)[i].if_object();
      if (!object) {
        return item.fail(key, "should be a string or a list of objects");
      }
      FieldReader part(*object, name + ".");
      read_part(part, message);
      item.adopt(part);
    }
  }

  static void read_part(FieldReader& part, text::ChatMessage& message) {
    const std::string type = part.string("type", 64).value_or("");
    if (type == "input_text" || type == "output_text" || type == "text" || type == "refusal") {
      const char* key = type == "refusal" ? "refusal" : "text";
      auto text = part.string(key, kMaxTextBytes);
      if (!text) part.fail(key, "is missing", "missing_required_parameter");
      message.parts.push_back({text::PartKind::kText, text.value_or(""), {}});
    } else if (type == "input_image") {
      part.refuse("file_id", "send the picture as image_url");
      auto url = part.string("image_url", kMaxTextBytes);
      if (!url) part.fail("image_url", "is missing", "missing_required_parameter");
      message.parts.push_back({text::PartKind::kImage, {}, {url.value_or("")}});
    } else {
      part.fail("type",
                "is " + describe(json::value(type)) +
                    "; known types are input_text, input_image, output_text and refusal",
                "unsupported_parameter");
    }
  }

  text::ChatMessage& assistant() {
    if (out_.empty() || out_.back().role != "assistant") out_.push_back({.role = "assistant"});
    return out_.back();
  }

  void read_call(FieldReader& item) {
    add_call(item, item.string("call_id", kMaxNameBytes).value_or(""),
             item.string("name", kMaxNameBytes),
             item.string("arguments", kMaxTextBytes).value_or("{}"), assistant());
  }

  void read_reasoning(FieldReader& item) {
    std::string thoughts;
    for (const char* key : {"content", "summary"}) {
      const json::array* parts = item.array(key);
      for (size_t i = 0; thoughts.empty() && parts && i < parts->size(); ++i) {
        const json::object* part = (*parts)[i].if_object();
        const json::value* text = part ? part->if_contains("text") : nullptr;
        if (text && text->is_string()) thoughts += text->as_string();
      }
    }
    out_.push_back({.role = "assistant", .reasoning_content = std::move(thoughts)});
  }

  std::vector<text::ChatMessage>& out_;
};

Status read_input(FieldReader& fields, std::vector<text::ChatMessage>& out) {
  const json::value* input = fields.value("input");
  if (input && input->is_string()) {
    out.push_back(
        {.role = "user", .parts = {{text::PartKind::kText, std::string(input->as_string()), {}}}});
    return {};
  }
  const json::array* items = fields.array("input");
  if (!items || items->empty()) {
    fields.fail("input", "should be a string or a list of at least one item",
                "missing_required_parameter");
    return fields.status();
  }
  ItemReader reader(out);
  for (size_t i = 0; i < items->size(); ++i) {
    const std::string name = "input[" + std::to_string(i) + "]";
    const json::object* object = (*items)[i].if_object();
    if (!object) {
      return invalid_argument(name + " should be an object, got " + describe((*items)[i]), name);
    }
    FieldReader item(*object, name + ".");
    reader.read(item);
    if (Status s = item.status(); !s) return s;
  }
  return {};
}

void read_choice(FieldReader& fields, ToolReader& tools) {
  const json::value* choice = fields.value("tool_choice");
  if (!choice || *choice == "auto") return;
  if (*choice == "none") return tools.choose_none();
  if (*choice == "required") return tools.require(fields, "tool_choice");
  if (!choice->is_object()) {
    return fields.fail("tool_choice",
                       "should be auto, none, required or an object, got " + describe(*choice));
  }
  FieldReader reader(choice->as_object(), "tool_choice.");
  const std::string type = reader.string("type", 64).value_or("");
  if (type == "allowed_tools") {
    tools.keep_allowed(reader, "tool_choice", ToolReader::Form::kFlat);
  } else if (type != "function") {
    reader.fail("type", "should be function or allowed_tools, got " + describe(json::value(type)));
  } else if (const auto name = ToolReader::name_in(reader, ToolReader::Form::kFlat)) {
    tools.require(fields, "tool_choice");
    tools.keep({*name}, reader, "name");
  }
  fields.adopt(reader);
}

void refuse_state(FieldReader& fields) {
  const std::string stateless = "this server keeps no responses; send the whole conversation";
  for (const char* key : {"previous_response_id", "conversation", "background", "prompt"}) {
    fields.refuse(key, stateless);
  }
  fields.refuse("max_tool_calls", "functions are called by the client");
  fields.refuse("truncation", "shorten the input", "disabled");
  // What changes no answer.
  for (const char* key : {"store", "metadata", "user", "safety_identifier", "prompt_cache_key",
                          "prompt_cache_retention", "service_tier", "stream_options"}) {
    fields.value(key);
  }
}

void read_logprobs(FieldReader& fields, serve::GenerationOptions& options) {
  const json::array* include = fields.array("include");
  const bool wanted = include && std::ranges::any_of(*include, [](const json::value& each) {
                        return each == "message.output_text.logprobs";
                      });
  const auto top = fields.integer("top_logprobs", 0, 1'000'000);
  if (top.value_or(0) > 0 && !wanted) {
    fields.fail("top_logprobs", "needs \"include\": [\"message.output_text.logprobs\"]");
  }
  if (wanted) options.top_logprobs = static_cast<int>(top.value_or(0));
}

// What a response shows of its request; values are kept with it, so they have a bound.
json::object echo_of(FieldReader& fields, const json::object& body) {
  json::object echo{{"instructions", nullptr},
                    {"max_output_tokens", nullptr},
                    {"metadata", json::object()},
                    {"parallel_tool_calls", true},
                    {"reasoning", {{"effort", nullptr}, {"summary", nullptr}}},
                    {"temperature", nullptr},
                    {"text", {{"format", {{"type", "text"}}}}},
                    {"tool_choice", "auto"},
                    {"tools", json::array()},
                    {"top_logprobs", 0},
                    {"top_p", nullptr},
                    {"user", nullptr}};
  for (auto& member : echo) {
    const json::value* given = body.if_contains(member.key());
    if (!given || given->is_null()) continue;
    const size_t bytes = given->is_string() ? 0 : json::serialize(*given).size();
    if (bytes > kMaxShownBytes) {
      fields.fail(member.key(), "takes " + std::to_string(bytes) + " bytes; at most " +
                                    std::to_string(kMaxShownBytes) + " are allowed");
      break;
    }
    member.value() = *given;
  }
  return echo;
}

}  // namespace

Result<ParsedResponse> parse_response(const json::object& body) {
  FieldReader fields(body);
  ParsedResponse out;
  serve::ChatRequest& request = out.request;
  request.model = fields.string("model", 1024).value_or("");
  request.options = parse_options_of_one(fields);
  if (auto most = fields.integer("max_output_tokens", 1, INT32_MAX)) {
    request.options.max_tokens = static_cast<int>(*most);
  }
  out.stream = fields.boolean("stream").value_or(false);
  request.split_thinking = true;
  parse_thinking(fields, &request);

  ToolReader tools(fields, request);
  tools.read_list("tools", ToolReader::Form::kFlat);
  read_choice(fields, tools);
  request.tool_use.parallel = fields.boolean("parallel_tool_calls").value_or(true);
  tools.finish();
  refuse_state(fields);
  read_logprobs(fields, request.options);
  out.echo = echo_of(fields, body);

  std::vector<text::ChatMessage>& messages = request.chat.messages;
  if (auto instructions = fields.string("instructions", kMaxTextBytes)) {
    messages.push_back(
        {.role = "system", .parts = {{text::PartKind::kText, std::move(*instructions), {}}}});
  }
  if (Status s = fields.status(); !s) return s.error();
  if (Status s = read_input(fields, messages); !s) return s.error();
  out.unknown_fields = fields.unread_keys();
  return out;
}

}  // namespace ernie::http
