#include "grammar/tool_calls.h"

#include <boost/json.hpp>
#include <utility>

#include "grammar/structural_tag.h"
#include "grammar/to_ebnf.h"
#include "text/answer_syntax.h"

namespace ernie::grammar {
namespace json = boost::json;
namespace {

constexpr const char* kLeadingNewlines = R"(\n{0,3})";

json::object const_string(std::string_view text) {
  return {{"type", "const_string"}, {"value", text}};
}
json::object grammar_format(std::string_view ebnf) {
  return {{"type", "grammar"}, {"grammar", ebnf}};
}
json::object sequence(json::array elements) {
  return {{"type", "sequence"}, {"elements", std::move(elements)}};
}

json::value tag_text(const std::optional<int32_t>& token, std::string_view text) {
  if (token) return json::object{{"type", "token"}, {"token", *token}};
  return json::string(text);
}

// What stands between the tags of a call.
Result<json::object> call_text(const ToolSpec& tool, const GrammarSpec& spec,
                               const GrammarLimits& limits) {
  GrammarSpec parameters;
  parameters.kind = tool.parameters.empty() ? GrammarKind::kJsonObject : GrammarKind::kJsonSchema;
  parameters.text = tool.parameters;
  parameters.strict = tool.strict;
  parameters.whitespace = spec.whitespace;
  Result<std::string> ebnf = to_ebnf(parameters, limits);
  if (!ebnf) {
    Error error = ebnf.error();
    error.message = "the parameters of the function \"" + tool.name + "\": " + error.message;
    error.param = tool.field;
    return error;
  }
  return sequence({const_string("\n{\"name\": " + json::serialize(json::value(tool.name)) +
                                ", \"arguments\": "),
                   grammar_format(*ebnf), const_string("}\n")});
}

Result<json::array> call_tags(const GrammarSpec& spec, const GrammarLimits& limits) {
  const CallRules& calls = *spec.calls;
  json::array tags;
  for (const ToolSpec& tool : calls.tools) {
    Result<json::object> content = call_text(tool, spec, limits);
    if (!content) return content.error();
    tags.push_back(json::object{{"type", "tag"},
                                {"begin", tag_text(calls.begin_token, text::kCallBegin)},
                                {"content", std::move(*content)},
                                {"end", tag_text(calls.end_token, text::kCallEnd)}});
  }
  return tags;
}

// Calls and nothing else.
json::object only_calls(json::array tags, const CallRules& calls) {
  const json::object call{{"type", "or"}, {"elements", std::move(tags)}};
  json::array elements{json::object{{"type", "regex"}, {"pattern", kLeadingNewlines}}, call};
  if (calls.parallel) {
    elements.push_back(
        json::object{{"type", "star"}, {"content", sequence({const_string("\n"), call})}});
  }
  return sequence(std::move(elements));
}

// Text in which calls may stand.
json::object calls_in_text(json::array tags, const CallRules& calls) {
  const std::string type = calls.begin_token ? "token_triggered_tags" : "triggered_tags";
  json::object format{
      {"type", type}, {"tags", std::move(tags)}, {"stop_after_first", !calls.parallel}};
  if (calls.begin_token) {
    format["trigger_tokens"] = json::array{*calls.begin_token};
  } else {
    format["triggers"] = json::array{json::string(text::kCallBegin)};
  }
  return format;
}

// The format that the answer has unless it calls.
Result<json::value> answer_format(const GrammarSpec& spec, const GrammarLimits& limits) {
  if (spec.kind == GrammarKind::kStructuralTag) {
    Result<std::string> tag = checked_structural_tag(spec, limits);
    if (!tag) return tag.error();
    return json::parse(*tag).at("format");
  }
  Result<std::string> ebnf = to_ebnf(spec, limits);
  if (!ebnf) return ebnf.error();
  return json::value(grammar_format(*ebnf));
}

}  // namespace

Result<std::string> tool_calls_tag(const GrammarSpec& spec, const GrammarLimits& limits) {
  Result<json::array> tags = call_tags(spec, limits);
  if (!tags) return tags.error();
  json::object format;
  if (spec.calls->required) {
    format = only_calls(std::move(*tags), *spec.calls);
  } else if (spec.kind == GrammarKind::kText) {
    format = calls_in_text(std::move(*tags), *spec.calls);
  } else {
    Result<json::value> answer = answer_format(spec, limits);
    if (!answer) return answer.error();
    format = {{"type", "or"},
              {"elements", {std::move(*answer), only_calls(std::move(*tags), *spec.calls)}}};
  }
  return json::serialize(json::object{{"type", "structural_tag"}, {"format", std::move(format)}});
}

}  // namespace ernie::grammar
