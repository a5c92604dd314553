#pragma once

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace ernie::text {

enum class PartKind { kText, kImage, kVideo };

// What a request says of the frames of a video; see model/video_sampling.h.
struct FrameChoice {
  std::optional<double> fps;
  std::optional<int> min_frames;
  std::optional<int> max_frames;
  std::optional<int> target_frames;
  std::optional<std::string> frames_sample;
};

struct ChatPart {
  PartKind kind = PartKind::kText;
  std::string text;               // of a text part
  std::vector<std::string> urls;  // of an image or a video file one; else one per frame of a video
  bool is_video_file = false;
  FrameChoice frames;  // of a video; of one that comes as frames only fps is taken
};

struct ChatMessage {
  std::string role;  // system, user, assistant or tool
  std::vector<ChatPart> parts;
  std::string reasoning_content;  // of a past assistant turn; empty when none
  // Null, or an array of {"id", "type": "function", "function": {"name", "arguments"}}, where the
  // arguments are JSON text.
  boost::json::value tool_calls;
  std::string tool_call_id;
  std::string name;
};

struct ChatInput {
  std::vector<ChatMessage> messages;
  std::optional<bool> enable_thinking;  // absent counts as true
  bool add_generation_prompt = true;
  bool continue_final_message = false;  // the prompt ends with the text of the last message
  // Null, or an array of {"type": "function", "function": {"name", ...}}.
  boost::json::value tools;
  boost::json::object template_kwargs;  // further variables for a checkpoint's own template
};

enum class SegmentKind {
  kTemplate,  // text of the template: strings of special tokens in it count
  kUser,      // text of the request: only ever ordinary text
  kImage,     // the place of an image's tokens; the markers around it are template text
  kVideo,
};

// One part of a rendered prompt. All parts together are the prompt, to be tokenised as one string.
struct PromptSegment {
  SegmentKind kind = SegmentKind::kTemplate;
  std::string text;        // empty for media
  size_t media_index = 0;  // 0-based, over images and videos together, in order of appearance
};

// Which built-in template a model uses.
enum class BuiltinTemplate {
  kErnieVl,    // ERNIE-4.5-VL: "User: ...", "\nAssistant: <think>..."
  kErnieText,  // its text-only relatives: "User: ...\n", "Assistant: ..."; takes no media
};

// Turns a conversation into a prompt. Immutable and safe to use from any thread.
class ChatTemplate {
 public:
  virtual ~ChatTemplate() = default;
  virtual Result<std::vector<PromptSegment>> render(const ChatInput& input) const = 0;

  // The parser (see answer_syntax.h) of the tool calls that it teaches; empty if it has no place
  // for tools, and then rendering them is an error.
  virtual std::string tool_parser() const = 0;

  // Its Jinja text; empty if it is built in.
  virtual std::string_view source() const { return {}; }

  static std::unique_ptr<const ChatTemplate> builtin(BuiltinTemplate which);

  // A Jinja template, run in a sandbox: no I/O, limited steps and output. bos_token, eos_token and
  // the other token strings of tokenizer_config.json are its variables.
  static Result<std::unique_ptr<const ChatTemplate>> from_jinja(std::string source,
                                                                boost::json::object tokens = {});

  // The checkpoint's own template: chat_template.jinja, else "chat_template" of
  // chat_template.json, else that of tokenizer_config.json (a string, or a list of {name, template}
  // or an object of templates by name, of which `name` is taken). Null when the checkpoint has
  // none.
  static Result<std::unique_ptr<const ChatTemplate>> from_checkpoint(
      const std::filesystem::path& checkpoint, const std::string& name = "default");
};

}  // namespace ernie::text
