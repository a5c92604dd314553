#include <algorithm>
#include <string>
#include <string_view>

#include "text/chat_template.h"
#include "text/segment_builder.h"

namespace ernie::text {
namespace {

constexpr std::string_view kBegin = "<|begin_of_sentence|>";
constexpr std::string_view kEnd = "<|end_of_sentence|>";

Error role_error(const std::string& role) {
  return invalid_argument(
      "messages: expected a role that the chat template knows, one of: system, user, assistant; "
      "found \"" +
          role + "\"",
      "messages");
}

Status check_no_tools(const ChatInput& input) {
  if (input.tools.is_null() || (input.tools.is_array() && input.tools.get_array().empty())) {
    return {};
  }
  return invalid_argument(
      "tools: expected none, because this model's chat template has no place for tools", "tools");
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
    if (Status tools = check_no_tools(input); !tools) return tools.error();
    SegmentBuilder out;
    out.add_template(kBegin);
    int images = 0, videos = 0;
    for (const ChatMessage& message : input.messages) {
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
        add_assistant(message, out);
      }
    }
    if (input.add_generation_prompt) {
      out.add_template("\nAssistant: ");
      out.add_template(input.enable_thinking.value_or(true) ? "<think>"
                                                            : "<think>\n\n</think>\n\n");
    }
    return out.take();
  }

 private:
  static void add_part(const ChatPart& part, int& images, int& videos, SegmentBuilder& out) {
    if (part.kind == PartKind::kText) return out.add_user(part.text);
    const bool image = part.kind == PartKind::kImage;
    out.add_template(image ? "Picture " + std::to_string(++images) + ":<|IMAGE_START|>"
                           : "Video " + std::to_string(++videos) + ":<|VIDEO_START|>");
    out.add_media(image ? SegmentKind::kImage : SegmentKind::kVideo);
    out.add_template(image ? "<|IMAGE_END|>" : "<|VIDEO_END|>");
  }

  static void add_assistant(const ChatMessage& message, SegmentBuilder& out) {
    std::string content = joined_text(message);
    std::string reasoning = message.reasoning_content;
    constexpr std::string_view kThinkStart = "<think>";
    constexpr std::string_view kThinkEnd = "</think>";
    if (const size_t tag = content.find(kThinkEnd); tag != std::string::npos) {
      reasoning = content.substr(0, tag);
      if (const size_t start = reasoning.rfind(kThinkStart); start != std::string::npos) {
        reasoning.erase(0, start + kThinkStart.size());
      }
      reasoning.erase(0, reasoning.find_first_not_of('\n'));
      reasoning.erase(reasoning.find_last_not_of('\n') + 1);
      content.erase(0, tag + kThinkEnd.size());
      content.erase(0, content.find_first_not_of('\n'));
    }
    out.add_template("\nAssistant: ");
    if (!reasoning.empty()) {
      out.add_template("<think>\n");
      out.add_user(reasoning);
      out.add_template("\n</think>\n");
    }
    out.add_user(content);
    out.add_template(kEnd);
  }
};

// The template of the ERNIE-4.5 text models.
class ErnieTextTemplate : public ChatTemplate {
 public:
  Result<std::vector<PromptSegment>> render(const ChatInput& input) const override {
    if (Status tools = check_no_tools(input); !tools) return tools.error();
    SegmentBuilder out;
    out.add_template(kBegin);
    for (const ChatMessage& message : input.messages) {
      if (has_media(message)) return media_error("messages to a text model");
      if (message.role == "user") {
        out.add_template("User: ");
        out.add_user(joined_text(message));
        out.add_template("\n");
      } else if (message.role == "assistant") {
        out.add_template("Assistant: ");
        out.add_user(joined_text(message));
        out.add_template(kEnd);
      } else if (message.role == "system") {
        out.add_user(joined_text(message));
        out.add_template("\n");
      } else {
        return role_error(message.role);
      }
    }
    if (input.add_generation_prompt) out.add_template("Assistant: ");
    return out.take();
  }
};

}  // namespace

std::unique_ptr<const ChatTemplate> ChatTemplate::builtin(BuiltinTemplate which) {
  if (which == BuiltinTemplate::kErnieVl) return std::make_unique<ErnieVlTemplate>();
  return std::make_unique<ErnieTextTemplate>();
}

}  // namespace ernie::text
