// The routes that do not generate, over the real service and a scripted engine.

#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "http/testing/test_api.h"

namespace ernie::http {
namespace {

namespace json = boost::json;

class UtilityRoutes : public testing::Test {
 protected:
  // The `error` of an answer with that status.
  json::value refused(const char* path, const std::string& body, int status = 400) {
    const auto writer = api_.post(path, body);
    EXPECT_EQ(writer->status(), status) << body;
    return writer->json().at("error");
  }

  Api api_{serve::always(text_script("a"))};
};

json::value id_list(const std::vector<int32_t>& ids) { return json::value_from(ids); }

TEST_F(UtilityRoutes, TokenizeGivesTheTokensOfAText) {
  const auto body = api_.post("/tokenize", R"({"model":"tiny","prompt":"a red dog"})")->json();
  const auto expected = serve::ids("a red dog");
  EXPECT_EQ(body.at("tokens"), id_list(expected));
  EXPECT_EQ(body.at("count"), json::value(expected.size()));
  EXPECT_EQ(body.at("max_model_len"), json::value(512));
  EXPECT_TRUE(body.at("token_strs").is_null());
  EXPECT_EQ(api_.post("/tokenize", R"({"prompt":""})")->json().at("count"), json::value(0));
}

TEST_F(UtilityRoutes, TokenStringsJoinToTheText) {
  const auto body =
      api_.post("/tokenize", R"({"prompt":"a \"red\" dog</think>","return_token_strs":true})")
          ->json();
  std::string text;
  for (const auto& piece : body.at("token_strs").as_array()) text += piece.as_string();
  EXPECT_EQ(text, "a \"red\" dog</think>");
  EXPECT_EQ(body.at("token_strs").as_array().size(), body.at("tokens").as_array().size());
}

TEST_F(UtilityRoutes, TokenizeOfMessagesIsThePromptOfTheChat) {
  const std::string messages = R"({"messages":[{"role":"user","content":"Hi"}])";
  api_.post("/v1/chat/completions", messages + R"(,"enable_thinking":false})");
  const auto prompt = api_.engine().requests().at(0).prompt->tokens;
  const auto closed =
      api_.post("/tokenize", messages + R"(,"chat_template_kwargs":{"enable_thinking":false}})");
  EXPECT_EQ(closed->json().at("tokens"), id_list(prompt));
  const auto open = api_.post("/tokenize", messages + R"(,"add_generation_prompt":false})")->json();
  EXPECT_EQ(open.at("tokens"), id_list(serve::ids("<|begin_of_sentence|>User: Hi")));
  EXPECT_EQ(api_.engine().requests().size(), 1u) << "nothing is generated";
}

TEST_F(UtilityRoutes, AMessageThatIsContinuedStaysOpen) {
  const std::string tail =
      R"({"role":"assistant","content":"a red"}],"continue_final_message":true})";
  const std::string body = R"({"messages":[{"role":"user","content":"Hi"},)" + tail;
  api_.post("/v1/chat/completions", body);
  const auto prompt = api_.engine().requests().at(0).prompt->tokens;
  EXPECT_EQ(api_.post("/tokenize", body)->json().at("tokens"), id_list(prompt));
}

TEST_F(UtilityRoutes, WhatTokenizeCannotDoIsRefused) {
  const std::string prompt = R"({"prompt":"a",)";
  const std::string messages = R"({"messages":[{"role":"user","content":"Hi"}],)";
  for (const auto& [body, param] : std::vector<std::pair<std::string, std::string>>{
           {"{}", "prompt"},
           {R"({"prompt":["a"]})", "prompt"},
           {messages + R"("prompt":"a"})", "prompt"},
           {prompt + R"("add_special_tokens":true})", "add_special_tokens"},
           {messages + R"("add_special_tokens":true})", "add_special_tokens"},
           {messages + R"("continue_final_message":true})", "continue_final_message"},
           {prompt + R"("continue_final_message":true})", "continue_final_message"},
           {messages + R"("chat_template":"x"})", "chat_template"},
           {messages + R"("mm_processor_kwargs":{"max_pixels":1}})", "mm_processor_kwargs"},
           {prompt + R"("add_generation_prompt":true})", "add_generation_prompt"},
           {prompt + R"("enable_thinking":true})", "enable_thinking"},
           {prompt + R"("return_token_strs":1})", "return_token_strs"},
           {R"({"messages":[]})", "messages"}}) {
    EXPECT_EQ(refused("/tokenize", body).at("param"), json::value(param)) << body;
  }
  EXPECT_EQ(api_.post("/tokenize", prompt + R"("add_special_tokens":false})")->status(), 200);
  EXPECT_EQ(refused("/tokenize", prompt + R"("model":"other"})", 404).at("param"),
            json::value("model"));
}

TEST_F(UtilityRoutes, TextsLongerThanTheContextAreRefusedAsPromptsAre) {
  std::string text;
  for (int i = 0; i < 600; ++i) text += " a";
  for (const std::string& body :
       {R"({"prompt":")" + text + R"("})",
        R"({"messages":[{"role":"user","content":")" + text + R"("}]})"}) {
    const auto error = refused("/tokenize", body);
    EXPECT_EQ(error.at("code"), json::value("context_length_exceeded"));
    EXPECT_NE(std::string(error.at("message").as_string()).find("512"), std::string::npos);
  }
}

// lm-eval measures log-likelihoods with a server's own tokenizer if it has these.
TEST_F(UtilityRoutes, TokenizerInfoNamesTheSpecialTokens) {
  const json::value info = api_.get("/tokenizer_info")->json();
  EXPECT_EQ(info.at("bos_token"), json::value("<s>"));
  EXPECT_EQ(info.at("eos_token"), json::value("</s>"));
  EXPECT_EQ(info.at("cls_token"), json::value("<|begin_of_sentence|>"));
  EXPECT_TRUE(info.at("chat_template").is_null()) << "it is built in";
  const std::string eos = R"({"add_special_tokens":false,"prompt":"</s>"})";
  EXPECT_EQ(api_.post("/tokenize", eos)->json().at("count"), json::value(1));
}

TEST_F(UtilityRoutes, DetokenizeShowsSpecialTokensToo) {
  const std::string text = "<|begin_of_sentence|>a red dog</think>";
  const std::string ids = json::serialize(id_list(serve::ids(text)));
  EXPECT_EQ(api_.post("/detokenize", R"({"tokens":)" + ids + "}")->json(),
            json::value({{"prompt", text}}));
  EXPECT_EQ(api_.post("/detokenize", R"({"tokens":[]})")->json().at("prompt"), json::value(""));
}

TEST_F(UtilityRoutes, DetokenizeNamesTheIdThatIsNone) {
  const std::string most = std::to_string(api_.service().service->vocab_size() - 1);
  for (const char* id : {"-1", "1.5", "\"a\"", "736", "9223372036854775807", "1e30"}) {
    const auto error = refused("/detokenize", R"({"tokens":[1,)" + std::string(id) + "]}");
    const std::string message(error.at("message").as_string());
    EXPECT_EQ(message.rfind("tokens[1] should be a token id from 0 to " + most + ", got ", 0), 0u)
        << message;
    EXPECT_EQ(error.at("param"), json::value("tokens"));
  }
  std::string many = "1";
  for (int i = 0; i < 512; ++i) many += ",1";
  EXPECT_EQ(refused("/detokenize", R"({"tokens":[)" + many + "]}").at("message"),
            json::value("tokens has 513 items; at most 512 are allowed (--max-model-len)"));
  EXPECT_EQ(refused("/detokenize", R"({"tokens":[1],"skip_special_tokens":true})").at("param"),
            json::value("skip_special_tokens"));
  EXPECT_EQ(refused("/detokenize", "{}").at("code"), json::value("missing_required_parameter"));
}

TEST_F(UtilityRoutes, ARenderedChatIsThePromptThatWouldRun) {
  const std::string body =
      R"({"messages":[{"role":"user","content":"Hi"}],"max_tokens":9,"stream":true})";
  const auto shown = api_.post("/v1/chat/completions/render", body)->json();
  EXPECT_TRUE(api_.engine().requests().empty()) << "nothing is generated";
  api_.post("/v1/chat/completions", body);
  const auto request = api_.engine().requests().at(0);
  EXPECT_EQ(shown.at("token_ids"), id_list(request.prompt->tokens));
  EXPECT_EQ(shown.at("prompt"), json::value("<|begin_of_sentence|>User: Hi\nAssistant: <think>"));
  EXPECT_EQ(shown.at("prompt_tokens"), json::value(request.prompt->tokens.size()));
  EXPECT_EQ(shown.at("max_tokens"), json::value(9));
  EXPECT_EQ(shown.at("media"), json::array{});
}

TEST_F(UtilityRoutes, RenderedCompletionsAreAListWithATotal) {
  const auto shown = api_.post("/v1/completions/render", R"({"prompt":["a red","dog"]})")->json();
  const auto& data = shown.at("data").as_array();
  ASSERT_EQ(data.size(), 2u);
  const std::vector<std::string> texts{"a red", "dog"};
  size_t total = 0;
  for (size_t i = 0; i < 2; ++i) {
    const auto ids = serve::ids(texts[i]);
    EXPECT_EQ(data[i].at("index"), json::value(i));
    EXPECT_EQ(data[i].at("prompt"), json::value(texts[i]));
    EXPECT_EQ(data[i].at("token_ids"), id_list(ids));
    EXPECT_EQ(data[i].at("max_tokens"), json::value(512 - ids.size()));
    total += ids.size();
  }
  EXPECT_EQ(shown.at("prompt_tokens"), json::value(total));
}

TEST_F(UtilityRoutes, WhatWouldNotRunIsNotRendered) {
  const std::string chat = R"({"messages":[{"role":"user","content":"Hi"}],)";
  for (const auto& [field, param] : std::vector<std::pair<std::string, std::string>>{
           {R"("temperature":3)", "temperature"},
           {R"("stop_token_ids":[736])", "stop_token_ids"},
           {R"("guided_regex":"(")", "guided_regex"},
           {R"("tools":[{"type":"function","function":{"name":"f","strict":true,"parameters":)"
            R"({"type":"object","properties":{"x":{"type":"string","pattern":"("}}}}}],)"
            R"("tool_choice":"required")",
            "tools[0].function.parameters"},
           {R"("bad_words":["a b c d e f g h i j k l m n o p q r s t"])", "bad_words"}}) {
    const std::string body = chat + field + "}";
    EXPECT_EQ(refused("/v1/chat/completions", body), refused("/v1/chat/completions/render", body));
    EXPECT_EQ(refused("/v1/chat/completions/render", body).at("param"), json::value(param));
  }
  EXPECT_EQ(refused("/v1/completions/render", R"({"prompt":[736]})").at("param"),
            json::value("prompt"));
}

TEST_F(UtilityRoutes, EmbeddingsAreRefusedWithTheReason) {
  for (const char* path : {"/v1/embeddings", "/v1/reward", "/pooling", "/score"}) {
    const auto error = refused(path, R"({"model":"tiny","input":"a"})");
    EXPECT_EQ(error.at("code"), json::value("unsupported_by_model"));
    EXPECT_NE(std::string(error.at("message").as_string()).find("no head for embeddings"),
              std::string::npos);
  }
}

}  // namespace
}  // namespace ernie::http
