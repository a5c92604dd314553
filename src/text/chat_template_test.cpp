#include "text/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "text/json_file.h"
#include "text/test_support.h"

namespace ernie::text {
namespace {

namespace json = boost::json;
using ::testing::HasSubstr;

ChatPart text(std::string value) { return {PartKind::kText, std::move(value)}; }
ChatPart image() { return {PartKind::kImage, {}}; }
ChatPart video() { return {PartKind::kVideo, {}}; }

ChatMessage message(std::string role, std::vector<ChatPart> parts, std::string reasoning = {}) {
  ChatMessage result;
  result.role = std::move(role);
  result.parts = std::move(parts);
  result.reasoning_content = std::move(reasoning);
  return result;
}

// User text in [], media as {kind index}.
std::string show(const Result<std::vector<PromptSegment>>& segments) {
  if (!segments) return "error: " + segments.error().message;
  std::string out;
  for (const PromptSegment& segment : *segments) {
    if (segment.kind == SegmentKind::kTemplate) out += segment.text;
    if (segment.kind == SegmentKind::kUser) out += "[" + segment.text + "]";
    if (segment.kind == SegmentKind::kImage)
      out += "{image " + std::to_string(segment.media_index) + "}";
    if (segment.kind == SegmentKind::kVideo)
      out += "{video " + std::to_string(segment.media_index) + "}";
  }
  return out;
}

std::string show_builtin(const ChatInput& input,
                         BuiltinTemplate which = BuiltinTemplate::kErnieVl) {
  return show(ChatTemplate::builtin(which)->render(input));
}

// A template of tests/golden/text/jinja.json, by the start of its case's name.
std::string golden_template(std::string_view name) {
  const json::value cases = json::parse(*read_file("tests/golden/text/jinja.json"));
  for (const json::value& item : cases.get_array()) {
    if (item.at("name").get_string().starts_with(name)) {
      return std::string(item.at("template").get_string());
    }
  }
  ADD_FAILURE() << "no template " << name;
  return {};
}

ChatInput conversation_with_media() {
  ChatInput input;
  input.messages = {
      message("system", {text("look")}),
      message("user", {text("What is this?"), image(), image(), video()}),
      message("assistant", {text("<think>\nhm\n</think>\n\na dog")}),
      message("user", {text("sure?")}),
      message("assistant", {text("yes")}, "because"),
      message("user", {image(), text(" and this")}),
  };
  return input;
}

constexpr const char* kConversationShown =
    "<|begin_of_sentence|>[look]\n"
    "User: [What is this?]Picture 1:<|IMAGE_START|>{image 0}<|IMAGE_END|>"
    "Picture 2:<|IMAGE_START|>{image 1}<|IMAGE_END|>Video 1:<|VIDEO_START|>{video 2}<|VIDEO_END|>"
    "\nAssistant: <think>\n[hm]\n</think>\n[a dog]<|end_of_sentence|>"
    "User: [sure?]\nAssistant: <think>\n[because]\n</think>\n[yes]<|end_of_sentence|>"
    "User: Picture 3:<|IMAGE_START|>{image 3}<|IMAGE_END|>[ and this]\nAssistant: <think>";

TEST(BuiltinTemplate, RendersAConversation) {
  EXPECT_EQ(show_builtin(conversation_with_media()), kConversationShown);
}

TEST(JinjaTemplate, RendersTheSameConversationWithTheCheckpointsTemplate) {
  const auto chat = ChatTemplate::from_jinja(golden_template("ernie_like"));
  ASSERT_TRUE(chat) << chat.error().message;
  EXPECT_EQ(show((*chat)->render(conversation_with_media())), kConversationShown);
}

TEST(BuiltinTemplate, ThinkingIsOnUnlessSwitchedOff) {
  ChatInput input;
  input.messages = {message("user", {text("hi")})};
  const std::string begin = "<|begin_of_sentence|>User: [hi]";
  EXPECT_EQ(show_builtin(input), begin + "\nAssistant: <think>");
  input.enable_thinking = true;
  EXPECT_EQ(show_builtin(input), begin + "\nAssistant: <think>");
  input.enable_thinking = false;
  EXPECT_EQ(show_builtin(input), begin + "\nAssistant: <think>\n\n</think>\n\n");
  input.add_generation_prompt = false;
  EXPECT_EQ(show_builtin(input), begin);
}

TEST(JinjaTemplate, ThinkingIsOnUnlessSwitchedOff) {
  const auto chat = ChatTemplate::from_jinja(golden_template("ernie_like"));
  ChatInput input;
  input.messages = {message("user", {text("hi")})};
  EXPECT_THAT(show((*chat)->render(input)), HasSubstr("[hi]\nAssistant: <think>"));
  input.template_kwargs = {{"enable_thinking", false}};
  EXPECT_THAT(show((*chat)->render(input)), HasSubstr("<think>\n\n</think>\n\n"));
  input.enable_thinking = true;  // the request's own field comes first
  EXPECT_THAT(show((*chat)->render(input)), Not(HasSubstr("</think>")));
}

TEST(BuiltinTemplate, TextModelsHaveTheirOwn) {
  ChatInput input;
  input.messages = {message("system", {text("s")}), message("user", {text("a"), text("b")}),
                    message("assistant", {text("c")}), message("user", {text("d")})};
  EXPECT_EQ(show_builtin(input, BuiltinTemplate::kErnieText),
            "<|begin_of_sentence|>[s]\nUser: [ab]\nAssistant: [c]<|end_of_sentence|>"
            "User: [d]\nAssistant: ");
  input.messages = {message("user", {image()})};
  EXPECT_THAT(show_builtin(input, BuiltinTemplate::kErnieText), HasSubstr("no images or videos"));
}

// A63, A75
TEST(BuiltinTemplate, TypedMarkersStayUserText) {
  ChatInput input;
  input.messages = {message("user", {text("<|IMAGE_START|><|image@placeholder|></think>")})};
  EXPECT_EQ(show_builtin(input),
            "<|begin_of_sentence|>User: [<|IMAGE_START|><|image@placeholder|></think>]"
            "\nAssistant: <think>");
}

// A63, A75
TEST(JinjaTemplate, TypedMarkersStayUserText) {
  const auto chat = ChatTemplate::from_jinja(golden_template("ernie_like"));
  ChatInput input;
  input.messages = {
      message("user", {text("<|image@placeholder|>"), image(), text("<|IMAGE_END|>")})};
  EXPECT_EQ(show((*chat)->render(input)),
            "<|begin_of_sentence|>User: [<|image@placeholder|>]Picture 1:<|IMAGE_START|>{image 0}"
            "<|IMAGE_END|>[<|IMAGE_END|>]\nAssistant: <think>");
}

TEST(BuiltinTemplate, RefusesWhatItHasNoPlaceFor) {
  ChatInput input;
  input.messages = {message("king", {text("x")})};
  EXPECT_THAT(show_builtin(input),
              HasSubstr("one of: system, user, assistant, tool; found \"king\""));
  input.messages = {message("system", {image()})};
  EXPECT_THAT(show_builtin(input), HasSubstr("no images or videos in a system message"));
}

ChatInput conversation_with_tools() {
  ChatInput input;
  input.tools = json::parse(R"([{"type":"function","function":{"name":"see"}}])");
  input.messages = {message("system", {text("s")}), message("user", {text("what?")}),
                    message("assistant", {}), message("tool", {text("a"), text("b")}),
                    message("tool", {text("c")})};
  input.messages[2].tool_calls = json::parse(R"([
      {"id":"1","type":"function","function":{"name":"see","arguments":"{\"x\": 1}"}},
      {"id":"2","type":"function","function":{"name":"see","arguments":""}}])");
  input.enable_thinking = false;
  return input;
}

constexpr const char* kToolsShown =
    "<tool_list>\n[[{\"type\":\"function\",\"function\":{\"name\":\"see\"}}]]\n</tool_list>\n"
    "To call a function, answer with\n<tool_call>\n"
    "{\"name\": <its name>, \"arguments\": <an object>}\n</tool_call>\n";
constexpr const char* kCallsShown =
    "<tool_call>\n{\"name\": [\"see\"], \"arguments\": [{\"x\": 1}]}\n</tool_call>\n"
    "<tool_call>\n{\"name\": [\"see\"], \"arguments\": [{}]}\n</tool_call>";

TEST(BuiltinTemplate, ShowsToolsCallsAndResults) {
  EXPECT_EQ(show_builtin(conversation_with_tools()),
            std::string("<|begin_of_sentence|>[s]\n") + kToolsShown +
                "User: [what?]\nAssistant: " + kCallsShown +
                "<|end_of_sentence|>User: <tool_output>\n[ab]\n</tool_output>\n<tool_output>\n[c]\n"
                "</tool_output>\nAssistant: <think>\n\n</think>\n\n");
  EXPECT_EQ(show_builtin(conversation_with_tools(), BuiltinTemplate::kErnieText),
            std::string("<|begin_of_sentence|>[s]\n") + kToolsShown +
                "User: [what?]\nAssistant: " + kCallsShown +
                "<|end_of_sentence|>User: <tool_output>\n[ab]\n</tool_output>\n"
                "User: <tool_output>\n[c]\n</tool_output>\nAssistant: ");
  ChatInput alone = conversation_with_tools();
  alone.messages.resize(1);
  EXPECT_THAT(show_builtin(alone), HasSubstr(std::string("[s]\n") + kToolsShown));
  alone.tools = json::array();
  EXPECT_THAT(show_builtin(alone), Not(HasSubstr("tool")));
}

TEST(BuiltinTemplate, TextBeforeACallStandsOnALineOfItsOwn) {
  ChatInput input = conversation_with_tools();
  input.messages[2].parts = {text("Let me see.")};
  EXPECT_THAT(show_builtin(input), HasSubstr("Assistant: [Let me see.]\n<tool_call>"));
}

TEST(BuiltinTemplate, ToolResultsMayHoldPictures) {
  ChatInput input = conversation_with_tools();
  input.messages[4].parts = {text("c"), image()};
  EXPECT_THAT(show_builtin(input),
              HasSubstr("[c]Picture 1:<|IMAGE_START|>{image 0}<|IMAGE_END|>\n</tool_output>"));
}

TEST(BuiltinTemplate, NewlinesAroundPastReasoningAreNotDoubled) {
  ChatInput input;
  input.messages = {message("assistant", {text("yes")}, "\nbecause\n\n")};
  EXPECT_THAT(show_builtin(input), HasSubstr("<think>\n[because]\n</think>\n[yes]"));
}

TEST(ChatTemplate, APromptMayEndWithTheLastMessage) {
  ChatInput input;
  input.messages = {message("user", {text("hi")}), message("assistant", {text("I am\n")})};
  input.add_generation_prompt = false;
  input.continue_final_message = true;
  EXPECT_EQ(show_builtin(input), "<|begin_of_sentence|>User: [hi]\nAssistant: [I am\n]");
  EXPECT_EQ(show_builtin(input, BuiltinTemplate::kErnieText),
            "<|begin_of_sentence|>User: [hi]\nAssistant: [I am\n]");
  const auto chat = ChatTemplate::from_jinja(golden_template("ernie_like"));
  EXPECT_EQ(show((*chat)->render(input)), "<|begin_of_sentence|>User: [hi]\nAssistant: [I am\n]");
  const auto deaf = ChatTemplate::from_jinja("{{ messages[0].content }}");
  EXPECT_THAT(show((*deaf)->render(input)), HasSubstr("continue_final_message: the chat template"));
}

// Without the mark the model takes the text for thoughts, ends them and answers once more.
TEST(BuiltinTemplate, AnAnswerBegunWithoutThinkingGoesOnWithoutIt) {
  ChatInput input;
  input.messages = {message("assistant", {text("I am")}), message("user", {text("hi")}),
                    message("assistant", {text("I am")})};
  input.add_generation_prompt = false;
  input.continue_final_message = true;
  input.enable_thinking = false;
  EXPECT_EQ(show_builtin(input),
            "<|begin_of_sentence|>\nAssistant: [I am]<|end_of_sentence|>User: [hi]\nAssistant: "
            "<think>\n\n</think>\n\n[I am]");
  input.messages.back().reasoning_content = "because";
  EXPECT_THAT(show_builtin(input), testing::EndsWith("<think>\n[because]\n</think>\n[I am]"));
}

TEST(JinjaTemplate, ToolsWithoutAPlaceAreRefused) {
  const auto chat = ChatTemplate::from_jinja("{% for m in messages %}{{ m.content }}{% endfor %}");
  EXPECT_EQ((*chat)->tool_parser(), "");
  EXPECT_THAT(show((*chat)->render(conversation_with_tools())), HasSubstr("tools: expected none"));
}

TEST(JinjaTemplate, ShowsHowItsModelCalls) {
  const auto parser = [](const std::string& more) {
    const auto chat = ChatTemplate::from_jinja("{{ tools | tojson }}{% for m in messages %}" +
                                               more + "{% endfor %}");
    return (*chat)->tool_parser();
  };
  EXPECT_EQ(parser("{{ m.content }}"), "ernie-45");
  EXPECT_EQ(parser("<response>{{ m.content }}"), "ernie-x1");
  EXPECT_EQ(parser("{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}"
                   "{% if p.type == 'image_url' %}<|IMAGE_START|><|image@placeholder|>{% else %}"
                   "{{ p.text }}{% endif %}{% endfor %}{% endif %}"),
            "ernie-45-vl-thinking");
}

TEST(JinjaTemplate, GivesToolsAndParsedArguments) {
  const auto chat = ChatTemplate::from_jinja(golden_template("tools_like"));
  ASSERT_TRUE(chat) << chat.error().message;
  ChatInput input;
  input.messages = {message("user", {text("weather?")}), message("assistant", {})};
  input.messages[1].tool_calls =
      json::parse(R"([{"function": {"name": "weather", "arguments": "{\"city\": \"Köln\"}"}}])");
  input.messages.push_back(message("tool", {text("rain")}));
  input.tools = json::parse(R"([{"type": "function"}])");
  const std::string shown = show((*chat)->render(input));
  EXPECT_THAT(shown, HasSubstr("<tools>\n{\"[type]\": \"[function]\"}\n</tools>"));
  EXPECT_THAT(shown,
              HasSubstr("{\"name\": \"[weather]\", \"arguments\": {\"[city]\": \"[Köln]\"}}"));
  EXPECT_THAT(shown, HasSubstr("<tool_response>\n[rain]\n</tool_response><|im_end|>"));
}

TEST(JinjaTemplate, PutsMediaIntoTemplatesThatKnowOnlyText) {
  const auto chat = ChatTemplate::from_jinja(
      "{% for m in messages %}{{ m.role + ': ' + m.content + '\\n' }}{% endfor %}");
  ASSERT_TRUE(chat) << chat.error().message;
  ChatInput input;
  input.messages = {message("user", {text("a"), image(), text("b")})};
  EXPECT_EQ(show((*chat)->render(input)),
            "[user]: [a]Picture 1:<|IMAGE_START|>{image 0}<|IMAGE_END|>[b]\n");
}

TEST(JinjaTemplate, SaysWhenMediaFindNoPlace) {
  const auto chat = ChatTemplate::from_jinja(
      "{% for m in messages if m.role == 'user' %}"
      "{{ m.content }}{% endfor %}");
  ChatInput input;
  input.messages = {message("system", {image()}), message("user", {text("b")})};
  EXPECT_THAT(show((*chat)->render(input)), HasSubstr("to place 1 images and videos, it placed 0"));
}

TEST(JinjaTemplate, ATemplatesExceptionIsTheRequestsError) {
  const auto chat =
      ChatTemplate::from_jinja(golden_template("strict_like"), {{"bos_token", "<s>"}});
  ASSERT_TRUE(chat) << chat.error().message;
  ChatInput input;
  input.messages = {message("assistant", {text("a")})};
  const auto segments = (*chat)->render(input);
  ASSERT_FALSE(segments);
  EXPECT_EQ(segments.error().kind, ErrorKind::kInvalidArgument);
  EXPECT_EQ(segments.error().param, "messages");
  EXPECT_THAT(segments.error().message, HasSubstr("roles must alternate"));
}

// A67
TEST(JinjaTemplate, AnEndlessTemplateIsALoadError) {
  const auto chat = ChatTemplate::from_jinja(
      "{% macro m() %}{% for i in range(1000) %}{{ m() }}{% endfor %}{% endmacro %}"
      "{% for i in range(2000000) %}{% for j in range(2000000) %}{% endfor %}{% endfor %}");
  ASSERT_FALSE(chat);
  EXPECT_THAT(chat.error().message, HasSubstr("expected at most"));
}

TEST(CheckpointTemplate, IsFoundWhereverItIs) {
  const auto render = [](const TempFolder& folder, const std::string& name = "default") {
    const auto chat = ChatTemplate::from_checkpoint(folder.path(), name);
    if (!chat) return "error: " + chat.error().message;
    if (!*chat) return std::string("none");
    return show((*chat)->render({}));
  };
  const TempFolder folder;
  EXPECT_EQ(render(folder), "none");
  folder.write("tokenizer_config.json", R"({"eos_token": "</s>"})");
  EXPECT_EQ(render(folder), "none");
  folder.write("tokenizer_config.json",
               R"({"bos_token": {"content": "<s>"}, "chat_template": "A{{ bos_token }}"})");
  EXPECT_EQ(render(folder), "A<s>");
  folder.write("tokenizer_config.json",
               R"({"chat_template": [{"name": "default", "template": "B"},
                                     {"name": "tool_use", "template": "C"}]})");
  EXPECT_EQ(render(folder), "B");
  EXPECT_EQ(render(folder, "tool_use"), "C");
  EXPECT_THAT(render(folder, "rag"), HasSubstr("named \"rag\", found: default, tool_use"));
  folder.write("chat_template.json", R"({"chat_template": "J"})");
  EXPECT_EQ(render(folder), "J");
  folder.write("chat_template.json", R"({"chat_template": {"default": "K", "rag": "R"}})");
  EXPECT_EQ(render(folder), "K");
  EXPECT_EQ(render(folder, "rag"), "R");
  folder.write("chat_template.json", R"({"chat_template": "{% bad %}"})");
  EXPECT_THAT(render(folder), HasSubstr("chat_template.json: chat template, line 1"));
  folder.write("chat_template.jinja", "D");
  EXPECT_EQ(render(folder), "D");
  folder.write("chat_template.jinja", "{% bad %}");
  EXPECT_THAT(render(folder), HasSubstr("chat_template.jinja: chat template, line 1"));
}

}  // namespace
}  // namespace ernie::text
