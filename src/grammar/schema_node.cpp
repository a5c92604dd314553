#include "grammar/schema_node.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cmath>
#include <map>
#include <utility>

#include "base/percent.h"
#include "grammar/json_text.h"
#include "grammar/to_ebnf.h"
#include "text/utf8.h"

namespace ernie::grammar {
namespace json = boost::json;
namespace {

constexpr size_t kMostSteps = 10'000'000;  // about two seconds

// Keywords that constrain values of any type and that no grammar is made of.
constexpr std::array<std::string_view, 7> kUnsupported = {
    "not",         "dependentSchemas", "dependentRequired", "dependencies",
    "$dynamicRef", "$recursiveRef",    "disallow"};

struct TypeName {
  std::string_view name;
  uint8_t types;
};
constexpr std::array<TypeName, 7> kTypeNames = {{{"null", kNull},
                                                 {"boolean", kBoolean},
                                                 {"object", kObject},
                                                 {"array", kArray},
                                                 {"string", kString},
                                                 {"integer", kInteger},
                                                 {"number", kNumber}}};

// Keywords that constrain only one type. Where `type` is missing, they tell what is meant.
constexpr std::array<TypeName, 26> kTypeKeywords = {{{"properties", kObject},
                                                     {"required", kObject},
                                                     {"additionalProperties", kObject},
                                                     {"unevaluatedProperties", kObject},
                                                     {"patternProperties", kObject},
                                                     {"propertyNames", kObject},
                                                     {"minProperties", kObject},
                                                     {"maxProperties", kObject},
                                                     {"items", kArray},
                                                     {"prefixItems", kArray},
                                                     {"additionalItems", kArray},
                                                     {"unevaluatedItems", kArray},
                                                     {"minItems", kArray},
                                                     {"maxItems", kArray},
                                                     {"uniqueItems", kArray},
                                                     {"contains", kArray},
                                                     {"minLength", kString},
                                                     {"maxLength", kString},
                                                     {"pattern", kString},
                                                     {"format", kString},
                                                     {"minimum", kNumber},
                                                     {"maximum", kNumber},
                                                     {"exclusiveMinimum", kNumber},
                                                     {"exclusiveMaximum", kNumber},
                                                     {"multipleOf", kNumber},
                                                     {"divisibleBy", kNumber}}};

std::string pointer_token(std::string_view name) {
  std::string token;
  for (const char c : name) {
    if (c == '~') {
      token += "~0";
    } else if (c == '/') {
      token += "~1";
    } else {
      token += c;
    }
  }
  return token;
}

size_t characters(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return !text::utf8_continues(c); });
}

}  // namespace

SchemaRef SchemaRef::child(std::string_view keyword) const {
  return {&object().at(keyword), fmt::format("{}/{}", path, keyword)};
}
SchemaRef SchemaRef::child(std::string_view keyword, std::string_view name) const {
  return {&object().at(keyword).get_object().at(name),
          fmt::format("{}/{}/{}", path, keyword, pointer_token(name))};
}
SchemaRef SchemaRef::child(std::string_view keyword, size_t index) const {
  return {&object().at(keyword).get_array().at(index),
          fmt::format("{}/{}/{}", path, keyword, index)};
}

JsonType type_of(const json::value& value) {
  switch (value.kind()) {
    case json::kind::null:
      return kNull;
    case json::kind::bool_:
      return kBoolean;
    case json::kind::object:
      return kObject;
    case json::kind::array:
      return kArray;
    case json::kind::string:
      return kString;
    case json::kind::double_:
      return std::floor(value.get_double()) == value.get_double() ? kInteger : kFraction;
    default:
      return kInteger;
  }
}

void SchemaReader::spend(size_t steps) {
  spent_ += steps;
  if (spent_ > kMostSteps) fail(too_complex("the schema takes too long to be read"));
}

void SchemaReader::fail(const SchemaRef& at, std::string_view what) {
  fail(invalid_argument(
      fmt::format("schema at {}: {}", at.path.empty() ? "/" : at.path.c_str(), what)));
}
void SchemaReader::fail_unsupported(const SchemaRef& at, std::string_view keyword) {
  fail(at, fmt::format("\"{}\" is not supported", keyword));
}

std::optional<size_t> SchemaReader::count(const SchemaRef& schema, std::string_view keyword) {
  const auto value = number(schema, keyword);
  if (!value) return std::nullopt;
  if (*value < 0 || *value != std::floor(*value)) {
    fail(schema, fmt::format("\"{}\" must be a whole number", keyword));
    return std::nullopt;
  }
  return *value > 1e15 ? static_cast<size_t>(1e15) : static_cast<size_t>(*value);
}

std::optional<double> SchemaReader::number(const SchemaRef& schema, std::string_view keyword) {
  const json::value* value = schema.find(keyword);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number() || !std::isfinite(value->to_number<double>())) {
    fail(schema, fmt::format("\"{}\" must be a number", keyword));
    return std::nullopt;
  }
  return value->to_number<double>();
}

const json::string* SchemaReader::string(const SchemaRef& schema, std::string_view keyword) {
  const json::value* value = schema.find(keyword);
  if (value != nullptr && !value->is_string()) {
    fail(schema, fmt::format("\"{}\" must be a string", keyword));
  }
  return value == nullptr ? nullptr : value->if_string();
}

const json::array* SchemaReader::array(const SchemaRef& schema, std::string_view keyword) {
  const json::value* value = schema.find(keyword);
  if (value != nullptr && !value->is_array()) {
    fail(schema, fmt::format("\"{}\" must be an array", keyword));
  }
  return value == nullptr ? nullptr : value->if_array();
}

const json::object* SchemaReader::members(const SchemaRef& schema, std::string_view keyword) {
  const json::value* value = schema.find(keyword);
  if (value != nullptr && !value->is_object()) {
    fail(schema, fmt::format("\"{}\" must be an object", keyword));
  }
  return value == nullptr ? nullptr : value->if_object();
}

void SchemaReader::check_keywords(const SchemaRef& schema) {
  for (const std::string_view keyword : kUnsupported) {
    if (schema.find(keyword) != nullptr) return fail_unsupported(schema, keyword);
  }
  const bool conditional = schema.find("then") != nullptr || schema.find("else") != nullptr;
  if (conditional && schema.find("if") != nullptr) return fail_unsupported(schema, "if");
  const json::value* nullable = schema.find("nullable");
  if (nullable != nullptr && *nullable != json::value(false)) {
    return fail(schema, R"("nullable" is not supported; "type" may be a list with "null")");
  }
  if (!schema.path.empty() && schema.find("$id") != nullptr) {
    return fail(schema, R"("$id" below the root is not supported)");
  }
}

// The schema that $ref names.
std::optional<SchemaRef> SchemaReader::resolve(const SchemaRef& schema) {
  const json::string* ref = string(schema, "$ref");
  if (ref == nullptr) return std::nullopt;
  std::string_view uri(ref->data(), ref->size());
  const json::value* id = root_.is_object() ? root_.get_object().if_contains("$id") : nullptr;
  if (id != nullptr && id->is_string()) {
    const std::string_view base(id->get_string().data(), id->get_string().size());
    if (!base.empty() && uri.starts_with(base)) uri.remove_prefix(base.size());
    if (uri.empty()) uri = "#";
  }
  if (uri != "#" && !uri.starts_with("#/")) {
    fail(schema, fmt::format("$ref \"{}\" does not point into the schema (#/…)", uri));
    return std::nullopt;
  }
  const std::string pointer = percent_decoded(uri.substr(1)).value_or(std::string(uri.substr(1)));
  boost::system::error_code code;
  const json::value* target = root_.find_pointer(pointer, code);
  if (code || target == nullptr) {
    fail(schema, fmt::format("$ref \"{}\" points at nothing", uri));
    return std::nullopt;
  }
  return SchemaRef{target, pointer};
}

struct SchemaReader::Flattening {
  SchemaSet flat;
  // Whether each schema met is still being replaced.
  std::map<const json::value*, bool> open;
  bool satisfiable = true;
};

void SchemaReader::flatten_into(const SchemaRef& schema, Flattening& state) {
  spend(10);
  if (failed()) return;
  if (schema.schema->is_bool()) {
    state.satisfiable = state.satisfiable && schema.schema->get_bool();
    return;
  }
  if (!schema.schema->is_object()) return fail(schema, "a schema must be an object or a boolean");
  const auto [met, is_new] = state.open.try_emplace(schema.schema, true);
  if (!is_new) {
    if (met->second) fail(schema, "$ref and allOf lead back here without anything between");
    return;
  }
  check_keywords(schema);
  if (const auto target = resolve(schema)) flatten_into(*target, state);
  if (const json::array* all = array(schema, "allOf")) {
    for (size_t i = 0; i < all->size(); ++i) flatten_into(schema.child("allOf", i), state);
  }
  state.open[schema.schema] = false;
  state.flat.push_back(schema);
}

std::optional<SchemaSet> SchemaReader::flatten(const SchemaSet& schemas) {
  Flattening state;
  for (const SchemaRef& schema : schemas) flatten_into(schema, state);
  if (failed() || !state.satisfiable) return std::nullopt;
  return std::move(state.flat);
}

// What `type` says.
uint8_t SchemaReader::named_types(const SchemaRef& schema) {
  const auto read = [&](const json::value& name) -> uint8_t {
    for (const TypeName& known : kTypeNames) {
      if (name.is_string() && name.get_string() == known.name) return known.types;
    }
    fail(schema, fmt::format("unknown type {}", json_text(name)));
    return 0;
  };
  const json::value* type = schema.find("type");
  if (type == nullptr) return kAnyType;
  if (!type->is_array()) return read(*type);
  uint8_t types = 0;
  for (const json::value& name : type->get_array()) types |= read(name);
  return types;
}

uint8_t SchemaReader::types_of(const SchemaSet& schemas) {
  uint8_t named = kAnyType;
  uint8_t implied = 0;
  bool any_named = false;
  for (const SchemaRef& schema : schemas) {
    any_named = any_named || schema.find("type") != nullptr;
    named &= named_types(schema);
    for (const TypeName& keyword : kTypeKeywords) {
      if (schema.find(keyword.name) != nullptr) implied |= keyword.types;
    }
  }
  return any_named || implied == 0 ? named : implied;
}

bool SchemaReader::within_bounds(double value, const SchemaRef& schema) {
  const auto minimum = number(schema, "minimum");
  const auto maximum = number(schema, "maximum");
  if ((minimum && value < *minimum) || (maximum && value > *maximum)) return false;
  const json::value* exclusive_minimum = schema.find("exclusiveMinimum");
  const json::value* exclusive_maximum = schema.find("exclusiveMaximum");
  if (exclusive_minimum != nullptr && exclusive_minimum->is_number() &&
      value <= exclusive_minimum->to_number<double>()) {
    return false;
  }
  if (exclusive_maximum != nullptr && exclusive_maximum->is_number() &&
      value >= exclusive_maximum->to_number<double>()) {
    return false;
  }
  for (const json::value* exclusive : {exclusive_minimum, exclusive_maximum}) {
    if (exclusive != nullptr && !exclusive->is_number()) {
      fail(schema, "a boolean exclusive bound beside \"enum\" or \"const\" is not supported");
    }
  }
  if (schema.find("multipleOf") != nullptr) fail_unsupported(schema, "multipleOf");
  return true;
}

bool SchemaReader::satisfies(const json::value& value, const SchemaRef& schema) {
  const JsonType type = type_of(value);
  if ((named_types(schema) & type) == 0) return false;
  if (const json::value* constant = schema.find("const");
      constant != nullptr && !json_equal(value, *constant)) {
    return false;
  }
  if (const json::array* values = array(schema, "enum")) {
    spend(values->size());
    if (failed()) return false;
    if (std::none_of(values->begin(), values->end(),
                     [&](const json::value& other) { return json_equal(value, other); })) {
      return false;
    }
  }
  if ((type & kNumber) != 0) return within_bounds(value.to_number<double>(), schema);
  if (type == kString) {
    const size_t length = characters({value.get_string().data(), value.get_string().size()});
    const auto minimum = count(schema, "minLength");
    const auto maximum = count(schema, "maxLength");
    if ((minimum && length < *minimum) || (maximum && length > *maximum)) return false;
  }
  for (const TypeName& keyword : kTypeKeywords) {
    const bool checked = keyword.name == "minLength" || keyword.name == "maxLength";
    if (keyword.types == type && !checked && schema.find(keyword.name) != nullptr) {
      fail(schema,
           fmt::format("\"{}\" beside \"enum\" or \"const\" is not supported", keyword.name));
    }
  }
  return true;
}

}  // namespace ernie::grammar
