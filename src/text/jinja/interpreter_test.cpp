#include "text/jinja/interpreter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "text/json_file.h"

namespace ernie::text::jinja {
namespace {

namespace json = boost::json;
using ::testing::HasSubstr;

Result<String> render(std::string_view source, const Dict& variables = {}, Limits limits = {}) {
  Result<Template> parsed = Template::parse(source);
  if (!parsed) return parsed.error();
  return parsed->render(variables, limits);
}

// The same templates as Jinja2 rendered them; see tools/golden/text_jinja.py.
TEST(Jinja, RendersLikeJinja2) {
  const Result<std::string> text = read_file("tests/golden/text/jinja.json");
  ASSERT_TRUE(text);
  const json::value cases = json::parse(*text);
  ASSERT_GE(cases.get_array().size(), 60u);
  for (const json::value& item : cases.get_array()) {
    const json::object& object = item.get_object();
    const Value variables = from_json(object.at("variables"), false);
    const std::string_view source = object.at("template").get_string();
    const Result<String> out = render(source, *variables.dict());
    if (object.contains("error")) {
      EXPECT_FALSE(out) << object.at("name") << "\n" << source;
    } else {
      ASSERT_TRUE(out) << object.at("name") << "\n" << source << "\n" << out.error().message;
      EXPECT_EQ(to_utf8(*out), object.at("expected").get_string()) << source;
    }
  }
}

TEST(Jinja, MarksOfUserTextSurviveEveryOperation) {
  const Dict variables{{U"x", from_utf8(" <b>,<B>\n", true)}};
  const Result<String> out = render(
      "{{ ((x | trim | replace('b', 'c') | upper).split(',')[::-1] | join('+'))[0:] ~ '<' }}"
      "{{ x | tojson }}{{ [x] }}",
      variables);
  ASSERT_TRUE(out) << out.error().message;
  std::string shown;  // user text as digits of its length
  for (char32_t c : *out) shown += c & kUserMark ? 'u' : static_cast<char>(c);
  // "c" came from the template, and so did "+" and the quotes and brackets that were added.
  EXPECT_EQ(shown, "uuu+uCu<\"uuuuuuuuuu\"['uuuuuuuuuu']");
}

struct Hostile {
  const char* name;
  std::string source;
};

class JinjaLimits : public ::testing::TestWithParam<Hostile> {};

// A67
TEST_P(JinjaLimits, EndInAnErrorSoon) {
  const Result<String> out = render(GetParam().source);
  ASSERT_FALSE(out);
  EXPECT_THAT(out.error().message, HasSubstr("expected at most"));
}

std::string repeated(const std::string& text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

INSTANTIATE_TEST_SUITE_P(
    All, JinjaLimits,
    ::testing::Values(
        Hostile{"loop", "{% for i in range(10000000000) %}{% endfor %}"},
        Hostile{"recursion", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"},
        Hostile{"repeat", "{{ 'a' * 10000000000 }}"},
        Hostile{"repeat_overflow", "{{ ('ab' * 1000) * 9000000000000000000 }}"},
        Hostile{"doubling",
                "{% set n = namespace(s='a') %}{% for i in range(60) %}"
                "{% set n.s = n.s ~ n.s %}{% endfor %}"},
        Hostile{"replace_doubling",
                "{% set n = namespace(s='a') %}{% for i in range(60) %}"
                "{% set n.s = n.s.replace('a', 'aa') %}{% endfor %}"},
        Hostile{"list_doubling",
                "{% set n = namespace(s=[1]) %}{% for i in range(60) %}"
                "{% set n.s = n.s + n.s %}{% endfor %}"},
        Hostile{"nested_lists",
                "{% set n = namespace(s=[]) %}{% for i in range(100000) %}"
                "{% set n.s = [n.s] %}{% endfor %}"},
        Hostile{"brackets", "{{ " + repeated("(", 100'000) + "1" + repeated(")", 100'000) + " }}"},
        Hostile{"nots", "{{ " + repeated("not ", 100'000) + "1 }}"},
        Hostile{"chain", "{{ 1" + repeated(" + 1", 100'000) + " }}"},
        Hostile{"ors", "{{ 1" + repeated(" or 1", 100'000) + " }}"},
        Hostile{"filters", "{{ 1" + repeated("|abs", 100'000) + " }}"},
        Hostile{"ifs", repeated("{% if 1 %}", 10'000) + repeated("{% endif %}", 10'000)}),
    [](const auto& test) { return std::string(test.param.name); });

// A67
TEST(Jinja, CountsStepsOfEmptyLoops) {
  const char* source = "{% for i in range(60) %}{% for j in range(60) %}{% endfor %}{% endfor %}";
  EXPECT_FALSE(render(source, {}, {.steps = 3000}));
  EXPECT_TRUE(render(source, {}, {.steps = 5000}));
}

// A67
TEST(Jinja, ReadsNoFiles) {
  for (const char* source : {"{% include 'x' %}", "{% import 'x' as y %}", "{% extends 'x' %}"}) {
    const Result<String> out = render(source);
    ASSERT_FALSE(out);
    EXPECT_THAT(out.error().message, HasSubstr("which this sandbox does not have")) << source;
  }
}

TEST(Jinja, ErrorsNameTheLine) {
  EXPECT_THAT(
      render("a\n{% if true %}\n{{ raise_exception('bad input') }}\n{% endif %}").error().message,
      HasSubstr("line 3: bad input"));
  EXPECT_THAT(render("a\n\n{% nonsense %}").error().message, HasSubstr("line 3: "));
}

TEST(Jinja, StrftimeNowKnowsTheYear) {
  const Result<String> out = render("{{ strftime_now('%Y') | int > 2020 }}");
  ASSERT_TRUE(out);
  EXPECT_EQ(to_utf8(*out), "True");
}

}  // namespace
}  // namespace ernie::text::jinja
