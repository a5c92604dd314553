// What counts as JSON, and what numbers and text in it may be.

#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "http/wire/parse.h"
#include "text/utf8.h"

namespace ernie::http {
namespace {

using std::string_literals::operator""s;

std::string code_of(const std::string& body) {
  const auto object = parse_json_object(body);
  if (object) return "";
  EXPECT_EQ(object.error().kind, ErrorKind::kInvalidArgument) << body.substr(0, 60);
  return object.error().code;
}

TEST(Json, A25WhatIsNotJsonIsRefused) {
  const std::string cases[] = {
      // Structure.
      "",
      " ",
      "\n",
      "{",
      "}",
      "[",
      "]",
      "{]",
      "[}",
      "{}}",
      "{}{}",
      "{} x",
      "[1 2]",
      "[1,]",
      "[,1]",
      "[1,,2]",
      R"({"a":1,})",
      R"({,"a":1})",
      R"({"a" 1})",
      R"({"a":})",
      R"({"a"})",
      R"({:1})",
      R"({"a":1 "b":2})",
      R"({"a":1,"b"})",
      R"({"a"::1})",
      R"(["a":1])",
      "{[1]:2}",
      "{1:2}",
      "{null:1}",
      "{a:1}",
      "{'a':1}",
      R"({"a":1;"b":2})",
      R"({"a"=1})",
      "(1)",
      "<a>",
      "{}\0"s,
      "\0{}"s,
      "\f{}",
      "\v{}",
      "\xC2\xA0{}",
      "\xEF\xBB\xBF{}",
      "// x\n{}",
      "/* x */{}",
      "{}#",
      "[1]/",
      "*",
      "\\u007B}",
      "{\"a\":[}",
      "[[[",
      "{\"a\":{\"b\":",
      // Words.
      "nul",
      "nulll",
      "Null",
      "True",
      "tru",
      "FALSE",
      "undefined",
      "[nan]",
      "[NaN]",
      "[Infinity]",
      "[-Infinity]",
      "[inf]",
      // Numbers.
      "[01]",
      "[-01]",
      "[00]",
      "[1.]",
      "[.5]",
      "[-.5]",
      "[+1]",
      "[-]",
      "[--1]",
      "[1e]",
      "[1e+]",
      "[1E-]",
      "[0e]",
      "[1.e5]",
      "[0x1F]",
      "[0b1]",
      "[1_000]",
      "[1,000.]",
      "[1a]",
      "[1 e5]",
      "[-2.]",
      "[2.e3]",
      "[1.2.3]",
      "[\xEF\xBC\x91]",
      // Strings.
      "\"",
      "[\"]",
      "[\"a]",
      "['a']",
      "[a\"]",
      R"(["\x41"])",
      R"(["\a"])",
      R"(["\'"])",
      R"(["\u12"])",
      R"(["\u12G4"])",
      R"(["\U0041"])",
      R"(["\)",
      R"(["\"])",
      "[\"\t\"]",
      "[\"\n\"]",
      "[\"\x01\"]",
      "[\"a\0b\"]"s,
      "[\"\x1f\"]",
      R"("a" "b")",
      R"({"a\":1})",
  };
  for (const std::string& body : cases) EXPECT_EQ(code_of(body), "json_invalid") << body;
}

TEST(Json, A25WhatIsJsonIsNeverCalledBroken) {
  const std::string cases[] = {
      "{}",
      " \t\r\n{ \n} ",
      R"({"":0})",
      R"({"a":[]})",
      R"({"a":{}})",
      R"({"a":[null,true,false]})",
      R"({"a":0,"b":-0,"c":-1,"d":1.5,"e":-1.5e3,"f":1E5,"g":1e+5,"h":1e-5,"i":0e0,"j":0.0e-0})",
      R"({"a":123456789012345678})",
      R"({"a":"\"\\\/\b\f\n\r\t"})",
      R"({"a":"\u0041\u00e9\u4f60"})",
      R"({"a":"\ud83d\ude00"})",
      R"({"a":"\u0000"})",
      R"({"a":"\uFFFF\uFDD0"})",
      R"({"\u0061":1})",
      R"({"a":1,"a":2})",
      "{\"a\":\"\x7f\"}",
      "{\"a\":\"\xE4\xBD\xA0\xF0\x9F\x98\x80\"}",
      "{\"a\":\"\xEF\xBF\xBF\xEF\xBB\xBF\"}",
      "{\"\xE4\xBD\xA0\":1}",
      R"({"a":" // no comment /* */"})",
      "[]",
      "[1]",
      "null",
      "true",
      "0",
      "-0",
      "\"x\"",
      " \"\" ",
  };
  for (const std::string& body : cases) EXPECT_NE(code_of(body), "json_invalid") << body;
}

// What RFC 8259 leaves open: either answer, but no crash, and no broken text inside.
TEST(Json, A25DoubtfulTextIsRefusedOrHarmless) {
  const std::string cases[] = {
      R"({"a":1e99999})",
      R"({"a":-1e99999})",
      R"({"a":1e-99999})",
      R"({"a":0.5e-99999999999999999})",
      R"({"a":9223372036854775808})",
      R"({"a":-9223372036854775809})",
      R"({"a":)" + std::string(5000, '9') + "}",
      R"({"a":0.)" + std::string(5000, '3') + "}",
      R"({"a":"\ud800"})",
      R"({"a":"\udc00"})",
      R"({"a":"\ud800\ud800"})",
      R"({"a":"\udc00\ud800"})",
      R"({"a":"\ud83d\u0041"})",
      R"({"\ud800":1})",
      "{\"a\":\"\xED\xA0\x80\"}",
      "{\"a\":\"\xC0\xAF\"}",
      "\xFF\xFE{\0}\0"s,
      "{\"a\":\"" + std::string(1 << 20, 'x') + "\"}",
  };
  for (const std::string& body : cases) {
    const auto object = parse_json_object(body);
    if (object) {
      EXPECT_TRUE(text::is_valid_utf8(boost::json::serialize(*object))) << body.substr(0, 60);
    }
  }
}

TEST(Json, A26DeepNestingIsRefused) {
  const auto nested = [](int depth, const std::string& open, const std::string& close) {
    std::string out = R"({"a":)";
    for (int i = 1; i < depth; ++i) out += open;
    out += "0";
    for (int i = 1; i < depth; ++i) out += close;
    return out + "}";
  };
  EXPECT_EQ(code_of(nested(64, "[", "]")), "");
  EXPECT_EQ(code_of(nested(65, "[", "]")), "json_invalid");
  EXPECT_EQ(code_of(nested(64, R"({"a":)", "}")), "");
  EXPECT_EQ(code_of(nested(100'000, "[", "]")), "json_invalid");
  EXPECT_EQ(code_of(nested(100'000, R"({"a":)", "}")), "json_invalid");
  EXPECT_EQ(code_of(std::string(10'000'000, '[')), "json_invalid");
}

std::string numbers(size_t count) {
  std::string text = "{\"a\":[0";
  for (size_t i = 1; i < count; ++i) text += ",0";
  return text + "]}";
}

// A zero takes two bytes as text and some fifty while it is read.
TEST(Json, A31TheParsedFormIsBounded) {
  const auto object = parse_json_object(numbers(1'000'000), {.max_bytes = size_t{1} << 20});
  ASSERT_FALSE(object);
  EXPECT_EQ(object.error().kind, ErrorKind::kTooLarge);
  EXPECT_EQ(object.error().code, "json_too_large");
  EXPECT_NE(object.error().message.find("1048576"), std::string::npos);
  EXPECT_TRUE(parse_json_object(numbers(10'000), {.max_bytes = size_t{1} << 20}));
}

TEST(Json, A31TheParsedFormTakesItsShareOfAllRequestsAndGivesItBack) {
  const JsonLimits limits{.memory = RequestMemory(size_t{4} << 20)};
  const Limiter& taken = *limits.memory.held;
  {
    const auto object = parse_json_object(numbers(10'000), limits);
    ASSERT_TRUE(object);
    EXPECT_GE(taken.used(), 10'000 * sizeof(boost::json::value));
    EXPECT_LE(taken.used(), 12'000 * sizeof(boost::json::value)) << "not what parsing needed";
    const auto other = parse_json_object(numbers(1'000'000), limits);
    ASSERT_FALSE(other);
    EXPECT_EQ(other.error().kind, ErrorKind::kRateLimited);
    EXPECT_EQ(other.error().code, "too_many_bytes");
  }
  EXPECT_EQ(taken.used(), 0u);
}

std::string keys(size_t count, size_t first = 0) {
  std::string text = "{\"key\":0";
  for (size_t i = 1; i < count; ++i) text += ",\"" + std::to_string(first + i) + "\":0";
  return text + "}";
}

// Keys that collide would cost the square of their number.
TEST(Json, A31KeysAreFew) {
  EXPECT_EQ(code_of(keys(2048)), "");
  EXPECT_EQ(code_of(keys(2049)), "json_too_many_keys");
  EXPECT_EQ(code_of(keys(1'000'000)), "json_too_many_keys");
  std::string many = "{\"a\":[{}";
  for (int i = 0; i < 33; ++i) many += "," + keys(2000);
  EXPECT_EQ(code_of(many + "]}"), "json_too_many_keys");
  EXPECT_EQ(code_of("{\"" + std::string(1 << 20, 'k') + "\":1}"), "") << "a key of 1 MB";
}

TEST(Json, A27BodiesThatAreNoObjectsSaySo) {
  for (const char* body : {"[]", "[{}]", "null", "3", "1.5", "true", "\"{}\""}) {
    const auto object = parse_json_object(body);
    ASSERT_FALSE(object) << body;
    EXPECT_EQ(object.error().code, "invalid_value");
    EXPECT_NE(object.error().message.find("JSON object"), std::string::npos);
  }
}

TEST(Json, A29OnlyValidUtf8IsAccepted) {
  const std::string bad[] = {"\x80",
                             "\xBF",
                             "\xC0\xAF",
                             "\xC1\xBF",
                             "\xE0\x80\xAF",
                             "\xE0\x9F\xBF",
                             "\xF0\x80\x80\xAF",
                             "\xF0\x8F\xBF\xBF",
                             "\xED\xA0\x80",
                             "\xED\xBF\xBF",
                             "\xF4\x90\x80\x80",
                             "\xF5\x80\x80\x80",
                             "\xF8\x88\x80\x80\x80",
                             "\xFE",
                             "\xFF",
                             "\xC3",
                             "\xE4\xBD",
                             "\xF0\x9F\x98",
                             "\xC3\x28",
                             "\xE4\xBD\x41",
                             "\xF0\x9F\x98\x41"};
  for (const std::string& bytes : bad) {
    EXPECT_EQ(code_of("{\"a\":\"x" + bytes + "\"}"), "json_invalid")
        << testing::PrintToString(bytes);
    EXPECT_EQ(code_of("{\"x" + bytes + "\":1}"), "json_invalid") << testing::PrintToString(bytes);
  }
  for (const char* escape : {R"(\ud800)", R"(\udc00)", R"(\ud83dx)", R"(\ud83d\u0041)"}) {
    EXPECT_EQ(code_of(R"({"a":")" + std::string(escape) + "\"}"), "json_invalid") << escape;
  }
}

TEST(Json, A29AnEscapedNulIsText) {
  const auto body = parse_json_object(R"({"messages":[{"role":"user","content":"a\u0000b"}]})");
  const auto chat = parse_chat(*body);
  ASSERT_TRUE(chat);
  EXPECT_EQ(chat->request.chat.messages[0].parts[0].text, "a\0b"s);
}

TEST(Json, A29ErrorsQuoteNoHalfCharacters) {
  std::string key;
  for (int i = 0; i < 200; ++i) key += "\xE4\xBD\xA0";
  const auto body = parse_json_object(
      R"({"messages":[{"role":"user","content":"x"}],"logit_bias":{")" + key + "\":1}}");
  const auto chat = parse_chat(*body);
  ASSERT_FALSE(chat);
  EXPECT_TRUE(text::is_valid_utf8(chat.error().message));
  EXPECT_LT(chat.error().message.size(), 300u);
}

// The 400s name the field; where a number is legal but odd, it is taken for what it is.
// A36
TEST(Json, A30NumbersAreReadStrictly) {
  const auto parse = [](const std::string& field, const std::string& number) {
    const auto body = parse_json_object(R"({"messages":[{"role":"user","content":"x"}],")" + field +
                                        "\":" + number + "}");
    if (!body) return body.error().code;
    const auto chat = parse_chat(*body);
    return chat ? "accepted" : chat.error().param;
  };
  for (const char* number :
       {"1e309", "-1e309", "-0", "1e-400", "9223372036854775808", "-9223372036854775809", "1.5",
        "1e30", "\"5\"", "true", "[1]", "{}", "99999999999999999999999999"}) {
    for (const char* field : {"max_tokens", "n", "max_streaming_response_tokens", "timeout_ms"}) {
      EXPECT_EQ(parse(field, number), field) << number;
    }
  }
  for (const char* number : {"1e309", "-1e309", "9223372036854775808", "\"1\"", "true", "[1]"}) {
    EXPECT_EQ(parse("temperature", number), "temperature") << number;
  }
  for (const char* number : {"0", "-0", "-0.0", "1e-400", "1", "1.0", "2e0"}) {
    EXPECT_EQ(parse("temperature", number), "accepted") << number;
  }
  for (const char* word : {"NaN", "Infinity", "-Infinity"}) {
    EXPECT_EQ(parse("temperature", word), "json_invalid") << word;
    EXPECT_EQ(parse("temperature", '"' + std::string(word) + '"'), "temperature") << word;
  }
}

}  // namespace
}  // namespace ernie::http
