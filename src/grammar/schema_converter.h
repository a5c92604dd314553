#pragma once

#include <boost/json/value.hpp>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "grammar/grammar_spec.h"
#include "grammar/regex.h"
#include "grammar/schema_node.h"

namespace ernie::grammar {

// Makes the rules of a grammar out of the schemas of one document. An expression is nothing where
// no value can satisfy the schemas.
class SchemaConverter {
 public:
  SchemaConverter(const boost::json::value& root, bool strict, const std::string& whitespace,
                  const GrammarLimits& limits);

  Result<std::string> convert();

 private:
  using Expression = std::optional<std::string>;

  Expression value(const SchemaSet& schemas);
  Expression alternatives(const SchemaSet& flat, size_t index, std::string_view keyword);
  Expression enumeration(const SchemaSet& flat);
  Expression of_types(const SchemaSet& flat);

  Expression object(const SchemaSet& flat);
  Expression array(const SchemaSet& flat);
  Expression string(const SchemaSet& flat);
  Expression number(const SchemaSet& flat, bool integer);

  // Of objects (schema_object.cpp).
  struct Property;
  struct ObjectShape;
  bool read_shape(const SchemaSet& flat, ObjectShape& shape);
  void read_properties(const SchemaSet& flat, ObjectShape& shape);
  void read_others(const SchemaSet& flat, ObjectShape& shape);
  SchemaSet schemas_of_property(const SchemaSet& flat, std::string_view name);
  Expression other_pair(const ObjectShape& shape);
  std::string other_key(const std::vector<Property>& properties);
  Expression named_object(const ObjectShape& shape, size_t at, size_t min, size_t max);
  Expression map_object(const Expression& pair, size_t min, size_t max);

  // Whether no value satisfies two of the options (schema_disjoint.cpp).
  bool disjoint(const SchemaSet& options);

  std::string add_rule(std::string_view hint, std::string body);
  std::string shared_rule(std::string_view hint, const std::string& body);
  std::string reserve_rule(std::string_view hint);
  void fill_rule(const std::string& name, std::string body);
  void add_basic_rules();
  std::string comma() const;
  std::string colon() const;
  std::string repeated(const std::string& element, size_t min, size_t max);
  Expression pattern(const SchemaRef& at, std::string_view pattern);

  const GrammarLimits& limits_;
  SchemaReader reader_;
  const SchemaRef root_;
  const bool strict_;
  std::string whitespace_;
  bool default_whitespace_;

  std::string rules_;
  size_t rule_count_ = 0;
  size_t depth_ = 0;
  size_t enumerated_ = 0;
  size_t digits_ = 0;  // the rules of digit_rules() that are referred to
  // What a set of schemas became.
  struct Known {
    Expression expression;
    bool open = false;       // its rule is being made
    bool recursive = false;  // its rule was used meanwhile
  };
  using Key = std::vector<std::tuple<const boost::json::value*, bool, bool>>;
  std::map<Key, Known> known_;
  std::unordered_map<std::string, std::string> rule_of_body_;
  std::unordered_map<std::string, std::string> string_of_pattern_;
};

}  // namespace ernie::grammar
