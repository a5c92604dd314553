// Fields of requests: ranges, kinds, what is refused and what is ignored.

#include "http/wire/parse.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>

namespace ernie::http {
namespace {

namespace json = boost::json;

const std::string kUser = R"([{"role":"user","content":"Hi"}])";

json::object object(const std::string& text) { return *parse_json_object(text); }

Result<ParsedChat> chat_with(const std::string& fields) {
  return parse_chat(object(R"({"messages":)" + kUser + (fields.empty() ? "" : ",") + fields + "}"));
}

Result<ParsedCompletion> completion_with(const std::string& fields) {
  return parse_completion(
      object(R"({"prompt":"Hi")" + std::string(fields.empty() ? "" : ",") + fields + "}"));
}

std::string repeated(const std::string& item, int count, const char* open = "[",
                     const char* close = "]") {
  std::string out = open;
  for (int i = 0; i < count; ++i) out += (i ? "," : "") + item;
  return out + close;
}

std::string ids_to(int count) {
  std::string out = "{";
  for (int i = 0; i < count; ++i) out += (i ? ",\"" : "\"") + std::to_string(i) + "\":1";
  return out + "}";
}

std::string quoted(size_t length) { return '"' + std::string(length, 'x') + '"'; }

struct Field {
  std::string name;
  std::vector<std::string> good;
  std::vector<std::string> bad;
};

void expect_range(const Field& field,
                  const std::function<std::optional<Error>(const std::string&)>& parse) {
  for (const std::string& value : field.good) {
    const auto error = parse('"' + field.name + "\":" + value);
    EXPECT_FALSE(error) << field.name << " " << value.substr(0, 60) << ": " << error->message;
  }
  for (const std::string& value : field.bad) {
    const auto error = parse('"' + field.name + "\":" + value);
    ASSERT_TRUE(error) << field.name << " " << value.substr(0, 60);
    EXPECT_EQ(error->kind, ErrorKind::kInvalidArgument);
    EXPECT_TRUE(error->param.starts_with(field.name)) << error->param;
    EXPECT_TRUE(error->message.starts_with(error->param)) << error->message;
    EXPECT_LT(error->message.size(), 300u);
    EXPECT_FALSE(error->code.empty());
  }
}

std::optional<Error> chat_error(const std::string& fields) {
  const auto chat = chat_with(fields);
  return chat ? std::nullopt : std::optional(chat.error());
}

std::optional<Error> completion_error(const std::string& fields) {
  const auto completion = completion_with(fields);
  return completion ? std::nullopt : std::optional(completion.error());
}

// A34 to A41: what both APIs share.
// A34, A35, A36, A37, A38, A39, A40, A41
TEST(ParseOptions, EveryFieldHasItsRange) {
  const Field fields[] = {
      {"n",
       {"1", "128", "null"},
       {"0", "-1", "129", "2147483648", "1000000000", "1.5", "\"2\"", "true"}},
      {"max_tokens",
       {"1", "2147483647"},
       {"0", "-1", "10.5", "2147483648", "9223372036854775808", "[]"}},
      {"max_completion_tokens", {"1", "null"}, {"0", "-1", "10.5", "\"7\""}},
      {"min_tokens", {"0", "5"}, {"-1", "0.5", "2147483648"}},
      {"temperature",
       {"0", "2", "0.7", "null"},
       {"-0.1", "2.1", "1e309", "\"1\"", "true", "[]", "{}"}},
      {"top_p", {"0", "1"}, {"-0.1", "1.1", "\"NaN\""}},
      {"min_p", {"0", "1"}, {"-1", "2"}},
      {"top_k", {"-1", "0", "2147483647"}, {"-2", "2147483648", "1.5"}},
      {"repetition_penalty", {"0.01", "10"}, {"0", "-1", "10.1"}},
      {"frequency_penalty", {"-2", "2"}, {"-2.1", "3"}},
      {"presence_penalty", {"-2", "2"}, {"-3", "2.1"}},
      {"seed",
       {"0", "9223372036854775807"},
       {"-1", "-9223372036854775808", "18446744073709551616", "1.5"}},
      {"stop",
       {"\"x\"", quoted(1024), repeated("\"x\"", 16), "[]", "null"},
       {"\"\"", "[\"\"]", "3", "[3]", "[null]", "{}", quoted(1025), quoted(1 << 20),
        repeated("\"x\"", 17)}},
      {"stop_token_ids",
       {"[]", "[0,2147483647]", repeated("1", 256)},
       {"[-1]", "[2147483648]", "[1.0]", "[\"a\"]", "7", repeated("1", 257)}},
      {"logit_bias",
       {"{}", R"({"0":100,"7":-100})", ids_to(1024)},
       {R"({"-1":1})", R"({"1099511627776":1})", R"({"a":1})", R"({"":1})", R"({" 1":1})",
        R"({"+1":1})", R"({"1 ":1})", R"({"1\u0000":1})", R"({"1.5":1})", R"({"1":1e30})",
        R"({"1":null})", R"({"1":"1"})", R"({"1":101})", "[]", ids_to(1025)}},
      {"prompt_logprobs", {"0", "20", "null"}, {"-1", "1.5", "true", "1000001"}},
      {"bad_words", {"[]", "[\"a\"]"}, {"[\"\"]", "[1]", "{}", repeated("\"x\"", 100'000)}},
      {"bad_words_token_ids", {"[]", "[5]"}, {"[-1]", "\"5\"", repeated("1", 1025)}},
      {"include_stop_str_in_output", {"true", "false"}, {"1", "\"true\""}},
      {"ignore_eos", {"true"}, {"0"}},
      {"skip_special_tokens", {"false"}, {"\"no\""}},
      {"return_token_ids", {"true"}, {"[]"}},
      {"max_streaming_response_tokens", {"1", "100"}, {"0", "-1", "1.5"}},
      {"timeout_ms", {"1", "86400000"}, {"0", "-5", "86400001", "1000000000000"}},
      {"request_id",
       {"\"aZ0-_.\"", quoted(128)},
       {"\"\"", "\"a b\"", R"("a\nb")", "\"\xC3\xA9\"", quoted(129), "5"}},
      {"user", {"\"me\""}, {"5", quoted(1025)}},
      {"cache_salt", {"\"a tenant\""}, {"5", quoted(257)}},
      {"model", {"\"any\"", "null"}, {"5", quoted(1025)}},
      {"stream", {"true", "false"}, {"1", "\"true\""}},
      {"stream_options", {"null"}, {"{}", R"({"include_usage":true})", "5"}},
      {"response_format",
       {R"({"type":"text"})", "{}", R"({"type":"json_object"})",
        R"({"type":"json_schema","json_schema":{"name":"n","schema":{},"strict":true}})"},
       {R"({"type":5})", "\"text\"", R"({"type":"yaml"})", R"({"type":"json_schema"})",
        R"({"type":"json_schema","json_schema":{"name":"n"}})",
        R"({"type":"json_schema","json_schema":{"schema":{},"strict":1}})"}},
      {"guided_json", {"{}", "\"{}\"", "true"}, {}},
      {"guided_json_object", {"true", "false"}, {"1"}},
      {"guided_regex", {"\"a+\""}, {"5"}},
      {"guided_grammar", {R"("root ::= \"a\"")"}, {"{}"}},
      {"guided_choice", {"[]", R"(["a","b"])"}, {"[1]", R"([""])"}},
      {"grammar", {"\"\"", R"("root ::= \"a\"")"}, {"5"}},
      {"json_schema", {"{}"}, {}},
      {"structured_outputs",
       {"{}", R"({"json":{}})", R"({"choice":["a"]})", R"({"json":{},"whitespace_pattern":" ?"})"},
       {"5", R"({"regex":5})", R"({"whitespace_pattern":" ?"})", R"({"json":{},"regex":"a"})"}},
  };
  for (const Field& field : fields) {
    expect_range(field, chat_error);
    expect_range(field, completion_error);
  }
}

TEST(ParseOptions, ValuesArriveWhereTheyBelong) {
  const auto parsed = chat_with(R"("temperature":0.5,"top_p":0.25,"top_k":-1,"min_p":0.125,
      "repetition_penalty":1.5,"frequency_penalty":-1.5,"presence_penalty":1.25,"seed":7,"max_tokens":9,
      "min_tokens":2,"stop":["a","b"],"stop_token_ids":[4],"include_stop_str_in_output":true,"ignore_eos":true,
      "skip_special_tokens":false,"n":3,"logit_bias":{"5":-2.5},"bad_words":"x","bad_words_token_ids":[6],
      "return_token_ids":true,"max_streaming_response_tokens":8,"timeout_ms":1000,"request_id":"r-1",
      "logprobs":true,"top_logprobs":2,"model":"m")");
  ASSERT_TRUE(parsed) << parsed.error().message;
  const serve::GenerationOptions& o = parsed->request.options;
  EXPECT_EQ(o.temperature, 0.5f);
  EXPECT_EQ(o.top_p, 0.25f);
  EXPECT_EQ(o.top_k, 0) << "-1 is off";
  EXPECT_EQ(o.min_p, 0.125f);
  EXPECT_EQ(o.repetition_penalty, 1.5f);
  EXPECT_EQ(o.frequency_penalty, -1.5f);
  EXPECT_EQ(o.presence_penalty, 1.25f);
  EXPECT_EQ(o.seed, 7u);
  EXPECT_EQ(o.max_tokens, 9);
  EXPECT_EQ(o.min_tokens, 2);
  EXPECT_EQ(o.stop, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(o.stop_token_ids, (std::vector<int32_t>{4}));
  EXPECT_TRUE(o.include_stop_str_in_output && o.ignore_eos && o.return_token_ids);
  EXPECT_FALSE(o.skip_special_tokens);
  EXPECT_EQ(o.n, 3);
  EXPECT_EQ(o.logit_bias, (std::vector<std::pair<int32_t, float>>{{5, -2.5f}}));
  EXPECT_EQ(o.bad_words, (std::vector<std::string>{"x"}));
  EXPECT_EQ(o.bad_words_token_ids, (std::vector<int32_t>{6}));
  EXPECT_EQ(o.max_streaming_response_tokens, 8);
  EXPECT_EQ(o.timeout_ms, 1000);
  EXPECT_EQ(o.request_id, "r-1");
  EXPECT_EQ(o.top_logprobs, 2);
  EXPECT_EQ(parsed->request.model, "m");
  EXPECT_TRUE(parsed->unknown_fields.empty());
}

TEST(ParseOptions, AbsentAndNullFieldsAreDefaults) {
  for (const char* fields :
       {"", R"("temperature":null,"seed":null,"n":null,"stop":null,"stream":null)"}) {
    const auto parsed = chat_with(fields);
    ASSERT_TRUE(parsed);
    EXPECT_FALSE(parsed->request.options.temperature || parsed->request.options.seed);
    EXPECT_EQ(parsed->request.options.n, 1);
    EXPECT_EQ(parsed->request.options.top_logprobs, -1);
    EXPECT_FALSE(parsed->request.options.max_tokens);
    EXPECT_FALSE(parsed->stream.stream);
  }
}

TEST(ParseOptions, TheNewerNameOfMaxTokensCounts) {
  EXPECT_EQ(chat_with(R"("max_tokens":5,"max_completion_tokens":6)")->request.options.max_tokens,
            6);
}

TEST(ParseOptions, A28TheLastOfDuplicateKeysCounts) {
  EXPECT_EQ(chat_with(R"("max_tokens":-5,"max_tokens":3)")->request.options.max_tokens, 3);
  EXPECT_EQ(chat_error(R"("max_tokens":3,"max_tokens":-5)")->param, "max_tokens");
  EXPECT_EQ(chat_with(R"("model":"a","model":"b")")->request.model, "b");
  EXPECT_EQ(
      chat_with(R"("stream":true,"stream_options":{"include_usage":true,"include_usage":false})")
          ->stream.include_usage,
      false);
  const auto twice = parse_chat(object(R"({"messages":5,"messages":)" + kUser + "}"));
  EXPECT_TRUE(twice);
}

TEST(ParseOptions, StreamOptionsNeedAStream) {
  const auto parsed =
      chat_with(R"("stream":true,"stream_options":{"continuous_usage_stats":true})");
  ASSERT_TRUE(parsed);
  EXPECT_TRUE(parsed->stream.stream && parsed->stream.include_usage &&
              parsed->stream.continuous_usage);
  EXPECT_FALSE(chat_with(R"("stream":true)")->stream.include_usage);
  EXPECT_EQ(chat_error(R"("stream":true,"stream_options":{"include_usage":1})")->param,
            "stream_options.include_usage");
}

// A41, A66
TEST(ParseOptions, A47FieldsWeKnowButDoNotHaveAreRefused) {
  for (const char* name :
       {"chat_template", "logits_processors_args", "include_draft_logprobs", "temp_scaled_logprobs",
        "top_p_normalized_logprobs", "completion_token_ids", "mm_hashes", "response_max_tokens",
        "disaggregate_info", "audio", "modalities", "prediction", "priority",
        "web_search_options"}) {
    for (const auto& error : {chat_error('"' + std::string(name) + "\":1"),
                              completion_error('"' + std::string(name) + "\":1")}) {
      ASSERT_TRUE(error) << name;
      EXPECT_EQ(error->code, "unsupported_parameter") << name;
      EXPECT_EQ(error->param, name);
    }
    EXPECT_FALSE(chat_error('"' + std::string(name) + "\":null")) << name;
  }
  for (const char* fields :
       {R"("echo":true)", R"("prompt_token_ids":[1])", R"("disable_chat_template":true)",
        R"("metadata":{"raw_request":true})"}) {
    const auto error = chat_error(fields);
    ASSERT_TRUE(error) << fields;
    EXPECT_EQ(error->code, "unsupported_parameter") << fields;
  }
  EXPECT_FALSE(chat_error(R"("tools":[],"tool_choice":"auto","parallel_tool_calls":true)"));
  for (const char* fields :
       {R"("best_of":2)", R"("suffix":"x")", R"("multimodal_data":{"image":[]})"}) {
    EXPECT_EQ(completion_error(fields)->code, "unsupported_parameter") << fields;
  }
  EXPECT_FALSE(completion_error(R"("best_of":1,"suffix":"")"));
}

TEST(ParseOptions, ValuesThatAskForNothingAreAccepted) {
  for (const char* fields :
       {R"("logprobs":false,"top_logprobs":0)", R"("modalities":["text"])", R"("priority":0)",
        R"("guided_choice":[],"functions":[],"function_call":"none","tool_choice":"none")",
        R"("use_beam_search":false,"length_penalty":1.0,"typical_p":1,"mirostat":0)",
        R"("include_draft_logprobs":false,"logits_processors_args":{},"mm_hashes":[])",
        R"("detokenize":true,"n_predict":-1,"repeat_penalty":1.0,"verbosity":"medium")",
        R"("max_tokens":16.0,"top_k":5.0,"echo":false,"add_generation_prompt":true)"}) {
    const auto chat = chat_with(fields);
    EXPECT_TRUE(chat) << fields << ": " << chat.error().message;
    EXPECT_TRUE(!chat || chat->unknown_fields.empty()) << fields;
  }
  EXPECT_EQ(chat_with(R"("max_tokens":16.0)")->request.options.max_tokens, 16);
  EXPECT_EQ(chat_error(R"("max_tokens":16.5)")->param, "max_tokens");
  EXPECT_EQ(chat_error(R"("max_tokens":1e300)")->param, "max_tokens");
}

TEST(ParseOptions, EverySpellingOfThinkingMeansTheSame) {
  const auto thinking = [](const char* fields) {
    const auto chat = chat_with(fields);
    EXPECT_TRUE(chat) << fields << ": " << chat.error().message;
    return chat->request.chat.enable_thinking;
  };
  for (const char* off : {R"("reasoning_effort":"none")", R"("thinking":{"type":"disabled"})",
                          R"("reasoning":{"effort":"none"})", R"("reasoning":{"enabled":false})"}) {
    EXPECT_EQ(thinking(off), false) << off;
  }
  for (const char* on : {R"("reasoning_effort":"low")", R"("thinking":{"type":"enabled"})",
                         R"("reasoning":{"effort":"high"})"}) {
    EXPECT_EQ(thinking(on), true) << on;
  }
  EXPECT_EQ(thinking(R"("thinking":{"type":"adaptive"})"), std::nullopt);
  for (const char* budget :
       {R"("reasoning_max_tokens":7)", R"("thinking_budget":7)", R"("reasoning":{"max_tokens":7})",
        R"("thinking":{"type":"enabled","budget_tokens":7})", R"("thinking_token_budget":7)"}) {
    EXPECT_EQ(chat_with(budget)->request.reasoning_limit.tokens, 7) << budget;
  }
  EXPECT_EQ(chat_with(R"("reasoning_effort":"low")")->request.reasoning_limit.share, 0.2);
  EXPECT_EQ(chat_error(R"("reasoning_effort":"none","enable_thinking":true)")->code,
            "conflicting_parameters");
  EXPECT_EQ(chat_error(R"("thinking_budget":7,"reasoning_max_tokens":8)")->param,
            "thinking_budget");
  for (const auto& [fields, param] : std::vector<std::pair<const char*, const char*>>{
           {R"("reasoning_effort":"huge")", "reasoning_effort"},
           {R"("thinking":true)", "thinking"},
           {R"("thinking":{"type":"deep"})", "thinking.type"},
           {R"("reasoning":{"exclude":true})", "reasoning.exclude"}}) {
    EXPECT_EQ(chat_error(fields)->param, param);
  }
}

TEST(ParseOptions, AnAnswerMayGoOnWithAMessage) {
  const auto with = [](const std::string& role, const std::string& fields) {
    return parse_chat(object(R"({"messages":[{"role":"user","content":"Hi"},{"role":")" + role +
                             R"(","content":"I"}],"continue_final_message":true)" + fields + "}"));
  };
  const auto chat = with("assistant", "");
  ASSERT_TRUE(chat) << chat.error().message;
  EXPECT_TRUE(chat->request.chat.continue_final_message);
  EXPECT_FALSE(chat->request.chat.add_generation_prompt);
  EXPECT_EQ(with("user", "").error().param, "continue_final_message");
  EXPECT_EQ(with("assistant", R"(,"add_generation_prompt":true)").error().code,
            "conflicting_parameters");
  EXPECT_FALSE(chat_with(R"("add_generation_prompt":false)")->request.chat.add_generation_prompt);
}

TEST(ParseOptions, EverySpellingOfAFormatMeansTheSame) {
  using grammar::GrammarKind;
  const struct {
    const char* body;
    GrammarKind kind;
    const char* text;
    const char* field;
  } cases[] = {
      {R"("response_format":{"type":"json_object"})", GrammarKind::kJsonObject, "",
       "response_format"},
      {R"("response_format":{"type":"json_object","schema":{"type":"null"}})",
       GrammarKind::kJsonSchema, R"({"type":"null"})", "response_format.schema"},
      {R"("response_format":{"type":"json_schema","json_schema":{"schema":{"type":"null"}}})",
       GrammarKind::kJsonSchema, R"({"type":"null"})", "response_format.json_schema.schema"},
      {R"("guided_json":{"type":"null"})", GrammarKind::kJsonSchema, R"({"type":"null"})",
       "guided_json"},
      {R"("guided_json":"{\"type\": \"null\"}")", GrammarKind::kJsonSchema, R"({"type": "null"})",
       "guided_json"},
      {R"("json_schema":{"type":"null"})", GrammarKind::kJsonSchema, R"({"type":"null"})",
       "json_schema"},
      {R"("structured_outputs":{"json":{"type":"null"}})", GrammarKind::kJsonSchema,
       R"({"type":"null"})", "structured_outputs.json"},
      {R"("guided_json_object":true)", GrammarKind::kJsonObject, "", "guided_json_object"},
      {R"("structured_outputs":{"regex":"a+"})", GrammarKind::kRegex, "a+",
       "structured_outputs.regex"},
      {R"("guided_regex":"a+")", GrammarKind::kRegex, "a+", "guided_regex"},
      {R"("guided_grammar":"root ::= x")", GrammarKind::kEbnf, "root ::= x", "guided_grammar"},
      {R"("grammar":"root ::= x")", GrammarKind::kEbnf, "root ::= x", "grammar"},
      {R"("structural_tag":"{}")", GrammarKind::kStructuralTag, "{}", "structural_tag"},
  };
  for (const auto& c : cases) {
    const auto parsed = chat_with(c.body);
    ASSERT_TRUE(parsed.ok()) << c.body;
    const auto& format = parsed->request.options.format;
    ASSERT_TRUE(format) << c.body;
    EXPECT_EQ(format->grammar.kind, c.kind) << c.body;
    EXPECT_EQ(format->grammar.text, c.text) << c.body;
    EXPECT_EQ(format->field, c.field) << c.body;
  }
  EXPECT_EQ(chat_with(R"("guided_choice":["a","b"])")->request.options.format->grammar.choices,
            (std::vector<std::string>{"a", "b"}));
  EXPECT_FALSE(
      chat_with(R"("guided_choice":[],"response_format":{"type":"text"})")->request.options.format);
  const auto whitespace_of = [](const char* fields) {
    return chat_with(fields)->request.options.format->grammar.whitespace;
  };
  EXPECT_EQ(whitespace_of(R"("guided_json":{},"guided_whitespace_pattern":" ?")"), " ?");
  EXPECT_NE(whitespace_of(R"("guided_json":{})"), "") << "any number of spaces may stand anywhere";
  EXPECT_EQ(chat_error(R"("guided_regex":"a","guided_choice":["a"])")->code,
            "conflicting_parameters");
}

TEST(ParseOptions, A47UnknownFieldsAreReported) {
  EXPECT_EQ(chat_with(R"("of_tomorrow":1)")->unknown_fields,
            (std::vector<std::string>{"of_tomorrow"}));
  EXPECT_EQ(completion_with(R"("x":null)")->unknown_fields, (std::vector<std::string>{"x"}));
}

// A37
TEST(ParseChat, LogprobsNeedToBeSwitchedOn) {
  EXPECT_EQ(chat_with(R"("logprobs":true)")->request.options.top_logprobs, 0);
  EXPECT_EQ(chat_with(R"("logprobs":false)")->request.options.top_logprobs, -1);
  expect_range({"top_logprobs", {"null"}, {"3", "-1", "2147483648", "\"2\""}}, chat_error);
  expect_range({"logprobs", {"true", "false"}, {"3", "\"yes\""}}, chat_error);
  EXPECT_EQ(completion_with(R"("logprobs":4)")->request.options.top_logprobs, 4);
  expect_range({"logprobs", {"0", "5"}, {"-1", "true", "2147483648"}}, completion_error);
}

TEST(ParseChat, ThinkingIsSetInThreePlaces) {
  EXPECT_FALSE(chat_with("")->request.chat.enable_thinking);
  for (const char* value : {"true", "false"}) {
    const bool on = value == std::string("true");
    for (const std::string& fields :
         {R"("enable_thinking":)" + std::string(value),
          R"("metadata":{"enable_thinking":)" + std::string(value) + "}",
          R"("chat_template_kwargs":{"enable_thinking":)" + std::string(value) + "}",
          R"("chat_template_kwargs":{"options":{"thinking_mode":")" +
              std::string(on ? "open" : "close") + "\"}}"}) {
      EXPECT_EQ(chat_with(fields)->request.chat.enable_thinking, on) << fields;
    }
  }
  expect_range({"enable_thinking", {"null"}, {"\"yes\"", "1"}}, chat_error);
}

TEST(ParseChat, A45ReasoningMaxTokens) {
  expect_range(
      {"reasoning_max_tokens", {"0", "5", "2147483647"}, {"-1", "1.5", "\"5\"", "2147483648"}},
      chat_error);
  EXPECT_EQ(chat_with(R"("reasoning_max_tokens":5)")->request.reasoning_limit.tokens, 5);
  EXPECT_EQ(chat_with(R"("metadata":{"reasoning_max_tokens":6})")->request.reasoning_limit.tokens,
            6);
}

TEST(ParseChat, MetadataIsTheClientsOwnButForAFewFields) {
  const auto parsed =
      chat_with(R"("metadata":{"anything":[1,2],"max_streaming_response_tokens":4})");
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->request.options.max_streaming_response_tokens, 4);
  expect_range({"metadata",
                {"{}"},
                {"5", R"({"enable_thinking":1})", R"({"reasoning_max_tokens":-1})",
                 R"({"max_streaming_response_tokens":0})"}},
               chat_error);
}

// A66
TEST(ParseChat, TemplateKwargsAreBounded) {
  std::string deep = "1";
  for (int i = 0; i < 33; ++i) deep = "[" + deep + "]";
  expect_range(
      {"chat_template_kwargs",
       {"{}", R"({"colour":"red"})"},
       {"5", R"({"messages":[]})", R"({"tools":[]})", R"({"documents":1})", R"({"tokenize":true})",
        R"({"add_generation_prompt":false})", R"({"x":)" + quoted(17 * 1024) + "}",
        R"({"x":)" + deep + "}", R"({"enable_thinking":3})", R"({"options":3})",
        R"({"options":{"thinking_mode":"maybe"}})", R"({"options":{"thinking_mode":5}})"}},
      chat_error);
  EXPECT_EQ(chat_with(R"("chat_template_kwargs":{"colour":"red"})")
                ->request.chat.template_kwargs.at("colour"),
            json::value("red"));
}

TEST(ParseCompletion, A42Prompts) {
  using Prompts = std::vector<std::variant<std::string, std::vector<int32_t>>>;
  const auto prompts = [](const std::string& text) {
    return parse_completion(object(R"({"prompt":)" + text + "}"))->request.prompts;
  };
  EXPECT_EQ(prompts("\"a\""), Prompts({"a"}));
  EXPECT_EQ(prompts(R"(["a","b"])"), Prompts({"a", "b"}));
  EXPECT_EQ(prompts("[1,2]"), Prompts({std::vector<int32_t>{1, 2}}));
  EXPECT_EQ(prompts("[[1],[2,3]]"), Prompts({std::vector<int32_t>{1}, std::vector<int32_t>{2, 3}}));
  for (const std::string bad : {"\"\"", "[]", "[[]]", "[\"\"]", "[-1]", "[2147483648]", "[1.0]",
                                "[1,\"a\"]", "[\"a\",1]", "[[1],\"a\"]", "[\"a\",[1]]", "[[\"a\"]]",
                                "[null]", "[true]", "[{}]", "5", "true", "{}", "null"}) {
    const auto parsed = parse_completion(object(R"({"prompt":)" + bad + "}"));
    ASSERT_FALSE(parsed) << bad;
    EXPECT_EQ(parsed.error().param, "prompt") << bad;
  }
  EXPECT_EQ(parse_completion(object("{}")).error().code, "missing_required_parameter");
  EXPECT_EQ(prompts(repeated("\"x\"", 256)).size(), 256u);
  EXPECT_FALSE(parse_completion(object(R"({"prompt":)" + repeated("\"x\"", 257) + "}")));
  EXPECT_FALSE(parse_completion(object(R"({"prompt":)" + repeated("[1]", 1'000'000) + "}")));
}

TEST(ParseCompletion, NothingNeedBeGeneratedBehindAnEcho) {
  for (const char* field : {R"("max_tokens":0)", R"("max_completion_tokens":0)"}) {
    EXPECT_EQ(completion_with(std::string(R"("echo":true,)") + field)->request.options.max_tokens,
              0);
    EXPECT_TRUE(completion_error(field));
    EXPECT_TRUE(completion_error(std::string(R"("echo":false,)") + field));
  }
  EXPECT_EQ(completion_with(R"("prompt_logprobs":3)")->request.options.prompt_logprobs, 3);
  EXPECT_EQ(completion_with(R"("logprobs":3)")->request.options.prompt_logprobs, -1);
  EXPECT_EQ(chat_with(R"("prompt_logprobs":0)")->request.options.prompt_logprobs, 0);
}

TEST(ParseCompletion, A34PromptsTimesChoicesHaveALimit) {
  const auto parse = [](int count, int n) {
    return parse_completion(
        object(R"({"prompt":)" + repeated("\"x\"", count) + ",\"n\":" + std::to_string(n) + "}"));
  };
  EXPECT_TRUE(parse(256, 4));
  ASSERT_FALSE(parse(256, 5));
  EXPECT_EQ(parse(256, 5).error().param, "n");
}

}  // namespace
}  // namespace ernie::http
