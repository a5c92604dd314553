#include "grammar/json_schema.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "grammar/test_support.h"

namespace ernie::grammar {
namespace {

struct Case {
  const char* schema;
  std::vector<std::string> in;
  std::vector<std::string> out;
};

void check(const std::vector<Case>& cases) {
  for (const Case& test : cases) {
    const Language language(schema_spec(test.schema));
    EXPECT_TRUE(language.ok()) << test.schema << ": " << language.error();
    if (!language.ok()) continue;
    for (const auto& text : test.in) EXPECT_TRUE(language.has(text)) << test.schema << " " << text;
    for (const auto& text : test.out) {
      EXPECT_FALSE(language.has(text)) << test.schema << " " << text;
    }
  }
}

std::string error_of(const char* schema, bool strict = false) {
  return Language(schema_spec(schema, strict)).error();
}

TEST(JsonSchema, Values) {
  check({
      {"{}",
       {"null", "true", "-0.5e+10", "\"\"", "[]", "[1, [2]]", "{\"a\": {\"b\" : [null ]}}"},
       {"", "nul", "01", "1.", "[1,]", "{\"a\"}", "{a: 1}", "'a'", "1e", "+1", "NaN"}},
      {"true", {"1"}, {"x"}},
      {R"({"type": "integer"})", {"0", "-12"}, {"-0", "01", "1.5", "\"1\""}},
      {R"({"type": "number"})", {"0", "-0.5", "1e5"}, {"1.", ".5", "1e500"}},
      {R"({"type": ["null", "boolean"]})", {"null", "true", "false"}, {"0", "\"\""}},
      {R"({"const": "a/b\"é"})", {R"("a/b\"é")"}, {R"("a\/b\"é")"}},
      {R"({"enum": [1, 1.5, null, "x", [1, 2], {"a": true}]})",
       {"1", "1.5", "null", "\"x\"", "[1, 2]", "{\"a\": true}"},
       {"2", "[2]"}},
      {R"({"type": "string", "enum": ["a", 1]})", {"\"a\""}, {"1"}},
      {R"({"enum": [1, 2, 30], "minimum": 2, "maximum": 9})", {"2"}, {"1", "30"}},
      {R"({"enum": ["é", "éé"], "maxLength": 1})", {"\"é\""}, {"\"éé\""}},
  });
}

TEST(JsonSchema, Strings) {
  check({
      {R"({"type": "string"})",
       {R"("")", R"("é\n\u00e9\"\\")", R"("\ud7ff\uE000")"},
       {"\"\n\"", R"("\x")", R"("\ud800")", R"("\u12")", "\"a"}},
      {R"({"type": "string", "minLength": 1})", {R"("ab")", R"("\n\u0041c")"}, {R"("")"}},
      {R"({"type": "string", "minLength": 2})", {R"("abc")"}, {R"("a")", R"("")"}},
      {R"({"type": "string", "maxLength": 2})",
       {R"("")", "\"日本\""},
       {R"("abc")", "\"\t\"", R"("\n\n\n")"}},
      {R"({"type": "string", "minLength": 1, "maxLength": 300})",
       {"\"" + std::string(300, 'x') + "\""},
       {"\"\"", "\"" + std::string(301, 'x') + "\""}},
      {R"({"type": "string", "maxLength": 2147483647})", {R"("abc")"}, {}},
      {R"({"type": "string", "pattern": "^a[^b]\\d*$"})",
       {R"("ac1")", R"("a\"")", R"("a\\2")", R"("a\n")", "\"aé\""},
       {R"("ab")", R"("a")", "\"a\"\"", "\"a\n\""}},
      {R"({"type": "string", "format": "date"})",
       {"\"2024-02-29\"", "\"2023-02-28\"", "\"2000-02-29\"", "\"2024-04-30\""},
       {"\"2023-02-29\"", "\"1900-02-29\"", "\"2024-04-31\"", "\"2024-13-01\"", "\"x\""}},
      {R"({"type": "string", "format": "date-time"})",
       {"\"2024-02-29T23:59:59.5Z\"", "\"2024-01-01T00:00:00+02:00\""},
       {"\"2024-02-29T24:00:00Z\"", "\"2024-02-29 23:59:59Z\"", "\"2024-02-29T23:59:59\""}},
      {R"({"type": "string", "format": "uuid"})",
       {"\"123e4567-e89b-12d3-a456-426614174000\""},
       {"\"123e4567\""}},
      {R"({"type": "string", "format": "ipv4"})",
       {"\"0.10.199.255\""},
       {"\"1.2.3.256\"", "\"01.2.3.4\""}},
      {R"({"type": "string", "format": "ipv6"})",
       {"\"::\"", "\"1::\"", "\"::8\"", "\"1:2:3:4:5:6:7:8\"", "\"1:2::7:8\"",
        "\"1:2:3:4:5:6::8\""},
       {"\"1:2:3:4:5:6:7:8:9\"", "\"1::2::3\"", "\"1:2:3:4:5:6:7\"", "\"12345::\"",
        "\"1:2:3:4::5:6:7:8\""}},
      {R"({"type": "string", "format": "email"})", {"\"a.b@c.de\""}, {"\"a@\"", "\"a b@c.d\""}},
      {R"({"type": "string", "format": "duration"})",
       {"\"P1Y2M3DT4H5M6S\"", "\"PT1M\"", "\"P2W\""},
       {"\"P\"", "\"P1\"", "\"PT\"", "\"P1Y2D\""}},
  });
}

TEST(JsonSchema, Objects) {
  check({
      {R"({"type": "object"})", {"{}", "{\"a\":1, \"b\":[]}"}, {"[]", "{\"a\"}"}},
      {R"({"properties": {"a": {"type": "integer"}, "b": {"type": "null"}}, "required": ["a"]})",
       {"{\"a\":1}", "{ \"a\" : 1 ,\n\"b\" :null }"},
       {"{}", "{\"b\":null}", "{\"a\":null}", "{\"a\":1,\"c\":2}", "{\"a\":1,}"}},
      {R"({"properties": {"a": {}, "b": {}, "c": {}}})",
       {"{}", "{\"a\":1}", "{\"b\":1}", "{\"a\":1,\"c\":1}", "{\"b\":1,\"c\":1}", "{\"c\":0}"},
       {"{\"b\":1,\"b\":1}", "{,\"b\":1}"}},
      {R"({"properties": {"a": {}, "b": {}, "c": {}}, "required": ["b"]})",
       {"{\"b\":1}", "{\"a\":1,\"b\":1}", "{\"b\":1,\"c\":1}", "{\"a\":1,\"b\":1,\"c\":1}"},
       {"{}", "{\"a\":1}", "{\"c\":1}", "{\"a\":1,\"c\":1}"}},
      {R"({"properties": {"ab": {"type": "null"}, "abc": {"type": "null"}},
           "additionalProperties": {"type": "integer"}})",
       {"{}", "{\"ab\":null}", "{\"ab\":null,\"x\":1,\"a\":2,\"abd\":3}", "{\"\":1}",
        "{\"q\\n\":1}"},
       {"{\"ab\":1}", "{\"abc\":1}", "{\"\\u0061b\":1}", "{\"a\\u0062\":1}", "{\"x\":null}"}},
      {R"({"additionalProperties": {"type": "boolean"}, "maxProperties": 2, "minProperties": 1})",
       {"{\"a\":true}", "{\"a\":true,\"b\":false}"},
       {"{}", "{\"a\":1}", "{\"a\":true,\"b\":true,\"c\":true}"}},
      {R"({"required": ["a"]})", {"{\"a\":[]}"}, {"{}", "{\"b\":1}", "[]"}},
      {R"({"required": ["b"], "properties": {"a": {"type": "null"}},
           "additionalProperties": {"type": "integer"}})",
       {"{\"b\":1}", "{\"a\":null,\"b\":1,\"c\":2}"},
       {"{\"b\":null}", "{\"a\":null}"}},
      {R"({"patternProperties": {"^x_\\d$": {"type": "integer"}}, "additionalProperties": false})",
       {"{}", "{\"x_1\":1,\"x_2\":2}"},
       {"{\"y\":1}", "{\"x_1\":null}"}},
      {R"({"propertyNames": {"enum": ["a", "b"]}, "additionalProperties": {"type": "null"}})",
       {"{\"a\":null,\"b\":null}"},
       {"{\"c\":null}", "{\"a\":1}"}},
      {R"({"properties": {"a": {}, "b": {}}, "minProperties": 1, "maxProperties": 2})",
       {"{\"b\":1}"},
       {"{}"}},
      {R"({"properties": {"a": false, "b": {"type": "null"}}})",
       {"{}", "{\"b\":null}"},
       {"{\"a\":1}"}},
      {R"({"properties": {}, "additionalProperties": false})", {"{}", "{ }"}, {"{\"a\":1}"}},
      {R"({"properties": {"a\"b": {}, "日/~": {}}, "required": ["日/~"]})",
       {"{\"a\\\"b\":1,\"日/~\":2}"},
       {"{\"a\"b\":1}"}},
  });
}

TEST(JsonSchema, Arrays) {
  check({
      {R"({"type": "array"})", {"[]", "[ ]", "[1 , \"a\"]"}, {"[,]", "[1"}},
      {R"({"items": {"type": "integer"}, "minItems": 2, "maxItems": 3})",
       {"[1,2]", "[1,2,3]"},
       {"[]", "[1]", "[1,2,3,4]", "[null,1]"}},
      {R"({"prefixItems": [{"type": "integer"}, {"type": "null"}]})",
       {"[]", "[1]", "[1,null]"},
       {"[null]", "[1,null,1]"}},
      {R"({"prefixItems": [{"type": "integer"}, {"type": "null"}], "minItems": 2, "items": false})",
       {"[1,null]"},
       {"[]", "[1]", "[1,null,1]"}},
      {R"({"prefixItems": [{"type": "integer"}], "items": {"type": "null"}, "minItems": 3})",
       {"[1,null,null]", "[1,null,null,null]"},
       {"[1,null]", "[1,2,null]"}},
      {R"({"items": [{"type": "integer"}], "additionalItems": {"type": "null"}})",
       {"[]", "[1,null,null]"},
       {"[null]", "[1,1]"}},
      {R"({"prefixItems": [{}], "minItems": 2, "maxItems": 3})", {"[1,2]", "[1,2,3]"}, {"[1]"}},
      {R"({"type": "array", "maxItems": 0})", {"[]"}, {"[1]"}},
      {R"({"items": false})", {"[]"}, {"[1]"}},
      {R"({"prefixItems": [{}, false], "items": {}})", {"[]", "[1]"}, {"[1,2]"}},
      {R"({"type": "array", "uniqueItems": false})", {"[1,1]"}, {}},
  });
}

TEST(JsonSchema, Numbers) {
  check({
      {R"({"type": "integer", "minimum": -3, "maximum": 12})",
       {"-3", "-1", "0", "9", "10", "12"},
       {"-4", "13", "-0", "00", "100"}},
      {R"({"type": "integer", "exclusiveMinimum": 9.5})", {"10", "99", "123456"}, {"9", "-10"}},
      {R"({"type": "integer", "maximum": 9223372036854775807})",
       {"9223372036854775807", "-99999999999999999999"},
       {"9223372036854775808"}},
      {R"({"type": "number", "minimum": 0, "maximum": 1})",
       {"0", "0.0", "0.55", "1", "1.00"},
       {"1.01", "-0.1", "2", "-0", "1.", "0e1"}},
      {R"({"type": "number", "exclusiveMinimum": 0.25, "exclusiveMaximum": 0.3})",
       {"0.26", "0.2501", "0.29999"},
       {"0.25", "0.250", "0.3", "0.30", "0", "1"}},
      {R"({"type": "number", "minimum": 5, "exclusiveMinimum": true})", {"5.1"}, {"5", "5.0"}},
      {R"({"type": "number", "maximum": -1.5})", {"-1.5", "-1.50", "-2", "-100.1"}, {"-1.4", "1"}},
      {R"({"type": "integer", "multipleOf": 3})", {"0", "3", "-12", "999"}, {"1", "10", "-0"}},
      {R"({"type": "number", "multipleOf": 1})", {"7"}, {"7.5"}},
  });
  EXPECT_NE(error_of(R"({"type": "integer", "minimum": 5, "maximum": 4})"), "");
  EXPECT_NE(error_of(R"({"type": "number", "multipleOf": 0.1})"), "");
  EXPECT_NE(error_of(R"({"type": "integer", "multipleOf": 3, "minimum": 1})"), "");
}

// A69: doubles have up to 309 digits; what lies between costs as many states, not their square.
TEST(JsonSchema, BoundsOfHundredsOfDigits) {
  const std::string nines(308, '9');
  const std::string zeros(308, '0');
  GrammarLimits limits;
  limits.states = 6'000;
  const auto language = [&](const std::string& type, const std::string& bounds) {
    return Language(schema_spec("{\"type\": \"" + type + "\", " + bounds + "}"), limits);
  };
  for (const char* type : {"integer", "number"}) {
    const Language all = language(type, R"("minimum": -1e308, "maximum": 1e308)");
    EXPECT_TRUE(all.has("0") && all.has("-1" + zeros) && all.has("1" + zeros)) << all.error();
    EXPECT_TRUE(all.has(nines) && all.has("-123"));
    EXPECT_FALSE(all.has("1" + nines) || all.has("-2" + zeros) || all.has("0" + nines));
  }
  const Language some = language("integer", R"("minimum": 1e7, "exclusiveMaximum": 1e308)");
  EXPECT_TRUE(some.has("10000000") && some.has("123456789") && some.has(nines)) << some.error();
  EXPECT_FALSE(some.has("9999999") || some.has("1" + zeros) || some.has("0"));
  const Language large = language("integer", R"("minimum": 1e307, "maximum": 2e307)");
  EXPECT_TRUE(large.has("1" + zeros.substr(1)) && large.has("1" + nines.substr(1)));
  EXPECT_FALSE(large.has(nines) || large.has("1" + zeros));
  const Language tiny = language("number", R"("exclusiveMinimum": 0, "maximum": 1e-300)");
  EXPECT_TRUE(tiny.has("0." + zeros.substr(9) + "1")) << tiny.error();
  EXPECT_FALSE(tiny.has("0") || tiny.has("0.1"));
}

TEST(JsonSchema, Combinations) {
  check({
      {R"({"anyOf": [{"type": "null"}, {"type": "integer", "minimum": 5}]})", {"null", "5"}, {"4"}},
      {R"({"type": "object", "properties": {"a": {}, "b": {}},
           "anyOf": [{"required": ["a"]}, {"required": ["b"]}]})",
       {"{\"a\":1}", "{\"b\":1}", "{\"a\":1,\"b\":1}"},
       {"{}"}},
      {R"({"allOf": [{"properties": {"a": {"type": "integer"}}, "required": ["a"]},
                     {"properties": {"a": {"minimum": 3}, "b": {}}}]})",
       {"{\"a\":3}", "{\"a\":4,\"b\":1}"},
       {"{\"a\":2}", "{}"}},
      {R"({"allOf": [{"properties": {"a": {}}, "additionalProperties": false},
                     {"properties": {"b": {}}}]})",
       {"{}", "{\"a\":1}"},
       {"{\"b\":1}"}},
      {R"({"oneOf": [{"type": "string"}, {"type": "number"}]})", {"\"\"", "1.5"}, {"null"}},
      {R"({"oneOf": [{"type": "object", "properties": {"k": {"const": "a"}}, "required": ["k"]},
                     {"type": "object", "properties": {"k": {"enum": ["b", "c"]}, "x": {}},
                      "required": ["k"]}]})",
       {"{\"k\":\"a\"}", "{\"k\":\"c\",\"x\":1}"},
       {"{\"k\":\"a\",\"x\":1}", "{}"}},
      {R"({"$defs": {"pos": {"type": "integer", "minimum": 1}},
           "properties": {"n": {"$ref": "#/$defs/pos", "maximum": 3}}})",
       {"{\"n\":2}"},
       {"{\"n\":0}", "{\"n\":4}"}},
      {R"({"$defs": {"a/b~c%": {"type": "null"}}, "$ref": "#/$defs/a~1b~0c%25"})", {"null"}, {"1"}},
      {R"({"$id": "http://x/s", "$defs": {"n": {"type": "null"}}, "$ref": "http://x/s#/$defs/n"})",
       {"null"},
       {"1"}},
      {R"({"type": "object", "properties": {"v": {"type": "integer"},
           "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}, "required": ["v", "next"]})",
       {"{\"v\":1,\"next\":null}", "{\"v\":1,\"next\":{\"v\":2,\"next\":null}}"},
       {"{\"v\":1,\"next\":{}}"}},
      {R"({"properties": {"a": {"$ref": "#/properties/b"}, "b": {"type": "null"}}})",
       {"{\"a\":null}"},
       {"{\"a\":1}"}},
  });
}

TEST(JsonSchema, AnnotationsAndUnknownKeywordsChangeNothing) {
  check({{R"({"type": "null", "title": "t", "description": "d", "default": 1, "examples": [1],
              "$comment": "c", "$schema": "https://json-schema.org/draft/2020-12/schema",
              "deprecated": true, "readOnly": true, "x-order": 3, "enumNames": [], "then": {},
              "nullable": false, "contentEncoding": "base64", "discriminator": {}})",
          {"null"},
          {"1"}}});
}

// A69
TEST(JsonSchema, NamesWhatItDoesNotSupportAndWhere) {
  const auto at = [](const char* keyword, const char* path) {
    return fmt::format("schema at {}: \"{}\" is not supported", path, keyword);
  };
  EXPECT_EQ(error_of(R"({"properties": {"a": {"not": {}}}})"), at("not", "/properties/a"));
  EXPECT_EQ(error_of(R"({"items": {"uniqueItems": true}})"), at("uniqueItems", "/items"));
  EXPECT_EQ(error_of(R"({"contains": {}})"), at("contains", "/"));
  EXPECT_EQ(error_of(R"({"anyOf": [{}, {"if": {}, "else": false}]})"), at("if", "/anyOf/1"));
  EXPECT_EQ(error_of(R"({"$defs": {"a/b": {"dependentRequired": {}}}, "$ref": "#/$defs/a~1b"})"),
            at("dependentRequired", "/$defs/a~1b"));
  EXPECT_EQ(error_of(R"({"properties": {"a": {"type": "string", "format": "regex"}}})"),
            "schema at /properties/a: format \"regex\" is not supported");
  EXPECT_EQ(error_of(R"x({"properties": {"a": {"type": "string", "pattern": "a(?=b)"
}
}
})x"),
            "schema at /properties/a/pattern: look-around, a flag or another special group at "
            "byte 3 of the pattern is not supported");
  EXPECT_EQ(error_of(R"({"$ref": "https://example.com/s.json"})"),
            "schema at /: $ref \"https://example.com/s.json\" does not point into the schema "
            "(#/…)");
  for (
      const char* schema :
      {R"({"$ref": "#/$defs/none"})",
       R"({"$ref": "#"})",
       R"({"$dynamicRef": "#a"})",
       R"({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"})",
       R"({"oneOf": [{"type": "integer"}, {"type": "number"}]})",
       R"({"oneOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}]})",
       R"({"properties": {"a": {}}, "patternProperties": {"b": {}}})",
       R"({"patternProperties": {"a": {}, "b": {}}})",
       R"({"properties": {"a": {}}, "propertyNames": {"maxLength": 3}})",
       R"({"properties": {"a": {}, "b": {}}, "maxProperties": 1})",
       R"({"type": "object", "minProperties": 2})",
       R"({"type": "string", "nullable": true})",
       R"({"properties": {"a": {"$id": "x"}}})",
       R"({"allOf": [{"pattern": "a"}, {"pattern": "b"}]})",
       R"({"pattern": "a", "maxLength": 3})",
       R"({"enum": ["a"], "pattern": "a"})",
       "false",
       R"({"type": "string", "enum": [1]})",
       R"({"type": "float"})",
       R"({"type": 3})",
       "3",
       "[]",
       "",
       R"({"minLength": -1})",
       R"({"minLength": 1.5})",
       R"({"enum": 3})",
       R"({"enum": []})",
       R"({"required": [1]})",
       R"({"properties": [1]})",
       R"({"anyOf": {}})",
       R"({"anyOf": []})",
       R"({"items": 3})",
       R"({"minimum": "3"})",
       R"({"pattern": 3})",
       R"({"type": "null")",
       R"({"minItems": 1000000000})",
       R"({"type": "integer", "allOf": [{"type": "string"}]})"}) {
    EXPECT_FALSE(Language(schema_spec(schema)).ok()) << schema;
  }
}

TEST(JsonSchema, StrictObjectsAllowOnlyWhatTheyName) {
  EXPECT_EQ(error_of(R"({"properties": {"a": {}}, "additionalProperties": true})", true),
            "schema at /: strict: \"additionalProperties\" must be false");
  EXPECT_NE(error_of(R"({"type": "object"})", true), "");
  const Language closed(
      schema_spec(R"({"properties": {"a": {"type": "integer"}}, "required": ["a"]})", true));
  ASSERT_TRUE(closed.ok()) << closed.error();
  EXPECT_TRUE(closed.has("{\"a\":1}"));
  EXPECT_FALSE(closed.has("{\"a\":1,\"b\":1}"));
}

TEST(JsonSchema, WhitespaceByPattern) {
  GrammarSpec spec = schema_spec(R"({"properties": {"a": {"items": {"type": "string"}}}})");
  spec.whitespace = " ?";
  const Language one(spec);
  EXPECT_TRUE(one.has("{\"a\": [\"x\", \"y\" ]}"));
  EXPECT_FALSE(one.has("{\"a\":  []}"));
  EXPECT_FALSE(one.has("{\n}"));
  spec.whitespace = "[\\n ]{0,2}";
  EXPECT_TRUE(Language(spec).has("{\n \"a\": []}"));
  spec.whitespace = "(?=a)";
  EXPECT_NE(Language(spec).error().find("whitespace pattern"), std::string::npos);
}

// Masks are computed ahead, accept() reads bytes.
TEST(JsonSchema, MasksBehindWhitespaceAllowWhatIsAccepted) {
  Vocabulary vocabulary = byte_vocabulary();
  for (const std::string space : {" ", "\n", "\n\t ", "  "}) {
    for (const char* next :
         {"\"",  "\"a\"", "\":", "{", "{}", "}", "[",    "[]",  "]",    "],", ",", ":",
          ": 1", "-",     "-1",  "0", "12", "t", "true", "fal", "null", "no", "x"}) {
      vocabulary.bytes.push_back(space + next);
      vocabulary.bytes.push_back("\"" + space + next);
    }
  }
  const std::vector<std::pair<const char*, const char*>> cases = {
      {R"({"properties": {"a": {"type": "string"}, "n": {"type": "integer"}}, "required": ["a"],
           "additionalProperties": false})",
       "{ \"a\" : \"x\" ,\n\"n\": -12 }"},
      {R"({"items": {"enum": [true, "no", null, -1, [], {}]}, "type": "array", "minItems": 1})",
       "[ true , \"no\",\n\t null, -1, [], {} ]"},
      {R"({"type": "array", "maxItems": 0})", "[ ]"},
      {R"({"type": "array", "prefixItems": [{"type": "boolean"}], "items": false})", "[ false ]"},
      {"{}", "{ \"a\": [ 0, { } ], \"t\":\n\tfalse }"},
  };
  for (const char* whitespace : {R"(( |\n{1,2}[ \t]{0,24})?)", "[ \\n\\t]*", ""}) {
    GrammarCompiler compiler(vocabulary, kMemory);
    for (const auto& [schema, text] : cases) {
      GrammarSpec spec = schema_spec(schema);
      spec.whitespace = whitespace;
      const auto grammar = compiler.compile(spec, kNotCancelled);
      ASSERT_TRUE(grammar) << schema << grammar.error().message;
      GrammarMatcher matcher(*grammar);
      for (const char* at = text; *at != '\0'; ++at) {
        // Each has a time of its own for all that it tries.
        GrammarMatcher trying(*grammar);
        for (const char* before = text; before != at; ++before) trying.accept(byte_token(*before));
        std::set<int32_t> accepted;
        for (size_t token = 0; token < vocabulary.bytes.size(); ++token) {
          if (!trying.accept(static_cast<int32_t>(token))) continue;
          trying.rollback(1);
          accepted.insert(static_cast<int32_t>(token));
        }
        EXPECT_EQ(allowed_tokens(matcher, vocabulary.bytes.size()), accepted) << schema << at;
        ASSERT_TRUE(matcher.accept(byte_token(*at))) << schema << at;
      }
      EXPECT_TRUE(matcher.is_complete());
    }
  }
}

TEST(JsonSchema, AnyObject) {
  const Language any({GrammarKind::kJsonObject});
  EXPECT_TRUE(any.has("{\"a\": [1, {\"b\": null}]}"));
  EXPECT_FALSE(any.has("[]"));
}

// A69
TEST(JsonSchema, LargeAndDeepSchemas) {
  std::string deep;
  for (int i = 0; i < 1000; ++i) deep += "{\"items\":";
  EXPECT_EQ(Language(schema_spec(deep + "{}" + std::string(1000, '}'))).code(),
            "grammar_too_complex");
  EXPECT_FALSE(Language(schema_spec(std::string(30'000, '['))).ok());
  std::string values;
  for (int i = 0; i < 100'001; ++i) values += fmt::format("{}{}", i > 0 ? "," : "", i);
  EXPECT_EQ(Language(schema_spec("{\"enum\":[" + values + "]}")).code(), "grammar_too_complex");
  // Each definition names the next two, which makes 2^60 alternatives if they are written out.
  std::string chain = "{\"$ref\":\"#/$defs/d0\",\"$defs\":{\"d60\":{\"type\":\"null\"}";
  for (int i = 0; i < 60; ++i) {
    chain += fmt::format(
        ",\"d{0}\":{{\"prefixItems\":[{{\"$ref\":\"#/$defs/d{1}\"}},{{\"$ref\":\"#/$defs/"
        "d{1}\"}}]}}",
        i, i + 1);
  }
  EXPECT_TRUE(Language(schema_spec(chain + "}}")).ok());
  std::string product = "{\"allOf\":[";
  for (int i = 0; i < 40; ++i) {
    product += fmt::format("{}{{\"anyOf\":[{{\"minLength\":{}}},{{\"maxLength\":{}}}]}}",
                           i > 0 ? "," : "", i, 100 + i);
  }
  EXPECT_EQ(Language(schema_spec(product + "]}")).code(), "grammar_too_complex");
}

}  // namespace
}  // namespace ernie::grammar
