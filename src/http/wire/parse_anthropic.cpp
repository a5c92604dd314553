#include <boost/json/serialize.hpp>
#include <utility>

#include "http/wire/parse_common.h"
#include "http/wire/tool_reader.h"

// Anthropic's Messages API: https://docs.anthropic.com/en/api/messages.
namespace ernie::http {
namespace {

namespace json = boost::json;

// Turns the blocks of one message into messages of the conversation: a result of a tool is one of
// its own.
class BlockReader {
 public:
  BlockReader(std::string role, std::vector<text::ChatMessage>& out)
      : role_(std::move(role)), out_(out) {}

  Status read(const json::value& content, const std::string& name) {
    open();
    if (content.is_string()) {
      message().parts.push_back({text::PartKind::kText, std::string(content.as_string()), {}});
      return {};
    }
    if (!content.is_array()) {
      return invalid_argument(
          name + " should be a string or a list of blocks, got " + describe(content), name);
    }
    const json::array& blocks = content.as_array();
    for (size_t i = 0; i < blocks.size(); ++i) {
      const std::string place = name + "[" + std::to_string(i) + "]";
      if (!blocks[i].is_object()) {
        return invalid_argument(place + " should be an object, got " + describe(blocks[i]), place);
      }
      FieldReader block(blocks[i].as_object(), place + ".");
      const std::string type = block.string("type", 64).value_or("");
      if (type == "tool_result" && role_ == "user") {
        if (Status s = read_result(block, place); !s) return s;
      } else if (type == "tool_use" && role_ == "assistant") {
        read_call(block);
      } else if (type == "thinking" && role_ == "assistant") {
        message().reasoning_content += block.string("thinking", kMaxTextBytes).value_or("");
      } else if (type != "redacted_thinking") {
        add_part(block, type, message());
      }
      if (Status s = block.status(); !s) return s;
    }
    return {};
  }

 private:
  void open() {
    out_.push_back({.role = role_});
    is_open_ = true;
  }
  text::ChatMessage& message() {
    if (!is_open_) open();
    return out_.back();
  }

  static void add_part(FieldReader& block, const std::string& type, text::ChatMessage& message) {
    if (type == "text") {
      auto text = block.string("text", kMaxTextBytes);
      if (!text) block.fail("text", "is missing", "missing_required_parameter");
      message.parts.push_back({text::PartKind::kText, text.value_or(""), {}});
    } else if (type == "image") {
      message.parts.push_back({text::PartKind::kImage, {}, {image_url(block)}});
    } else {
      block.fail("type",
                 "is " + describe(json::value(type)) +
                     "; here stand text and image, in an answer also tool_use and thinking, behind "
                     "calls tool_result",
                 "unsupported_parameter");
    }
  }

  static std::string image_url(FieldReader& block) {
    const json::object* source = block.object("source");
    if (!source) {
      block.fail("source", "is missing", "missing_required_parameter");
      return {};
    }
    FieldReader reader(*source, block.prefix() + "source.");
    const std::string type = reader.string("type", 64).value_or("");
    std::string url;
    if (type == "base64") {
      const std::string media_type = reader.string("media_type", 64).value_or("image/png");
      url = "data:" + media_type + ";base64," + reader.string("data", kMaxTextBytes).value_or("");
    } else if (type == "url") {
      url = reader.string("url", kMaxTextBytes).value_or("");
    } else {
      reader.fail("type", "should be base64 or url, got " + describe(json::value(type)));
    }
    block.adopt(reader);
    return url;
  }

  void read_call(FieldReader& block) {
    const json::object* input = block.object("input");
    add_call(block, block.string("id", kMaxNameBytes).value_or(""),
             block.string("name", kMaxNameBytes), input ? json::serialize(*input) : "{}",
             message());
  }

  Status read_result(FieldReader& block, const std::string& place) {
    // Nothing before it: the message is that of the results alone.
    if (is_open_ && out_.back().parts.empty()) out_.pop_back();
    is_open_ = false;
    text::ChatMessage result{.role = "tool"};
    result.tool_call_id = block.string("tool_use_id", kMaxNameBytes).value_or("");
    const bool failed = block.boolean("is_error").value_or(false);
    if (failed) result.parts.push_back({text::PartKind::kText, "Error: ", {}});
    if (const json::value* content = block.value("content")) {
      std::vector<text::ChatMessage> inner;
      if (Status s = BlockReader("tool", inner).read(*content, place + ".content"); !s) return s;
      for (text::ChatMessage& each : inner) {
        std::move(each.parts.begin(), each.parts.end(), std::back_inserter(result.parts));
      }
    }
    out_.push_back(std::move(result));
    return {};
  }

  const std::string role_;
  std::vector<text::ChatMessage>& out_;
  bool is_open_ = false;  // the last message may take more parts
};

Status read_messages(const json::array& messages, std::vector<text::ChatMessage>& out) {
  for (size_t i = 0; i < messages.size(); ++i) {
    const std::string name = "messages[" + std::to_string(i) + "]";
    if (!messages[i].is_object()) {
      return invalid_argument(name + " should be an object, got " + describe(messages[i]), name);
    }
    FieldReader fields(messages[i].as_object(), name + ".");
    const std::string role = fields.string("role", 64).value_or("");
    if (role != "user" && role != "assistant" && role != "system") {
      fields.fail("role", "should be user or assistant, got " + describe(json::value(role)));
    }
    const json::value* content = fields.value("content");
    if (!content) fields.fail("content", "is missing", "missing_required_parameter");
    if (Status s = fields.status(); !s) return s;
    if (Status s = BlockReader(role, out).read(*content, name + ".content"); !s) return s;
  }
  return {};
}

void read_choice(FieldReader& fields, ToolReader& tools, serve::ChatRequest& request) {
  const json::object* choice = fields.object("tool_choice");
  if (!choice) return;
  FieldReader reader(*choice, "tool_choice.");
  const std::string type = reader.string("type", 16).value_or("auto");
  if (type == "none") {
    tools.choose_none();
  } else if (type == "any") {
    tools.require(reader, "type");
  } else if (type == "tool") {
    tools.require(reader, "type");
    if (const auto name = ToolReader::name_in(reader, ToolReader::Form::kSchema)) {
      tools.keep({*name}, reader, "name");
    }
  } else if (type != "auto") {
    reader.fail("type", "should be auto, any, tool or none, got " + describe(json::value(type)));
  }
  request.tool_use.parallel = !reader.boolean("disable_parallel_tool_use").value_or(false);
  fields.adopt(reader);
}

void read_system(FieldReader& fields, std::vector<text::ChatMessage>& out) {
  const json::value* system = fields.value("system");
  if (!system) return;
  if (Status s = BlockReader("system", out).read(*system, "system"); !s) fields.adopt(s.error());
}

}  // namespace

Result<ParsedChat> parse_anthropic(const json::object& body, bool count_only) {
  FieldReader fields(body);
  ParsedChat out;
  serve::ChatRequest& request = out.request;
  request.model = fields.string("model", 1024).value_or("");
  request.options = parse_options_of_one(fields);
  fields.refuse("top_logprobs", "use /v1/chat/completions", 0);
  if (!request.options.max_tokens && !count_only) {
    fields.fail("max_tokens", "is missing", "missing_required_parameter");
  }
  if (fields.value("stop_sequences")) {
    request.options.stop = fields.strings("stop_sequences", kMaxStopStrings, kMaxStopBytes);
  }
  out.stream.stream = fields.boolean("stream").value_or(false);

  ToolReader tools(fields, request);
  tools.read_list("tools", ToolReader::Form::kSchema);
  read_choice(fields, tools, request);
  tools.finish();
  request.split_thinking = true;
  parse_thinking(fields, &request);
  // Who does not ask for thinking does not expect any.
  std::optional<bool>& thinks = request.chat.enable_thinking;
  if (!thinks) thinks = fields.value("thinking") || request.reasoning_limit.tokens;
  for (const char* key : {"container", "mcp_servers", "context_management"}) {
    fields.refuse(key, "this server cannot do it");
  }
  if (fields.value("thread")) {
    // The code tells the client to send whole conversations from now on.
    fields.fail("thread", "is not supported: this server holds no conversations",
                "thread_unsupported_request");
  }
  for (const char* key : {"metadata", "service_tier", "betas", "inference_geo"}) fields.value(key);

  const json::array* messages = fields.array("messages");
  if (!messages || messages->empty()) {
    fields.fail("messages", "should be a list of at least one message",
                "missing_required_parameter");
  }
  read_system(fields, request.chat.messages);
  if (Status s = fields.status(); !s) return s.error();
  if (Status s = read_messages(*messages, request.chat.messages); !s) return s.error();
  // An answer that the client has begun goes on.
  const text::ChatMessage& last = request.chat.messages.back();
  if (last.role == "assistant" && last.tool_calls.is_null() && !last.parts.empty()) {
    request.chat.continue_final_message = true;
    request.chat.add_generation_prompt = false;
  }
  out.unknown_fields = fields.unread_keys();
  return out;
}

}  // namespace ernie::http
