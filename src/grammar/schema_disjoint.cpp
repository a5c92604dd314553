#include <algorithm>
#include <boost/json.hpp>
#include <set>

#include "grammar/json_text.h"
#include "grammar/schema_converter.h"

namespace ernie::grammar {
namespace json = boost::json;
namespace {

constexpr size_t kMostOptions = 500;  // more are not compared and count as overlapping

using Values = std::vector<const json::value*>;

// The values that `const` or `enum` of some flat schema lists.
std::optional<Values> listed_values(const SchemaSet& flat) {
  for (const SchemaRef& schema : flat) {
    if (const json::value* constant = schema.find("const")) return Values{constant};
    const json::value* listed = schema.find("enum");
    if (listed == nullptr || !listed->is_array()) continue;
    Values values;
    for (const json::value& value : listed->get_array()) values.push_back(&value);
    return values;
  }
  return std::nullopt;
}

bool share_a_value(const Values& a, const Values& b, SchemaReader& reader) {
  reader.spend(a.size() * b.size());
  if (reader.failed()) return true;
  return std::any_of(a.begin(), a.end(), [&](const json::value* value) {
    return std::any_of(b.begin(), b.end(),
                       [&](const json::value* other) { return json_equal(*value, *other); });
  });
}

// What is known of the values that one option allows.
struct Option {
  uint8_t types = kAnyType;
  std::optional<Values> values;
  std::map<std::string, Values> properties;  // whose values are listed
  std::set<std::string> required;
  std::set<std::string> named;
  bool closed = false;  // no object has other properties than the named ones
};

bool exclude_each_other(const Option& a, const Option& b, SchemaReader& reader) {
  const uint8_t types = a.types & b.types;
  if (types == 0) return true;
  const auto values_of_other_types = [](const Option& with_values, uint8_t other) {
    return with_values.values &&
           std::none_of(with_values.values->begin(), with_values.values->end(),
                        [&](const json::value* value) { return (type_of(*value) & other) != 0; });
  };
  if (values_of_other_types(a, b.types) || values_of_other_types(b, a.types)) return true;
  if (a.values && b.values && !share_a_value(*a.values, *b.values, reader)) return true;
  if ((types & ~kObject) != 0) return false;
  const auto told_apart_by_property = [&](const Option& one, const Option& other) {
    reader.spend(one.required.size());
    return std::any_of(one.required.begin(), one.required.end(), [&](const std::string& name) {
      if (other.closed && !other.named.contains(name)) return true;
      const auto mine = one.properties.find(name);
      const auto others = other.properties.find(name);
      return mine != one.properties.end() && others != other.properties.end() &&
             !share_a_value(mine->second, others->second, reader);
    });
  };
  return told_apart_by_property(a, b) || told_apart_by_property(b, a);
}

}  // namespace

bool SchemaConverter::disjoint(const SchemaSet& options) {
  if (options.size() > kMostOptions) return false;
  std::vector<Option> known;
  for (const SchemaRef& schema : options) {
    const auto flat = reader_.flatten({schema});
    if (reader_.failed()) return true;  // the error is told elsewhere
    if (!flat) continue;                // no value at all
    Option option;
    option.values = listed_values(*flat);
    for (const SchemaRef& part : *flat) {
      // Only what `type` names: without it the other types are allowed, though not written.
      if (part.find("type") != nullptr) option.types &= reader_.types_of({part});
      const json::value* others = part.find("additionalProperties");
      const bool patterns = part.find("patternProperties") != nullptr;
      // Of several schemas, the one that is closed counts only its own names.
      if (flat->size() == 1 && others != nullptr && *others == json::value(false) && !patterns) {
        option.closed = true;
      }
      if (const json::array* required = reader_.array(part, "required")) {
        for (const json::value& name : *required) {
          if (name.is_string()) option.required.insert(std::string(name.get_string()));
        }
      }
      if (const json::object* properties = reader_.members(part, "properties")) {
        for (const auto& [name, property] : *properties) {
          option.named.insert(std::string(name));
          const auto inner = reader_.flatten({part.child("properties", name)});
          if (!inner) continue;
          if (auto values = listed_values(*inner)) {
            option.properties.emplace(std::string(name), *std::move(values));
          }
        }
      }
    }
    known.push_back(std::move(option));
  }
  if (reader_.failed()) return true;
  for (size_t i = 0; i < known.size(); ++i) {
    for (size_t j = i + 1; j < known.size(); ++j) {
      if (!exclude_each_other(known[i], known[j], reader_)) return false;
    }
  }
  return true;
}

}  // namespace ernie::grammar
