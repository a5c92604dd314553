#include <algorithm>
#include <boost/json.hpp>
#include <map>
#include <string>

#include "text/answer_syntax.h"
#include "text/chat_template.h"
#include "text/jinja/interpreter.h"
#include "text/json_file.h"
#include "text/segment_builder.h"

namespace ernie::text {
namespace {

namespace json = boost::json;
using jinja::Dict;
using jinja::from_utf8;
using jinja::List;
using jinja::String;
using jinja::StringView;
using jinja::Value;

// What templates write in the place of a media item's tokens.
constexpr StringView kPlaceholders[] = {U"<|image@placeholder|>", U"<|video@placeholder|>",
                                        U"<|IMAGE_PLACEHOLDER|>", U"<|VIDEO_PLACEHOLDER|>"};
constexpr std::string_view kProbe = "probe-7fd1";

bool is_media(const ChatPart& part) { return part.kind != PartKind::kText; }

// How a template wants the content of one role's messages.
struct ContentForm {
  bool string = false;  // as one string
  bool list = false;    // as a list of parts
};

class JinjaTemplate : public ChatTemplate {
 public:
  JinjaTemplate(jinja::Template parsed, std::string source, const json::object& tokens)
      : template_(std::move(parsed)), source_(std::move(source)) {
    for (const auto& [name, value] : tokens) {
      const json::value* text = &value;
      if (value.is_object()) text = value.get_object().if_contains("content");
      if (text && text->is_string()) {
        assign(tokens_, from_utf8(name), from_utf8(text->get_string()));
      }
    }
  }

  std::string_view source() const override { return source_; }

  // Finds out by rendering small conversations which forms of content the template takes.
  Status probe() {
    for (const char* role : {"system", "user", "assistant", "tool"}) {
      ContentForm& form = forms_[role];
      form.string = probe_content(role, String(from_utf8(kProbe)));
      form.list = probe_content(role, List{text_part(from_utf8(kProbe))});
      if (limit_error_) return *limit_error_;
    }
    for (PartKind kind : {PartKind::kImage, PartKind::kVideo}) {
      const std::string name = kind == PartKind::kImage ? "image" : "video";
      for (const std::string& type : {name, name + "_url"}) {
        const Value part = Dict{{U"type", from_utf8(type)}, {from_utf8(type), String()}};
        const auto text = render_messages({message_value("user", List{part})}, {});
        if (text && find_placeholder(*text, 0) != String::npos) {
          media_parts_[kind] = part;
          break;
        }
      }
    }
    probe_tools();
    return {};
  }

  std::string tool_parser() const override { return tool_parser_; }

  Result<std::vector<PromptSegment>> render(const ChatInput& input) const override {
    if (tool_parser_.empty() && input.tools.is_array() && !input.tools.get_array().empty()) {
      return invalid_argument(
          "tools: expected none, because this model's chat template has no place for tools",
          "tools");
    }
    List messages;
    std::vector<PartKind> media;
    int images = 0, videos = 0;
    for (const ChatMessage& message : input.messages) {
      Result<Value> value = message_value(message, images, videos);
      if (!value) return value.error();
      messages.push_back(std::move(*value));
      for (const ChatPart& part : message.parts) {
        if (is_media(part)) media.push_back(part.kind);
      }
    }
    Result<String> text = render_messages(std::move(messages), input);
    if (!text) return text.error();
    if (input.continue_final_message) {
      if (Status s = end_with(input.messages.back(), *text); !s) return s.error();
    }
    return cut(*text, media);
  }

 private:
  static Value text_part(String text) { return Dict{{U"type", String(U"text")}, {U"text", text}}; }

  static Dict message_value(const std::string& role, Value content) {
    return {{U"role", from_utf8(role)}, {U"content", std::move(content)}};
  }

  bool probe_content(const std::string& role, Value content) {
    List messages;
    if (role != "user" && role != "system") {
      messages.push_back(message_value("user", probe_neighbour()));
    }
    messages.push_back(message_value(role, std::move(content)));
    if (role == "system") messages.push_back(message_value("user", probe_neighbour()));
    const Result<String> text = render_messages(std::move(messages), {});
    if (!text) {
      if (text.error().code == jinja::kLimitCode) limit_error_ = text.error();
      return false;
    }
    // A template that prints the list as such shows its quotes.
    const size_t at = text->find(from_utf8(kProbe));
    return at != String::npos && (at == 0 || ((*text)[at - 1] != U'\'' && (*text)[at - 1] != U'"'));
  }

  // Finds out whether the template shows tools, and how it writes calls.
  void probe_tools() {
    ChatInput input;
    input.tools = json::array{json::object{
        {"type", "function"},
        {"function",
         {{"name", kProbe}, {"description", "x"}, {"parameters", {{"type", "object"}}}}}}};
    const Result<String> text = render_messages({message_value("user", probe_neighbour())}, input);
    if (!text || text->find(from_utf8(kProbe)) == String::npos) return;
    // Only the template of ERNIE-4.5-VL-Thinking shows both pictures and tools.
    tool_parser_ = media_parts_.empty() ? "ernie-45" : "ernie-45-vl-thinking";
    if (text->find(from_utf8(kResponseBegin)) != String::npos) tool_parser_ = "ernie-x1";
  }

  // Content of a user's message in a probe for another role.
  Value probe_neighbour() const {
    const auto user = forms_.find("user");
    if (user != forms_.end() && !user->second.string && user->second.list) {
      return List{text_part(U"x")};
    }
    return String(U"x");
  }

  // One message as the template's variable. All its strings count as the user's.
  Result<Value> message_value(const ChatMessage& message, int& images, int& videos) const {
    const auto known = forms_.find(message.role);
    const ContentForm form = known == forms_.end() ? ContentForm{} : known->second;
    const bool with_media = std::any_of(message.parts.begin(), message.parts.end(), is_media);
    bool list = with_media ? form.list : form.list && !form.string;
    List parts;
    String text;
    for (const ChatPart& part : message.parts) {
      if (!is_media(part)) {
        const String content = from_utf8(part.text, /*from_user=*/true);
        parts.push_back(text_part(content));
        text += content;
        continue;
      }
      const bool image = part.kind == PartKind::kImage;
      const int number = image ? ++images : ++videos;
      const auto media = media_parts_.find(part.kind);
      if (media != media_parts_.end()) {
        parts.push_back(media->second);
      } else {
        list = false;  // the template knows no such parts: write the family's text ourselves
      }
      text += from_utf8(image ? "Picture " : "Video ") + from_utf8(std::to_string(number)) +
              (image ? U":<|IMAGE_START|><|image@placeholder|><|IMAGE_END|>"
                     : U":<|VIDEO_START|><|video@placeholder|><|VIDEO_END|>");
    }
    Dict value{{U"role", from_utf8(message.role, true)}};
    assign(value, U"content", list ? Value(std::move(parts)) : Value(std::move(text)));
    const auto add = [&](String name, const std::string& field) {
      if (!field.empty()) assign(value, std::move(name), from_utf8(field, true));
    };
    add(U"reasoning_content", message.reasoning_content);
    add(U"tool_call_id", message.tool_call_id);
    add(U"name", message.name);
    if (!message.tool_calls.is_null()) {
      Result<json::value> calls = with_parsed_arguments(message.tool_calls);
      if (!calls) return calls.error();
      assign(value, U"tool_calls", jinja::from_json(*calls, true));
    }
    return Value(std::move(value));
  }

  // Cuts what the template writes behind the text of the last message.
  static Status end_with(const ChatMessage& message, String& prompt) {
    String content;
    for (const ChatPart& part : message.parts) content += from_utf8(part.text, /*from_user=*/true);
    const size_t last = content.find_last_not_of(from_utf8(" \n\t\r", true));
    const String shown = last == String::npos ? String() : content.substr(0, last + 1);
    const size_t at = shown.empty() ? String::npos : prompt.rfind(shown);
    if (at == String::npos) {
      return invalid_argument(
          "continue_final_message: the chat template does not end with the text of the last "
          "message",
          "continue_final_message");
    }
    prompt.resize(at);
    prompt += content;
    return {};
  }

  // The API has arguments as JSON text; templates expect the object itself.
  static Result<json::value> with_parsed_arguments(json::value calls) {
    if (!calls.is_array()) return invalid_argument("tool_calls: expected an array", "messages");
    for (json::value& call : calls.get_array()) {
      json::value* function =
          call.is_object() ? call.get_object().if_contains("function") : nullptr;
      json::value* arguments = function && function->is_object()
                                   ? function->get_object().if_contains("arguments")
                                   : nullptr;
      if (!arguments || !arguments->is_string()) continue;
      boost::system::error_code code;
      json::value parsed = json::parse(arguments->get_string(), code);
      if (!code && parsed.is_object()) *arguments = std::move(parsed);
    }
    return calls;
  }

  Result<String> render_messages(List messages, const ChatInput& input) const {
    Dict variables = tokens_;
    assign(variables, U"messages", std::move(messages));
    assign(variables, U"tools", jinja::from_json(input.tools, true));
    assign(variables, U"documents", jinja::None{});
    assign(variables, U"add_generation_prompt", input.add_generation_prompt);
    assign(variables, U"enable_thinking", true);
    for (const auto& [name, value] : input.template_kwargs) {
      assign(variables, from_utf8(name), jinja::from_json(value, true));
    }
    if (input.enable_thinking) assign(variables, U"enable_thinking", *input.enable_thinking);
    return template_.render(variables);
  }

  // Where template text holds a placeholder, from `from` on.
  static size_t find_placeholder(const String& text, size_t from) {
    for (size_t at = text.find(U"<|", from); at != String::npos; at = text.find(U"<|", at + 1)) {
      if (placeholder_at(text, at) > 0) return at;
    }
    return String::npos;
  }

  // The length of the placeholder at `at`; 0 when there is none, or one that a user typed.
  static size_t placeholder_at(const String& text, size_t at) {
    for (StringView placeholder : kPlaceholders) {
      if (text.compare(at, placeholder.size(), placeholder) != 0) continue;
      const auto marked = [](char32_t c) { return (c & jinja::kUserMark) != 0; };
      if (std::none_of(text.begin() + at, text.begin() + at + placeholder.size(), marked)) {
        return placeholder.size();
      }
    }
    return 0;
  }

  static void add_text(StringView text, SegmentBuilder& out) {
    while (!text.empty()) {
      const bool user = text[0] & jinja::kUserMark;
      const auto end = std::find_if(text.begin(), text.end(), [&](char32_t c) {
        return static_cast<bool>(c & jinja::kUserMark) != user;
      });
      const size_t length = end - text.begin();
      out.add(user ? SegmentKind::kUser : SegmentKind::kTemplate,
              jinja::to_utf8(text.substr(0, length)));
      text.remove_prefix(length);
    }
  }

  static Result<std::vector<PromptSegment>> cut(const String& text,
                                                const std::vector<PartKind>& media) {
    SegmentBuilder out;
    size_t done = 0;
    size_t found = 0;
    for (size_t at; (at = find_placeholder(text, done)) != String::npos; ++found) {
      add_text(StringView(text).substr(done, at - done), out);
      if (found < media.size()) {
        out.add_media(media[found] == PartKind::kImage ? SegmentKind::kImage : SegmentKind::kVideo);
      }
      done = at + placeholder_at(text, at);
    }
    add_text(StringView(text).substr(done), out);
    if (found != media.size()) {
      return invalid_argument("messages: expected the chat template to place " +
                                  std::to_string(media.size()) + " images and videos, it placed " +
                                  std::to_string(found) + "; put media into user messages only",
                              "messages");
    }
    return out.take();
  }

  jinja::Template template_;
  std::string source_;
  Dict tokens_;
  std::map<std::string, ContentForm> forms_;  // by role
  std::map<PartKind, Value> media_parts_;     // a content part for which it writes a placeholder
  std::string tool_parser_;
  std::optional<Error> limit_error_;
};

// The template that a file's chat_template gives, if any: the text, or of several the one of this
// name.
Result<std::optional<std::string>> given_template(const json::object& file_content,
                                                  const std::string& name,
                                                  const std::filesystem::path& file) {
  const json::value* given = file_content.if_contains("chat_template");
  if (!given || given->is_null()) return std::optional<std::string>();
  if (given->is_string()) return std::optional<std::string>(given->get_string());
  std::map<std::string, std::string> templates;
  if (given->is_object()) {
    for (const auto& [key, text] : given->get_object()) {
      if (text.is_string()) templates.emplace(key, text.get_string());
    }
  } else if (given->is_array()) {
    for (const json::value& entry : given->get_array()) {
      if (!entry.is_object()) continue;
      const json::value* entry_name = entry.get_object().if_contains("name");
      const json::value* text = entry.get_object().if_contains("template");
      if (!entry_name || !entry_name->is_string() || !text || !text->is_string()) continue;
      templates.emplace(entry_name->get_string(), text->get_string());
    }
  }
  if (const auto at = templates.find(name); at != templates.end()) {
    return std::optional<std::string>(at->second);
  }
  std::string names;
  for (const auto& [key, text] : templates) names += (names.empty() ? "" : ", ") + key;
  return internal_error(file.string() + ": chat_template: expected a template named \"" + name +
                        "\", found: " + (names.empty() ? "none" : names));
}

}  // namespace

Result<std::unique_ptr<const ChatTemplate>> ChatTemplate::from_jinja(std::string source,
                                                                     json::object tokens) {
  Result<jinja::Template> parsed = jinja::Template::parse(source);
  if (!parsed) return parsed.error();
  auto chat = std::make_unique<JinjaTemplate>(std::move(*parsed), std::move(source), tokens);
  if (Status status = chat->probe(); !status) return status.error();
  return std::unique_ptr<const ChatTemplate>(std::move(chat));
}

Result<std::unique_ptr<const ChatTemplate>> ChatTemplate::from_checkpoint(
    const std::filesystem::path& checkpoint, const std::string& name) {
  json::object tokens;
  std::optional<std::string> source;
  std::filesystem::path file;
  for (const char* file_name : {"chat_template.json", "tokenizer_config.json"}) {
    const std::filesystem::path path = checkpoint / file_name;
    if (!has_entry(path)) continue;
    Result<json::object> content = read_json_object(path);
    if (!content) return content.error();
    for (const auto& [key, value] : *content) {
      if (key.ends_with("_token")) tokens.emplace(key, value);
    }
    if (source) continue;
    Result<std::optional<std::string>> given = given_template(*content, name, path);
    if (!given) return given.error();
    source = std::move(*given);
    file = path;
  }
  if (has_entry(checkpoint / "chat_template.jinja")) {
    file = checkpoint / "chat_template.jinja";
    Result<std::string> text = read_file(file);
    if (!text) return text.error();
    source = std::move(*text);
  }
  if (!source) return std::unique_ptr<const ChatTemplate>();
  auto chat = from_jinja(std::move(*source), std::move(tokens));
  if (!chat) {
    Error error = chat.error();
    error.message = file.string() + ": " + error.message;
    return error;
  }
  return chat;
}

}  // namespace ernie::text
