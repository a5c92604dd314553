#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>

#include "grammar/ebnf_text.h"
#include "grammar/json_text.h"
#include "grammar/regex.h"
#include "grammar/schema_converter.h"
#include "text/utf8.h"

namespace ernie::grammar {
namespace json = boost::json;
namespace {

// The keyword that holds the schema of properties that are not named.
std::string_view others_keyword(const SchemaRef& schema) {
  const bool additional = schema.find("additionalProperties") != nullptr;
  return additional ? "additionalProperties" : "unevaluatedProperties";
}

const json::value& string_schema() {
  static const json::value schema = {{"type", "string"}};
  return schema;
}

// Names as a tree of their characters.
struct NameTree {
  bool ends = false;
  std::map<char32_t, NameTree> next;
};

}  // namespace

struct SchemaConverter::Property {
  std::string name;
  bool required = false;
  Expression pair;  // name, colon and value
};

// The objects that flat schemas allow together.
struct SchemaConverter::ObjectShape {
  std::vector<Property> properties;
  size_t required = 0;
  std::optional<SchemaRef> pattern;  // of the schema that has patternProperties
  SchemaSet names;                   // of propertyNames
  SchemaSet others;                  // of properties that are not named
  bool open = false;                 // there may be such
  size_t min = 0;
  size_t max = kUnbounded;
};

// What the schemas say of a property together.
SchemaSet SchemaConverter::schemas_of_property(const SchemaSet& flat, std::string_view name) {
  reader_.spend(flat.size());
  SchemaSet schemas;
  for (const SchemaRef& schema : flat) {
    const json::object* named = reader_.members(schema, "properties");
    if (named != nullptr && named->contains(name)) {
      schemas.push_back(schema.child("properties", name));
    } else if (schema.find(others_keyword(schema)) != nullptr) {
      schemas.push_back(schema.child(others_keyword(schema)));
    }
  }
  return schemas;
}

void SchemaConverter::read_properties(const SchemaSet& flat, ObjectShape& shape) {
  std::map<std::string, size_t> places;
  const auto add = [&](std::string_view name) -> Property& {
    const auto [place, is_new] = places.try_emplace(std::string(name), shape.properties.size());
    if (is_new) shape.properties.push_back({std::string(name), false, std::nullopt});
    return shape.properties[place->second];
  };
  for (const SchemaRef& schema : flat) {
    const json::object* named = reader_.members(schema, "properties");
    if (named == nullptr) continue;
    for (const auto& property : *named) add(property.key());
  }
  for (const SchemaRef& schema : flat) {
    const json::array* required = reader_.array(schema, "required");
    if (required == nullptr) continue;
    for (const json::value& name : *required) {
      if (!name.is_string()) return reader_.fail(schema, "\"required\" must hold strings");
      add(name.get_string()).required = true;
    }
  }
}

void SchemaConverter::read_others(const SchemaSet& flat, ObjectShape& shape) {
  bool said = false;
  for (const SchemaRef& schema : flat) {
    const json::value* others = schema.find(others_keyword(schema));
    if (others != nullptr) {
      said = true;
      shape.others.push_back(schema.child(others_keyword(schema)));
    }
    const json::object* patterns = reader_.members(schema, "patternProperties");
    if (patterns != nullptr && !patterns->empty()) {
      if (patterns->size() > 1 || shape.pattern) {
        return reader_.fail(schema,
                            "more than one pattern in \"patternProperties\" is not supported");
      }
      if (!shape.properties.empty()) {
        return reader_.fail(schema,
                            "\"patternProperties\" together with \"properties\" or \"required\" "
                            "is not supported");
      }
      shape.pattern = schema;
    }
    if (schema.find("propertyNames") != nullptr) {
      shape.names.push_back(schema.child("propertyNames"));
      if (!shape.properties.empty() || shape.pattern) {
        return reader_.fail(schema,
                            "\"propertyNames\" together with \"properties\", \"required\" or "
                            "\"patternProperties\" is not supported");
      }
    }
    if (strict_ && (others == nullptr || *others != json::value(false)) &&
        (others != nullptr || shape.properties.empty())) {
      return reader_.fail(schema, "strict: \"additionalProperties\" must be false");
    }
  }
  shape.open = said || (shape.properties.empty() && !strict_);
}

bool SchemaConverter::read_shape(const SchemaSet& flat, ObjectShape& shape) {
  for (const SchemaRef& schema : flat) {
    shape.min = std::max(shape.min, reader_.count(schema, "minProperties").value_or(0));
    shape.max = std::min(shape.max, reader_.count(schema, "maxProperties").value_or(kUnbounded));
  }
  read_properties(flat, shape);
  if (!reader_.failed()) read_others(flat, shape);
  for (Property& property : shape.properties) {
    if (reader_.failed()) return false;
    const Expression value_rule = value(schemas_of_property(flat, property.name));
    if (!value_rule && property.required) return false;
    if (property.required) ++shape.required;
    if (!value_rule) continue;
    property.pair = ebnf_literal(json_quoted(property.name)) + colon() + *value_rule;
  }
  return !reader_.failed() && shape.min <= shape.max && shape.required <= shape.max;
}

// A key of a property that is not named: written without escapes as long as it could become one
// of the names.
std::string SchemaConverter::other_key(const std::vector<Property>& properties) {
  if (properties.empty()) return "json-string";
  NameTree root;
  for (const Property& property : properties) {
    NameTree* node = &root;
    std::string_view rest = property.name;
    while (!rest.empty()) {
      const text::Utf8Step step = text::utf8_step(rest);
      node = &node->next[step.value];
      rest.remove_prefix(step.bytes);
    }
    node->ends = true;
  }
  const auto rule = [&](const auto& self, const NameTree& node) -> std::string {
    if (reader_.failed()) return "\"\"";
    CodeSet differs = json_escaped_characters().complement();
    std::string on_the_way;
    for (const auto& [character, next] : node.next) {
      if (json_escaped_characters().contains(character)) continue;
      differs = differs.without({{character, character}});
      std::string text;
      text::append_utf8(character, text);
      on_the_way += " | " + ebnf_literal(text) + " " + self(self, next);
    }
    return add_rule("key", ebnf_class(differs) + " json-characters" + on_the_way +
                               (node.ends ? "" : " | \"\\\"\""));
  };
  return "\"\\\"\" " + rule(rule, root);
}

// Key, colon and value of a property that is not named.
SchemaConverter::Expression SchemaConverter::other_pair(const ObjectShape& shape) {
  if (!shape.open && !shape.pattern) return std::nullopt;
  if (shape.pattern) {
    const auto& pattern = *shape.pattern->object().at("patternProperties").get_object().begin();
    const SchemaRef at = shape.pattern->child("patternProperties", pattern.key());
    const std::string_view text(pattern.key().data(), pattern.key().size());
    const Expression key = this->pattern(at, text);
    if (!key) return std::nullopt;
    // Schemas of other properties do not count where they stand beside the pattern.
    SchemaSet schemas{at};
    for (const SchemaRef& other : shape.others) {
      if (other.schema != shape.pattern->find(others_keyword(*shape.pattern))) {
        schemas.push_back(other);
      }
    }
    const Expression member = value(schemas);
    if (!member) return std::nullopt;
    return *key + colon() + *member;
  }
  const Expression member = value(shape.others);
  if (!member) return std::nullopt;
  if (shape.names.empty()) return other_key(shape.properties) + colon() + *member;
  SchemaSet names = shape.names;
  names.push_back({&string_schema(), names.front().path});
  const Expression key = value(names);
  if (!key) return std::nullopt;
  return *key + colon() + *member;
}

// An object of which no property is named.
SchemaConverter::Expression SchemaConverter::map_object(const Expression& pair, size_t min,
                                                        size_t max) {
  const std::string empty = "\"{\" " + whitespace_ + " \"}\"";
  if (!pair || max == 0) return min == 0 ? Expression(empty) : std::nullopt;
  const std::string filled =
      "\"{\" " + whitespace_ + " " + *pair + " " +
      repeated("(" + comma() + *pair + ")", 0, max == kUnbounded ? max : max - 1) + " " +
      whitespace_ + " \"}\"";
  return min == 0 ? empty + " | " + filled : filled;
}

SchemaConverter::Expression SchemaConverter::object(const SchemaSet& flat) {
  ObjectShape shape;
  if (!read_shape(flat, shape)) return std::nullopt;
  const SchemaRef& at = flat.empty() ? root_ : flat.front();
  Expression others = other_pair(shape);
  if (reader_.failed()) return std::nullopt;
  if (shape.properties.empty()) {
    if (!shape.open && !shape.pattern) return map_object(std::nullopt, shape.min, shape.max);
    // Equal keys make one property, so that pairs do not tell how many there are.
    if (shape.min > 1) {
      reader_.fail(at, "\"minProperties\" above 1 is supported only where properties are required");
      return std::nullopt;
    }
    if (flat.empty()) return "json-object";
    return map_object(others, shape.min,
                      shape.max == kUnbounded ? shape.max : std::min(shape.max, limits_.repeats));
  }

  std::vector<const Property*> possible;
  for (const Property& property : shape.properties) {
    if (property.pair) possible.push_back(&property);
  }
  if (shape.max != kUnbounded && (others || shape.max < possible.size())) {
    if (shape.max > shape.required) {
      reader_.fail(at, "\"maxProperties\" below the number of properties is not supported");
      return std::nullopt;
    }
    others.reset();  // the required ones are all there may be
    std::erase_if(possible, [](const Property* property) { return !property->required; });
  }
  if (shape.min > std::max<size_t>(shape.required, 1)) {
    if (!others && shape.min > possible.size()) return std::nullopt;
    reader_.fail(at, "\"minProperties\" above the number of required properties is not supported");
    return std::nullopt;
  }

  // What may follow a property. It is written in place from the first required property on, since
  // it is used once there, and is a rule before.
  const size_t first_required =
      std::find_if(possible.begin(), possible.end(), [](const auto* p) { return p->required; }) -
      possible.begin();
  const auto next = [&](const Property& property) {
    const std::string pair = comma() + *property.pair;
    return (property.required ? pair : "(" + pair + ")?") + " ";
  };
  std::string rest;
  for (size_t k = first_required + 1; k < possible.size(); ++k) rest += next(*possible[k]);
  if (others) rest += "(" + comma() + *others + ")*";
  const size_t beginnings = std::min(first_required + 1, possible.size());
  std::vector<std::string> after(beginnings);
  for (size_t k = beginnings; k-- > 0;) {
    if (k < first_required && !rest.empty()) rest = add_rule("rest", rest);
    after[k] = rest;
    rest = next(*possible[k]) + rest;
    if (reader_.failed()) return std::nullopt;
  }
  std::string inside;
  for (size_t k = 0; k < beginnings; ++k) {
    if (!inside.empty()) inside += " | ";
    inside += *possible[k]->pair + " " + after[k] + " " + whitespace_;
  }
  if (shape.required == 0) {
    if (others) {
      if (!inside.empty()) inside += " | ";
      inside += *others + " (" + comma() + *others + ")* " + whitespace_;
    }
    if (shape.min == 0) inside += inside.empty() ? "\"\"" : " | \"\"";
    if (inside.empty()) return std::nullopt;
  }
  return "\"{\" " + whitespace_ + " (" + inside + ") \"}\"";
}

}  // namespace ernie::grammar
