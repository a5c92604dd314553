// Messages and their content parts: what they become, and what is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "http/wire/parse.h"

namespace ernie::http {
namespace {

namespace json = boost::json;

json::object object(const std::string& text) { return *parse_json_object(text); }

TEST(ParseMessages, RolesAndContents) {
  const auto parsed = parse_chat(object(R"({"messages":[
      {"role":"developer","content":"Be brief."},
      {"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"u"}},
                                {"type":"image_url","image_url":"v"}]},
      {"role":"bot","content":null,"reasoning_content":"hm"},
      {"role":"user","content":[{"type":"video","video":["f1","f2"]},
                                {"type":"video_url","video_url":{"url":"data:video/jpeg;base64,A,B"}}]}]})"));
  ASSERT_TRUE(parsed) << parsed.error().message;
  const auto& messages = parsed->request.chat.messages;
  ASSERT_EQ(messages.size(), 4u);
  EXPECT_EQ(messages[0].role, "system");
  EXPECT_EQ(messages[0].parts[0].text, "Be brief.");
  EXPECT_EQ(messages[1].parts[0].text, "a");
  EXPECT_EQ(messages[1].parts[1].kind, text::PartKind::kImage);
  EXPECT_EQ(messages[1].parts[1].urls, (std::vector<std::string>{"u"}));
  EXPECT_EQ(messages[1].parts[2].urls, (std::vector<std::string>{"v"}));
  EXPECT_EQ(messages[2].role, "assistant");
  EXPECT_EQ(messages[2].reasoning_content, "hm");
  EXPECT_EQ(messages[3].parts[0].kind, text::PartKind::kVideo);
  EXPECT_EQ(messages[3].parts[0].urls, (std::vector<std::string>{"f1", "f2"}));
  EXPECT_EQ(messages[3].parts[1].urls,
            (std::vector<std::string>{"data:image/jpeg;base64,A", "data:image/jpeg;base64,B"}));
}

TEST(ParseMessages, FaultsNameTheirPlace) {
  const std::string user = R"([{"role":"user","content":)";
  const std::pair<std::string, const char*> cases[] = {
      {"null", "messages"},
      {"[]", "messages"},
      {"\"hi\"", "messages"},
      {"[3]", "messages[0]"},
      {"[{}]", "messages[0].role"},
      {R"([{"role":5}])", "messages[0].role"},
      {R"([{"role":"king","content":"x"}])", "messages[0].role"},
      {R"([{"role":"user"}])", "messages[0].content"},
      {R"([{"role":"user","content":"x"},{"role":"user","content":null}])", "messages[1].content"},
      {user + "3}]", "messages[0].content"},
      {user + "[3]}]", "messages[0].content[0]"},
      {user + "[{}]}]", "messages[0].content[0].type"},
      {user + R"([{"type":"smell"}]}])", "messages[0].content[0].type"},
      {user + R"([{"type":"text"}]}])", "messages[0].content[0].text"},
      {user + R"([{"type":"text","text":5}]}])", "messages[0].content[0].text"},
      {user + R"([{"type":"image_url"}]}])", "messages[0].content[0].image_url"},
      {user + R"([{"type":"image_url","image_url":5}]}])", "messages[0].content[0].image_url"},
      {user + R"([{"type":"image_url","image_url":{"url":5}}]}])",
       "messages[0].content[0].image_url"},
      {user + R"([{"type":"video"}]}])", "messages[0].content[0].video"},
      {user + R"([{"type":"video","video":[]}]}])", "messages[0].content[0].video"},
      {user + R"([{"type":"video","video":[5]}]}])", "messages[0].content[0].video"},
      {user + R"([{"type":"video_url","video_url":{"url":"http://a/b.mp4","fps":"2"}}]}])",
       "messages[0].content[0].video_url.fps"},
      {user + R"([{"type":"video_url","video_url":{"url":"http://a/b.mp4","max_frames":1.5}}]}])",
       "messages[0].content[0].video_url.max_frames"},
      {user + R"([{"type":"video_url","video_url":{"url":"http://a/b.mp4","nframes":8}}]}])",
       "messages[0].content[0].video_url.nframes"},
      {user +
           R"([{"type":"video_url","video_url":{"url":"data:video/jpeg;base64,A,B","target_frames":8}}]}])",
       "messages[0].content[0].video_url.target_frames"},
      {R"([{"role":"assistant","content":"x","tool_calls":[1]}])", "messages[0].tool_calls"},
      {R"([{"role":"assistant","tool_calls":[{"function":{}}]}])",
       "messages[0].tool_calls[0].function.name"},
      {R"([{"role":"assistant","content":"x","reasoning_content":5}])",
       "messages[0].reasoning_content"},
  };
  for (const auto& [messages, param] : cases) {
    const auto parsed = parse_chat(object(R"({"messages":)" + messages + "}"));
    ASSERT_FALSE(parsed) << messages;
    EXPECT_EQ(parsed.error().param, param) << messages;
  }
  EXPECT_EQ(parse_chat(object("{}")).error().code, "missing_required_parameter");
}

TEST(ParseMessages, A33WhatAClientWroteIsShownOnOneLine) {
  for (
      const std::string body :
      {R"({"messages":[{"role":"a\nb"}]})",
       R"({"messages":[{"role":"user","content":[{"type":"a\nb"}]}]})",
       R"({"messages":[{"role":"user","content":"x"}],"response_format":{"type":"a\nb"}})",
       R"({"messages":[{"role":"user","content":"x"}],"chat_template_kwargs":{"options":{"thinking_mode":"a\nb"}}})"}) {
    const auto parsed = parse_chat(object(body));
    ASSERT_FALSE(parsed) << body;
    EXPECT_THAT(parsed.error().message, ::testing::HasSubstr("a\\nb")) << body;
  }
}

// What stands in a content part, as the one part of a message.
Result<text::ChatPart> parsed_part(const std::string& part) {
  auto parsed = parse_chat(object(R"({"messages":[{"role":"user","content":[)" + part + "]}]}"));
  if (!parsed) return parsed.error();
  return parsed->request.chat.messages[0].parts[0];
}

TEST(ParseMessages, FramesAreChosenBesideTheUrlOrBesideItsObject) {
  for (
      const char* part :
      {R"({"type":"video_url","video_url":{"url":"u","fps":0.5,"max_frames":9,"frames_sample":"middle"}})",
       R"({"type":"video_url","video_url":{"url":"u"},"fps":0.5,"max_frames":9,"frames_sample":"middle"})",
       R"({"type":"video_url","video_url":"u","fps":0.5,"max_frames":9,"frames_sample":"middle"})",
       R"({"type":"video_url","video_url":{"url":"u","fps":0.5},"max_frames":9,"frames_sample":"middle"})"}) {
    const auto video = parsed_part(part);
    ASSERT_TRUE(video) << video.error().message;
    EXPECT_EQ(video->frames.fps, 0.5) << part;
    EXPECT_EQ(video->frames.max_frames, 9) << part;
    EXPECT_EQ(video->frames.frames_sample, "middle") << part;
  }
  EXPECT_EQ(parsed_part(R"({"type":"video","video":["f"],"fps":4})")->frames.fps, 4);
}

TEST(ParseMessages, WhatElseIsSaidOfAPictureOrVideoIsRefusedByName) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"type":"video_url","video_url":{"url":"u"},"video_fps":1})", "video_fps"},
      {R"({"type":"video_url","video_url":{"url":"u","video_fps":1}})", "video_url.video_fps"},
      {R"({"type":"video_url","video_url":{"url":"u","fps":1},"fps":2})", "fps"},
      {R"({"type":"video_url","video_url":{"url":"u"},"target_frames":1.5})", "target_frames"},
      {R"({"type":"video","video":["f"],"max_frames":4})", "max_frames"},
      {R"({"type":"video","video":["f"],"nframes":4})", "nframes"},
      {R"({"type":"image_url","image_url":{"url":"u","max_pixels":9}})", "image_url.max_pixels"},
      {R"({"type":"image_url","image_url":{"url":"u"},"resized_width":9})", "resized_width"},
      {R"({"type":"image_url","image_url":"u","fps":1})", "fps"},
      {R"({"type":"image_url","image_url":"u","a\nb":1})", "a?b"},
  };
  for (const auto& [part, param] : cases) {
    const auto refused = parsed_part(part);
    ASSERT_FALSE(refused) << part;
    EXPECT_EQ(refused.error().param, std::string("messages[0].content[0].") + param) << part;
  }
  for (
      const char* harmless :
      {R"({"type":"image_url","image_url":{"url":"u","detail":"low"},"cache_control":{"type":"ephemeral"}})",
       R"({"type":"image_url","image_url":{"url":"u","max_pixels":null},"text":"","uuid":"x"})",
       R"({"type":"text","text":"t","max_pixels":9})"}) {
    EXPECT_TRUE(parsed_part(harmless)) << harmless;
  }
}

TEST(ParseMessages, VideosHaveALimitOfFrames) {
  const auto code = [](const std::string& part) {
    const auto parsed = parsed_part(part);
    return parsed ? "" : parsed.error().code;
  };
  std::string frames = "A";
  for (int i = 1; i < 1024; ++i) frames += ",A";
  const std::string url = R"({"type":"video_url","video_url":{"url":"data:video/jpeg;base64,)";
  EXPECT_EQ(code(url + frames + "\"}}"), "");
  EXPECT_EQ(code(url + frames + ",A\"}}"), "too_many_frames");
  std::string list = R"({"type":"video","video":["x")";
  for (int i = 1; i < 100'000; ++i) list += ",\"x\"";
  EXPECT_NE(code(list + "]}"), "");
}

}  // namespace
}  // namespace ernie::http
