// Tools of a request: every form, every choice, and what is refused by name.

#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "http/wire/parse.h"

namespace ernie::http {
namespace {

namespace json = boost::json;

Result<ParsedChat> chat_with(const std::string& fields) {
  return parse_chat(
      *parse_json_object(R"({"messages":[{"role":"user","content":"Hi"}],)" + fields + "}"));
}

std::string tool(const std::string& name, const std::string& more = "") {
  return R"({"type":"function","function":{"name":")" + name + '"' + more + "}}";
}

const std::string kTools = R"("tools":[)" + tool("see") + "," + tool("go") + "]";

std::vector<std::string> callable(const serve::ToolUse& use) {
  std::vector<std::string> names;
  for (const auto& each : use.tools) names.push_back(each.name);
  return names;
}

using Names = std::vector<std::string>;

TEST(ParseTools, ToolsAreOfferedToTheModelAndToTheParser) {
  const auto chat = chat_with(
      R"("tools":[)" + tool("see", R"(,"description":"d","parameters":{"type":"object"})") + "]");
  ASSERT_TRUE(chat) << chat.error().message;
  const serve::ToolUse& use = chat->request.tool_use;
  ASSERT_EQ(use.tools.size(), 1u);
  EXPECT_EQ(use.tools[0].parameters, R"({"type":"object"})");
  EXPECT_EQ(use.tools[0].field, "tools[0].function.parameters");
  EXPECT_TRUE(use.parallel);
  EXPECT_FALSE(use.required || use.guaranteed || chat->functions_only);
  EXPECT_EQ(chat->request.chat.tools.at(0).at("function").at("description"), json::value("d"));
}

TEST(ParseTools, EveryChoiceIsObeyed) {
  struct Case {
    const char* fields;
    Names callable;
    bool required, guaranteed;
  };
  for (const Case& c : std::vector<Case>{
           {R"("tool_choice":"auto")", {"see", "go"}, false, false},
           {R"("tool_choice":null)", {"see", "go"}, false, false},
           {R"("tool_choice":"required")", {"see", "go"}, true, true},
           {R"("tool_choice":{"type":"function","function":{"name":"go"}})", {"go"}, true, true},
           {R"("tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[
               {"type":"function","function":{"name":"see"}}]}})",
            {"see"},
            false,
            true},
           {R"("tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[
               {"type":"function","name":"see"}]}})",
            {"see"},
            true,
            true}}) {
    const auto chat = chat_with(kTools + "," + c.fields);
    ASSERT_TRUE(chat) << c.fields << chat.error().message;
    EXPECT_EQ(callable(chat->request.tool_use), c.callable) << c.fields;
    EXPECT_EQ(chat->request.tool_use.required, c.required) << c.fields;
    EXPECT_EQ(chat->request.tool_use.guaranteed, c.guaranteed) << c.fields;
    EXPECT_EQ(chat->request.chat.tools.as_array().size(), 2u) << "all tools are shown";
  }
  EXPECT_FALSE(chat_with(kTools + R"(,"parallel_tool_calls":false)")->request.tool_use.parallel);
  EXPECT_TRUE(chat_with(R"("tools":[)" + tool("see", R"(,"strict":true)") + "]")
                  ->request.tool_use.guaranteed);
}

TEST(ParseTools, NoneMeansNone) {
  for (const std::string& fields :
       {kTools + R"(,"tool_choice":"none")", std::string(R"("tools":[],"tool_choice":"auto")"),
        std::string(R"("functions":[],"function_call":"none","tool_choice":"none")")}) {
    const auto chat = chat_with(fields);
    ASSERT_TRUE(chat) << chat.error().message;
    EXPECT_TRUE(chat->request.tool_use.tools.empty());
    EXPECT_TRUE(chat->request.chat.tools.is_null());
  }
}

TEST(ParseTools, FunctionsAreTheOlderForm) {
  const std::string functions = R"("functions":[{"name":"see"},{"name":"go"}])";
  const auto chat = chat_with(functions + R"(,"function_call":{"name":"go"})");
  ASSERT_TRUE(chat) << chat.error().message;
  EXPECT_TRUE(chat->functions_only);
  EXPECT_EQ(callable(chat->request.tool_use), (Names{"go"}));
  EXPECT_TRUE(chat->request.tool_use.required);
  EXPECT_FALSE(chat->request.tool_use.parallel);
  EXPECT_EQ(chat->request.chat.tools.at(1).at("function").at("name"), json::value("go"));
  EXPECT_FALSE(chat_with(functions)->request.tool_use.required);
}

// A73
TEST(ParseTools, WhatIsWrongIsNamed) {
  std::string many = tool("f0");
  for (int i = 1; i <= 1024; ++i) many += "," + tool("f" + std::to_string(i));
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"("tools":5)", "tools"},
      {R"("tools":[5])", "tools[0]"},
      {R"("tools":[{"type":"function"}])", "tools[0].function"},
      {R"("tools":[{"type":"web_search"}])", "tools[0].type"},
      {R"("tools":[{"type":"function","function":{}}])", "tools[0].function.name"},
      {R"("tools":[)" + tool("a b") + "]", "tools[0].function.name"},
      {R"("tools":[)" + tool("") + "]", "tools[0].function.name"},
      {R"("tools":[)" + tool(std::string(65, 'a')) + "]", "tools[0].function.name"},
      {R"("tools":[)" + tool("a") + "," + tool("a") + "]", "tools[1].function.name"},
      {R"("tools":[)" + tool("a", R"(,"parameters":3)") + "]", "tools[0].function.parameters"},
      {R"("tools":[)" + tool("a", R"(,"strict":3)") + "]", "tools[0].function.strict"},
      {R"("tools":[)" + many + "]", "tools"},
      {R"("tools":[)" + tool("a") + "," +
           tool("b", R"(,"parameters":{"enum":")" + std::string(1 << 20, 'x') + "\"}") + "]",
       "tools[1].function"},
      {R"("tool_choice":"required")", "tool_choice"},
      {kTools + R"(,"tool_choice":"often")", "tool_choice"},
      {kTools + R"(,"tool_choice":5)", "tool_choice"},
      {kTools + R"(,"tool_choice":{"type":"function"})", "tool_choice.function"},
      {kTools + R"(,"tool_choice":{"type":"custom"})", "tool_choice.type"},
      {kTools + R"(,"tool_choice":{"type":"function","function":{"name":"fly"}})",
       "tool_choice.function"},
      {kTools + R"(,"tool_choice":{"type":"allowed_tools"})", "tool_choice.allowed_tools"},
      {kTools + R"(,"tool_choice":{"type":"allowed_tools","allowed_tools":{"tools":[]}})",
       "tool_choice.allowed_tools.tools"},
      {kTools + R"(,"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"never","tools":[
          {"function":{"name":"see"}}]}})",
       "tool_choice.allowed_tools.mode"},
      {kTools + R"(,"parallel_tool_calls":"yes")", "parallel_tool_calls"},
      {kTools + R"(,"functions":[{"name":"see"}])", "functions"},
      {R"("functions":[{"name":"see"}],"function_call":{})", "function_call.name"},
      {R"("functions":[{"name":"see"}],"function_call":"required")", "function_call"}};
  for (const auto& [fields, param] : cases) {
    const auto chat = chat_with(fields);
    ASSERT_FALSE(chat) << fields.substr(0, 200);
    EXPECT_EQ(chat.error().param, param) << fields.substr(0, 200);
    EXPECT_TRUE(chat.error().message.starts_with(param)) << chat.error().message;
  }
}

TEST(ParseTools, PastCallsAndResultsArePartsOfTheConversation) {
  const auto chat = parse_chat(*parse_json_object(R"({"messages":[
      {"role":"user","content":"x"},
      {"role":"assistant","content":null,"tool_calls":[
        {"id":"c1","type":"function","function":{"name":"see","arguments":"{\"a\":1}"}},
        {"id":"c2","type":"function","function":{"name":"see","arguments":{"a":2}}}]},
      {"role":"tool","tool_call_id":"c1","content":[{"type":"text","text":"red"},
        {"type":"image_url","image_url":{"url":"u"}}]},
      {"role":"assistant","function_call":{"name":"go","arguments":""}},
      {"role":"function","name":"go","content":"gone"}]})"));
  ASSERT_TRUE(chat) << chat.error().message;
  const auto& messages = chat->request.chat.messages;
  ASSERT_EQ(messages.size(), 5u);
  EXPECT_EQ(messages[1].tool_calls.at(0).at("id"), json::value("c1"));
  EXPECT_EQ(messages[1].tool_calls.at(1).at("function").at("arguments"), json::value("{\"a\":2}"));
  EXPECT_EQ(messages[2].role, "tool");
  EXPECT_EQ(messages[2].tool_call_id, "c1");
  EXPECT_EQ(messages[2].parts[1].kind, text::PartKind::kImage);
  EXPECT_EQ(messages[3].tool_calls.at(0).at("function").at("name"), json::value("go"));
  EXPECT_EQ(messages[4].role, "tool");
  EXPECT_EQ(messages[4].name, "go");
}

}  // namespace
}  // namespace ernie::http
