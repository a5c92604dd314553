#include "grammar/schema_converter.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>

#include "grammar/ebnf_text.h"
#include "grammar/json_schema.h"
#include "grammar/json_text.h"
#include "grammar/number_range.h"
#include "grammar/regex.h"
#include "grammar/to_ebnf.h"

namespace ernie::grammar {
namespace json = boost::json;

SchemaConverter::SchemaConverter(const json::value& root, bool strict,
                                 const std::string& whitespace, const GrammarLimits& limits)
    : limits_(limits),
      reader_(root),
      root_{&root, ""},
      strict_(strict),
      default_whitespace_(whitespace.empty()) {
  if (default_whitespace_) {
    whitespace_ = "[ \\n\\r\\t]*";
    return;
  }
  const auto regex = parse_regex(whitespace, limits);
  // What follows lets masks be computed ahead. Half of a vocabulary begins with a space.
  constexpr std::string_view kAfterSpace = R"([\"{}\[\],:\-0-9tfn])";
  const auto rules =
      regex ? regex_rules(*regex, RegexText::kPlain, "space-", kAfterSpace) : regex.error();
  if (!rules) {
    reader_.fail(invalid_argument("whitespace pattern: " + rules.error().message));
    return;
  }
  rules_ += *rules;
  whitespace_ = "space-0";
}

Result<std::string> SchemaConverter::convert() {
  add_basic_rules();
  for (const char* name : {"json-string", "json-integer", "json-number", "json-object"}) {
    rule_of_body_[name] = name;
  }
  const Expression root = value({root_});
  if (reader_.failed()) return reader_.error();
  if (!root) return invalid_argument("schema at /: no value satisfies it");
  if (digits_ > 0) rules_ += digit_rules(digits_);
  return "root ::= " + *root + "\n" + rules_;
}

// Adds a rule whose body is known and returns its name.
std::string SchemaConverter::add_rule(std::string_view hint, std::string body) {
  std::string name = reserve_rule(hint);
  fill_rule(name, std::move(body));
  return name;
}

std::string SchemaConverter::reserve_rule(std::string_view hint) {
  return fmt::format("{}-{}", hint, rule_count_++);
}

void SchemaConverter::fill_rule(const std::string& name, std::string body) {
  rules_ += name + " ::= " + body + "\n";
  if (rules_.size() > limits_.grammar_bytes) {
    reader_.fail(too_complex(
        fmt::format("the schema becomes a grammar of more than {} bytes", limits_.grammar_bytes)));
  }
}

void SchemaConverter::add_basic_rules() {
  // What follows a string in JSON lets masks be computed ahead.
  const std::string after_string = default_whitespace_ ? " (= [ \\n\\r\\t]* [,}\\]:])" : "";
  rules_ +=
      "json-string ::= \"\\\"\" json-characters\n"
      "json-characters ::= \"\\\"\" | [^\\\"\\\\\\u0000-\\u001f\\ud800-\\udfff] json-characters"
      " | \"\\\\\" json-escape json-characters" +
      after_string +
      "\n"
      "json-character ::= [^\\\"\\\\\\u0000-\\u001f\\ud800-\\udfff] | \"\\\\\" json-escape\n"
      "json-escape ::= [\\\"\\\\/bfnrt] | \"u\" json-unit\n"
      "json-unit ::= [0-9a-cA-CefEF] json-hex json-hex json-hex | [dD] [0-7] json-hex json-hex\n"
      "json-hex ::= [0-9a-fA-F]\n"
      "json-integer ::= \"0\" | \"-\"? [1-9] [0-9]*\n"
      "json-number ::= \"-\"? (\"0\" | [1-9] [0-9]*) (\".\" [0-9]+)? ([eE] [+\\-]? [0-9] [0-9]?)?\n"
      "json-value ::= json-string | json-number | json-object | json-array | \"true\" | \"false\""
      " | \"null\"\n";
  const std::string pair = "json-string" + colon() + "json-value";
  rules_ += "json-object ::= \"{\" " + whitespace_ + " (" + pair + " (" + comma() + pair + ")* " +
            whitespace_ + ")? \"}\"\n";
  rules_ += "json-array ::= \"[\" " + whitespace_ + " (json-value (" + comma() + "json-value)* " +
            whitespace_ + ")? \"]\"\n";
}

std::string SchemaConverter::comma() const {
  return " " + whitespace_ + " \",\" " + whitespace_ + " ";
}
std::string SchemaConverter::colon() const {
  return " " + whitespace_ + " \":\" " + whitespace_ + " ";
}

// A rule of that body, the same for the same body.
std::string SchemaConverter::shared_rule(std::string_view hint, const std::string& body) {
  const auto [rule, is_new] = rule_of_body_.try_emplace(body);
  if (is_new) rule->second = add_rule(hint, body);
  return rule->second;
}

std::string SchemaConverter::repeated(const std::string& element, size_t min, size_t max) {
  return ebnf_repeat(element, min, max,
                     [this](const std::string& body) { return shared_rule("block", body); });
}

// A JSON string that a regular expression matches; errors name its place.
SchemaConverter::Expression SchemaConverter::pattern(const SchemaRef& at,
                                                     std::string_view pattern) {
  const auto known = string_of_pattern_.find(std::string(pattern));
  if (known != string_of_pattern_.end()) return known->second;
  const auto fail = [&](const Error& error) {
    reader_.fail(
        {error.kind, fmt::format("schema at {}: {}", at.path, error.message), {}, error.code});
    return std::nullopt;
  };
  const auto regex = parse_regex(pattern, limits_);
  if (!regex) return fail(regex.error());
  const std::string prefix = reserve_rule("pattern") + "-";
  const auto rules = regex_rules(*regex, RegexText::kJsonString, prefix);
  if (!rules) return fail(rules.error());
  rules_ += *rules;
  return string_of_pattern_[std::string(pattern)] = "\"\\\"\" " + prefix + "0";
}

SchemaConverter::Expression SchemaConverter::value(const SchemaSet& schemas) {
  const auto flat = reader_.flatten(schemas);
  if (!flat) return std::nullopt;
  Key key;
  for (const SchemaRef& schema : *flat) {
    key.emplace_back(schema.schema, schema.without_any_of, schema.without_one_of);
  }
  std::sort(key.begin(), key.end());
  reader_.spend(key.size());
  if (const auto found = known_.find(key); found != known_.end()) {
    found->second.recursive = found->second.recursive || found->second.open;
    return found->second.expression;
  }
  if (++depth_ > limits_.depth) {
    reader_.fail(too_complex(fmt::format("the schema nests deeper than {}", limits_.depth)));
    return std::nullopt;
  }
  // A schema that holds itself finds this rule. That it can be satisfied is assumed.
  const std::string name = reserve_rule("value");
  Known& known = known_[key];
  known = {name, true, false};
  Expression body;
  const auto choice = std::find_if(flat->begin(), flat->end(), [](const SchemaRef& schema) {
    return (!schema.without_any_of && schema.find("anyOf") != nullptr) ||
           (!schema.without_one_of && schema.find("oneOf") != nullptr);
  });
  if (choice == flat->end()) {
    body = enumeration(*flat);
  } else {
    const bool any_of = !choice->without_any_of && choice->find("anyOf") != nullptr;
    body = alternatives(*flat, choice - flat->begin(), any_of ? "anyOf" : "oneOf");
  }
  --depth_;
  known.open = false;
  if (!body) {
    known.expression.reset();
  } else if (known.recursive) {
    fill_rule(name, *body);
  } else {
    // Schemas of the same meaning share a rule: each rule costs time for every state.
    const auto [rule, is_new] = rule_of_body_.try_emplace(*body, name);
    if (is_new) fill_rule(name, *body);
    known.expression = rule->second;
  }
  return known.expression;
}

// One alternative for each option of anyOf or oneOf, each together with all else.
SchemaConverter::Expression SchemaConverter::alternatives(const SchemaSet& flat, size_t index,
                                                          std::string_view keyword) {
  SchemaSet rest = flat;
  SchemaRef& schema = rest[index];
  (keyword == "anyOf" ? schema.without_any_of : schema.without_one_of) = true;
  const json::array* options = reader_.array(schema, keyword);
  if (options == nullptr) return std::nullopt;
  if (keyword == "oneOf") {
    SchemaSet all;
    for (size_t i = 0; i < options->size(); ++i) all.push_back(schema.child("oneOf", i));
    if (!disjoint(all)) {
      reader_.fail(schema,
                   "\"oneOf\" is supported only where no value can satisfy two of its options; "
                   "\"anyOf\" has no such condition");
      return std::nullopt;
    }
  }
  std::string out;
  for (size_t i = 0; i < options->size() && !reader_.failed(); ++i) {
    SchemaSet option = rest;
    option.push_back(schema.child(keyword, i));
    const Expression expression = value(option);
    if (!expression) continue;
    if (!out.empty()) out += " | ";
    out += *expression;
  }
  return out.empty() ? Expression() : out;
}

SchemaConverter::Expression SchemaConverter::enumeration(const SchemaSet& flat) {
  const auto listing = std::find_if(flat.begin(), flat.end(), [](const SchemaRef& schema) {
    return schema.find("const") != nullptr || schema.find("enum") != nullptr;
  });
  if (listing == flat.end()) return of_types(flat);
  std::vector<const json::value*> values;
  if (const json::value* constant = listing->find("const")) {
    values.push_back(constant);
  } else if (const json::array* listed = reader_.array(*listing, "enum")) {
    for (const json::value& listed_value : *listed) values.push_back(&listed_value);
  }
  enumerated_ += values.size();
  if (enumerated_ > limits_.choices) {
    reader_.fail(
        too_complex(fmt::format("the schema enumerates more than {} values", limits_.choices)));
    return std::nullopt;
  }
  std::string out;
  for (const json::value* listed : values) {
    if (reader_.failed()) return std::nullopt;
    const bool fits = std::all_of(flat.begin(), flat.end(), [&](const SchemaRef& schema) {
      return reader_.satisfies(*listed, schema);
    });
    if (!fits) continue;
    if (!out.empty()) out += " | ";
    out += ebnf_literal(json_text(*listed));
  }
  return out.empty() ? Expression() : out;
}

SchemaConverter::Expression SchemaConverter::of_types(const SchemaSet& flat) {
  const uint8_t types = reader_.types_of(flat);
  std::string out;
  const auto add = [&](const Expression& expression) {
    if (!expression) return;
    if (!out.empty()) out += " | ";
    out += *expression;
  };
  if ((types & kObject) != 0) add(object(flat));
  if ((types & kArray) != 0) add(array(flat));
  if ((types & kString) != 0) add(string(flat));
  if ((types & kNumber) != 0) add(number(flat, (types & kFraction) == 0));
  if ((types & kBoolean) != 0) add("\"true\" | \"false\"");
  if ((types & kNull) != 0) add("\"null\"");
  return out.empty() ? Expression() : out;
}

Result<std::string> json_schema_to_ebnf(const std::string& schema, bool strict,
                                        const std::string& whitespace,
                                        const GrammarLimits& limits) {
  json::parse_options options;
  options.max_depth = limits.depth;
  boost::system::error_code code;
  const json::value root = json::parse(schema, code, {}, options);
  if (code == json::error::too_deep) {
    return too_complex(fmt::format("the schema nests deeper than {}", limits.depth));
  }
  if (code) return invalid_argument("the schema is not valid JSON: " + code.message());
  return SchemaConverter(root, strict, whitespace, limits).convert();
}

}  // namespace ernie::grammar
