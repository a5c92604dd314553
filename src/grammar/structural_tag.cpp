#include "grammar/structural_tag.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <optional>
#include <string_view>
#include <utility>

#include "grammar/to_ebnf.h"

namespace ernie::grammar {
namespace json = boost::json;
namespace {

// Formats that are passed on with what they hold checked. Formats of single tokens are not among
// them: they would let an answer spell special tokens.
constexpr std::array<std::string_view, 11> kPassed = {
    "const_string",        "any_text", "sequence", "or",   "tag",   "triggered_tags",
    "tags_with_separator", "optional", "plus",     "star", "repeat"};
constexpr std::array<std::string_view, 2> kLists = {"elements", "tags"};

constexpr int kMostRepeats = 128;  // XGrammar is slow with what is above

class TagChecker {
 public:
  TagChecker(const GrammarSpec& spec, const GrammarLimits& limits) : spec_(spec), limits_(limits) {}

  std::optional<Error> check(json::object& root) {
    if (json::value* structures = root.if_contains("structures")) {
      legacy(root, *structures);
    } else if (json::value* format = root.if_contains("format")) {
      visit(*format, "/format", false);
    } else {
      fail("/", "needs \"format\", or \"structures\" and \"triggers\"");
    }
    return error_;
  }

 private:
  void fail(std::string_view path, std::string_view what) {
    if (!error_) error_ = invalid_argument(fmt::format("structural tag at {}: {}", path, what));
  }

  // The older notation: structures with begin, schema and end, and triggers.
  void legacy(json::object& root, const json::value& structures) {
    const json::value* triggers = root.if_contains("triggers");
    if (!structures.is_array() || triggers == nullptr || !triggers->is_array()) {
      return fail("/", "\"structures\" and \"triggers\" must be arrays");
    }
    json::array tags;
    for (size_t i = 0; i < structures.get_array().size(); ++i) {
      const std::string path = fmt::format("/structures/{}", i);
      const json::object* structure = structures.get_array()[i].if_object();
      if (structure == nullptr || !structure->contains("begin") || !structure->contains("schema") ||
          !structure->contains("end")) {
        return fail(path, "needs \"begin\", \"schema\" and \"end\"");
      }
      json::value content = {{"type", "json_schema"}, {"json_schema", structure->at("schema")}};
      visit(content, path, false);
      tags.push_back({{"begin", structure->at("begin")},
                      {"content", std::move(content)},
                      {"end", structure->at("end")}});
    }
    json::value format = {
        {"type", "triggered_tags"}, {"triggers", *triggers}, {"tags", std::move(tags)}};
    root = {{"type", "structural_tag"}, {"format", std::move(format)}};
  }

  void visit(json::value& format, const std::string& path, bool tag) {
    if (error_) return;
    json::object* object = format.if_object();
    if (object == nullptr) return fail(path, "must be an object");
    const json::value* type = object->if_contains("type");
    if (type == nullptr && !tag) return fail(path, "needs \"type\"");
    if (type != nullptr && !type->is_string()) return fail(path, "\"type\" must be a string");
    const std::string name = type == nullptr ? "tag" : std::string(type->get_string());
    if (object->contains("excludes")) return fail(path, "\"excludes\" is not supported");
    if (name == "json_schema") return replace(*object, "json_schema", path);
    if (name == "regex") return replace(*object, "pattern", path);
    if (name == "grammar") return replace(*object, "grammar", path);
    if (std::find(kPassed.begin(), kPassed.end(), name) == kPassed.end()) {
      return fail(path, fmt::format("type \"{}\" is not supported", name));
    }
    for (const std::string_view counted : {"min", "max"}) {
      const json::value* count = object->if_contains(counted);
      if (count != nullptr && count->is_number() && count->to_number<double>() > kMostRepeats) {
        return fail(path, fmt::format("\"{}\" is above {}", counted, kMostRepeats));
      }
    }
    if (json::value* content = object->if_contains("content")) {
      visit(*content, path + "/content", false);
    }
    for (const std::string_view key : kLists) {
      json::value* list = object->if_contains(key);
      if (list == nullptr) continue;
      if (!list->is_array()) return fail(path, fmt::format("\"{}\" must be an array", key));
      for (size_t i = 0; i < list->get_array().size(); ++i) {
        visit(list->get_array()[i], fmt::format("{}/{}/{}", path, key, i), key == "tags");
      }
    }
  }

  // Puts a grammar in the place of what `keyword` holds.
  void replace(json::object& format, std::string_view keyword, const std::string& path) {
    const json::value* content = format.if_contains(keyword);
    if (content == nullptr) return fail(path, fmt::format("needs \"{}\"", keyword));
    if (const json::value* style = format.if_contains("style");
        style != nullptr && *style != json::value("json")) {
      return fail(path, "\"style\" is not supported");
    }
    GrammarSpec part;
    part.strict = spec_.strict;
    part.whitespace = spec_.whitespace;
    if (keyword == "json_schema") {
      part.kind = GrammarKind::kJsonSchema;
      part.text = json::serialize(*content);
    } else {
      if (!content->is_string()) return fail(path, fmt::format("\"{}\" must be a string", keyword));
      part.kind = keyword == "pattern" ? GrammarKind::kRegex : GrammarKind::kEbnf;
      part.text = content->get_string();
    }
    Result<std::string> ebnf = to_ebnf(part, limits_);
    if (!ebnf) {
      error_ = ebnf.error();
      error_->message = fmt::format("structural tag at {}: {}", path, error_->message);
      return;
    }
    format = {{"type", "grammar"}, {"grammar", *ebnf}};
  }

  const GrammarSpec& spec_;
  const GrammarLimits& limits_;
  std::optional<Error> error_;
};

}  // namespace

Result<std::string> checked_structural_tag(const GrammarSpec& spec, const GrammarLimits& limits) {
  if (spec.text.size() > limits.text_bytes) {
    return too_complex(fmt::format("the structural tag has {} bytes, at most {}", spec.text.size(),
                                   limits.text_bytes));
  }
  json::parse_options options;
  options.max_depth = limits.depth;
  boost::system::error_code code;
  json::value root = json::parse(spec.text, code, {}, options);
  if (code == json::error::too_deep) {
    return too_complex(fmt::format("the structural tag nests deeper than {}", limits.depth));
  }
  if (code || !root.is_object()) {
    return invalid_argument("the structural tag is not a JSON object");
  }
  if (auto error = TagChecker(spec, limits).check(root.get_object())) return *std::move(error);
  return json::serialize(root);
}

}  // namespace ernie::grammar
