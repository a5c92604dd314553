#include <algorithm>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "text/answer_syntax.h"
#include "text/chat_template.h"
#include "text/segment_builder.h"

namespace ernie::text {
namespace {

constexpr std::string_view kBegin = "<|begin_of_sentence|>";
constexpr std::string_view kEnd = "<|end_of_sentence|>";
constexpr std::string_view kNoThinking = "<think>\n\n</think>\n\n";

Error role_error(const std::string& role) {
  return invalid_argument(
      "messages: expected a role that the chat template knows, one of: system, user, assistant, "
      "tool; found \"" +
          role + "\"",
      "messages");
}

void trim_newlines(std::string& text) {
  text.erase(0, text.find_first_not_of('\n'));
  text.erase(text.find_last_not_of('\n') + 1);
}

bool is_continued(const ChatInput& input, size_t message) {
  return input.continue_final_message && message + 1 == input.messages.size();
}

// The place of the tools: behind the system messages at the beginning.
size_t place_of_tools(const ChatInput& input) {
  const bool none = !input.tools.is_array() || input.tools.get_array().empty();
  if (none) return input.messages.size() + 1;
  const auto first = std::ranges::find_if(
      input.messages, [](const ChatMessage& message) { return message.role != "system"; });
  return first - input.messages.begin();
}

void add_tools(const ChatInput& input, SegmentBuilder& out) {
  out.add_template("<tool_list>\n");
  out.add_user(boost::json::serialize(input.tools));
  out.add_template("\n</tool_list>\nTo call a function, answer with\n");
  out.add_template(kCallBegin);
  out.add_template("\n{\"name\": <its name>, \"arguments\": <an object>}\n");
  out.add_template(kCallEnd);
  out.add_template("\n");
}

// The calls of a past assistant turn.
void add_calls(const ChatMessage& message, bool behind_text, SegmentBuilder& out) {
  if (!message.tool_calls.is_array()) return;
  for (const boost::json::value& call : message.tool_calls.get_array()) {
    const boost::json::object& function = call.at("function").as_object();
    if (std::exchange(behind_text, true)) out.add_template("\n");
    out.add_template(kCallBegin);
    out.add_template("\n{\"name\": ");
    out.add_user(boost::json::serialize(function.at("name")));
    out.add_template(", \"arguments\": ");
    const auto& arguments = function.at("arguments").as_string();
    out.add_user(arguments.empty() ? "{}" : std::string_view(arguments));
    out.add_template("}\n");
    out.add_template(kCallEnd);
  }
}

std::string joined_text(const ChatMessage& message) {
  std::string text;
  for (const ChatPart& part : message.parts) text += part.text;
  return text;
}

bool has_media(const ChatMessage& message) {
  return std::any_of(message.parts.begin(), message.parts.end(),
                     [](const ChatPart& part) { return part.kind != PartKind::kText; });
}

Error media_error(const std::string& where) {
  return invalid_argument("messages: expected no images or videos in " + where, "messages");
}

// The template of ERNIE-4.5-VL as FastDeploy renders it.
class ErnieVlTemplate : public ChatTemplate {
 public:
  Result<std::vector<PromptSegment>> render(const ChatInput& input) const override {
    SegmentBuilder out;
    out.add_template(kBegin);
    int images = 0, videos = 0;
    const size_t tools = place_of_tools(input);
    for (size_t i = 0; i < input.messages.size(); ++i) {
      const ChatMessage& message = input.messages[i];
      if (i == tools) add_tools(input, out);
      if (message.role == "tool") {
        const bool first = i == 0 || input.messages[i - 1].role != "tool";
        out.add_template(first ? "User: <tool_output>\n" : "\n<tool_output>\n");
        for (const ChatPart& part : message.parts) add_part(part, images, videos, out);
        out.add_template("\n</tool_output>");
        continue;
      }
      if (message.role == "user") {
        out.add_template("User: ");
        for (const ChatPart& part : message.parts) add_part(part, images, videos, out);
        continue;
      }
      if (message.role != "system" && message.role != "assistant") return role_error(message.role);
      if (has_media(message)) return media_error("a " + message.role + " message");
      if (message.role == "system") {
        out.add_user(joined_text(message));
        out.add_template("\n");
      } else {
        const bool continued = is_continued(input, i);
        add_assistant(message, continued && !input.enable_thinking.value_or(true), out);
        if (!continued) out.add_template(kEnd);
      }
    }
    if (tools == input.messages.size()) add_tools(input, out);
    if (input.add_generation_prompt) {
      out.add_template("\nAssistant: ");
      out.add_template(input.enable_thinking.value_or(true) ? "<think>" : kNoThinking);
    }
    return out.take();
  }

  std::string tool_parser() const override { return "ernie-45"; }

 private:
  static void add_part(const ChatPart& part, int& images, int& videos, SegmentBuilder& out) {
    if (part.kind == PartKind::kText) return out.add_user(part.text);
    const bool image = part.kind == PartKind::kImage;
    out.add_template(image ? "Picture " + std::to_string(++images) + ":<|IMAGE_START|>"
                           : "Video " + std::to_string(++videos) + ":<|VIDEO_START|>");
    out.add_media(image ? SegmentKind::kImage : SegmentKind::kVideo);
    out.add_template(image ? "<|IMAGE_END|>" : "<|VIDEO_END|>");
  }

  // `begun_without_thinking`: it goes on, and its beginning stood behind the mark that says so.
  static void add_assistant(const ChatMessage& message, bool begun_without_thinking,
                            SegmentBuilder& out) {
    std::string content = joined_text(message);
    std::string reasoning = message.reasoning_content;
    if (const size_t tag = content.find(kThinkEnd); tag != std::string::npos) {
      reasoning = content.substr(0, tag);
      if (const size_t start = reasoning.rfind(kThinkBegin); start != std::string::npos) {
        reasoning.erase(0, start + kThinkBegin.size());
      }
      content.erase(0, tag + kThinkEnd.size());
      content.erase(0, content.find_first_not_of('\n'));
    }
    trim_newlines(reasoning);
    out.add_template("\nAssistant: ");
    if (!reasoning.empty()) {
      out.add_template("<think>\n");
      out.add_user(reasoning);
      out.add_template("\n</think>\n");
    } else if (begun_without_thinking) {
      out.add_template(kNoThinking);
    }
    out.add_user(content);
    add_calls(message, !content.empty(), out);
  }
};

// The template of the ERNIE-4.5 text models.
class ErnieTextTemplate : public ChatTemplate {
 public:
  Result<std::vector<PromptSegment>> render(const ChatInput& input) const override {
    SegmentBuilder out;
    out.add_template(kBegin);
    const size_t tools = place_of_tools(input);
    for (size_t i = 0; i < input.messages.size(); ++i) {
      const ChatMessage& message = input.messages[i];
      if (i == tools) add_tools(input, out);
      if (has_media(message)) return media_error("messages to a text model");
      if (message.role == "user") {
        out.add_template("User: ");
        out.add_user(joined_text(message));
        out.add_template("\n");
      } else if (message.role == "assistant") {
        out.add_template("Assistant: ");
        out.add_user(joined_text(message));
        add_calls(message, !joined_text(message).empty(), out);
        if (!is_continued(input, i)) out.add_template(kEnd);
      } else if (message.role == "tool") {
        out.add_template("User: <tool_output>\n");
        out.add_user(joined_text(message));
        out.add_template("\n</tool_output>\n");
      } else if (message.role == "system") {
        out.add_user(joined_text(message));
        out.add_template("\n");
      } else {
        return role_error(message.role);
      }
    }
    if (tools == input.messages.size()) add_tools(input, out);
    if (input.add_generation_prompt) out.add_template("Assistant: ");
    return out.take();
  }

  std::string tool_parser() const override { return "ernie-45"; }
};

}  // namespace

std::unique_ptr<const ChatTemplate> ChatTemplate::builtin(BuiltinTemplate which) {
  if (which == BuiltinTemplate::kErnieVl) return std::make_unique<ErnieVlTemplate>();
  return std::make_unique<ErnieTextTemplate>();
}

}  // namespace ernie::text
