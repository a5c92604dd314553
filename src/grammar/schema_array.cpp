#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>

#include "grammar/regex.h"
#include "grammar/schema_converter.h"
#include "grammar/to_ebnf.h"

namespace ernie::grammar {
namespace json = boost::json;
namespace {

// The keyword that holds schemas of the first items, one for each: a list in `items` before 2020.
std::string_view prefix_keyword(const SchemaRef& schema) {
  const json::value* items = schema.find("items");
  return items != nullptr && items->is_array() ? "items" : "prefixItems";
}

// The keyword that holds the schema of the items after these.
std::string_view rest_keyword(const SchemaRef& schema) {
  const bool listed = prefix_keyword(schema) == "items";
  const std::string_view keyword = listed ? "additionalItems" : "items";
  return schema.find(keyword) != nullptr ? keyword : "unevaluatedItems";
}

}  // namespace

SchemaConverter::Expression SchemaConverter::array(const SchemaSet& flat) {
  size_t prefix = 0;
  size_t min = 0;
  size_t max = kUnbounded;
  for (const SchemaRef& schema : flat) {
    const json::value* unique = schema.find("uniqueItems");
    if (unique != nullptr && *unique != json::value(false)) {
      reader_.fail_unsupported(schema, "uniqueItems");
    }
    if (schema.find("contains") != nullptr) reader_.fail_unsupported(schema, "contains");
    if (const json::array* items = reader_.array(schema, prefix_keyword(schema))) {
      prefix = std::max(prefix, items->size());
    }
    min = std::max(min, reader_.count(schema, "minItems").value_or(0));
    max = std::min(max, reader_.count(schema, "maxItems").value_or(kUnbounded));
  }
  if (reader_.failed()) return std::nullopt;

  // The schemas of the items from `from` on, of which `index` is one.
  const auto schemas_at = [&](size_t index) {
    reader_.spend(flat.size());
    SchemaSet schemas;
    for (const SchemaRef& schema : flat) {
      const std::string_view keyword = prefix_keyword(schema);
      const json::value* listed = schema.find(keyword);
      if (listed != nullptr && index < listed->get_array().size()) {
        schemas.push_back(schema.child(keyword, index));
      } else if (schema.find(rest_keyword(schema)) != nullptr) {
        schemas.push_back(schema.child(rest_keyword(schema)));
      }
    }
    return schemas;
  };
  std::vector<std::string> items;
  while (items.size() < std::min(prefix, max) && !reader_.failed()) {
    const Expression item = value(schemas_at(items.size()));
    if (!item) max = items.size();  // no array is longer
    if (item) items.push_back(*item);
  }
  // Items that no schema is given for are not written, unless nothing else could be.
  const SchemaSet rest_schemas = schemas_at(prefix);
  const bool closed = rest_schemas.empty() && prefix > 0 && min <= prefix;
  Expression rest;
  if (max > prefix && !closed) rest = value(rest_schemas);
  if (!rest) max = std::min(max, prefix);
  if (reader_.failed() || min > max) return std::nullopt;
  if (min > limits_.repeats) {
    reader_.fail(too_complex(
        fmt::format("schema at {}: \"minItems\" is above {}", flat.front().path, limits_.repeats)));
    return std::nullopt;
  }
  if (max != kUnbounded) max = std::min(max, limits_.repeats);

  const std::string empty = "\"[\" " + whitespace_ + " \"]\"";
  if (max == 0) return empty;
  // What follows an item, from the last one to the first.
  std::string tail;
  if (rest) {
    const size_t listed = std::max<size_t>(items.size(), 1);
    tail = repeated("(" + comma() + *rest + ")", min > listed ? min - listed : 0,
                    max == kUnbounded ? max : max - listed);
  }
  for (size_t k = items.size(); k-- > 1;) {
    const std::string next = comma() + items[k] + " " + tail;
    tail = k < min ? next : add_rule("items", "\"\" | " + next);
  }
  const std::string first = items.empty() ? *rest : items[0];
  const std::string filled =
      "\"[\" " + whitespace_ + " " + first + " " + tail + " " + whitespace_ + " \"]\"";
  return min == 0 ? empty + " | " + filled : filled;
}

}  // namespace ernie::grammar
