#pragma once

#include <boost/json/value.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace ernie::grammar {

// A schema inside a document, and where it stands there (a JSON pointer).
struct SchemaRef {
  const boost::json::value* schema = nullptr;
  std::string path;
  bool without_any_of = false;  // anyOf is dealt with
  bool without_one_of = false;  // oneOf is dealt with

  const boost::json::object& object() const { return schema->get_object(); }
  const boost::json::value* find(std::string_view keyword) const {
    return object().if_contains(keyword);
  }
  SchemaRef child(std::string_view keyword) const;
  SchemaRef child(std::string_view keyword, std::string_view name) const;
  SchemaRef child(std::string_view keyword, size_t index) const;
};

// Schemas that a value must satisfy together.
using SchemaSet = std::vector<SchemaRef>;

enum JsonType : uint8_t {
  kNull = 1,
  kBoolean = 2,
  kObject = 4,
  kArray = 8,
  kString = 16,
  kInteger = 32,
  kFraction = 64,  // a number that is not an integer
  kNumber = kInteger | kFraction,
  kAnyType = 127,
};

// Reads schemas and remembers the first thing that is wrong with them.
class SchemaReader {
 public:
  explicit SchemaReader(const boost::json::value& root) : root_(root) {}

  bool failed() const { return error_.has_value(); }
  const Error& error() const { return *error_; }
  void fail(Error error) {
    if (!error_) error_ = std::move(error);
  }
  // Counts work, and fails where a schema would take too much of it.
  void spend(size_t steps);
  // "schema at PATH: what"
  void fail(const SchemaRef& at, std::string_view what);
  void fail_unsupported(const SchemaRef& at, std::string_view keyword);

  // Replaces $ref and allOf by what they stand for. Nothing if no value satisfies the schemas.
  std::optional<SchemaSet> flatten(const SchemaSet& schemas);

  // The types that flat schemas allow together.
  uint8_t types_of(const SchemaSet& schemas);

  // A keyword's value if it is there; its absence otherwise, and an error if it is of another kind.
  std::optional<size_t> count(const SchemaRef& schema, std::string_view keyword);
  std::optional<double> number(const SchemaRef& schema, std::string_view keyword);
  const boost::json::string* string(const SchemaRef& schema, std::string_view keyword);
  const boost::json::array* array(const SchemaRef& schema, std::string_view keyword);
  const boost::json::object* members(const SchemaRef& schema, std::string_view keyword);

  // Whether a value of `enum` or `const` satisfies the keywords of one flat schema.
  bool satisfies(const boost::json::value& value, const SchemaRef& schema);

 private:
  struct Flattening;
  void flatten_into(const SchemaRef& schema, Flattening& state);
  std::optional<SchemaRef> resolve(const SchemaRef& schema);
  void check_keywords(const SchemaRef& schema);
  uint8_t named_types(const SchemaRef& schema);
  bool within_bounds(double value, const SchemaRef& schema);

  const boost::json::value& root_;
  std::optional<Error> error_;
  size_t spent_ = 0;
};

// The type of a value.
JsonType type_of(const boost::json::value& value);

}  // namespace ernie::grammar
