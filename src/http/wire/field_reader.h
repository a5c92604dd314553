#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace ernie::http {

// Reads typed fields of a JSON object. A field that is absent or null reads as nullopt; one of
// another type or outside its range is an error naming field, value and limit. The first error is
// kept and later reads go on harmlessly, so callers check status() once.
class FieldReader {
 public:
  // `prefix` comes before field names in errors: "" or, for example, "stream_options.".
  explicit FieldReader(const boost::json::object& object, std::string prefix = {});

  std::optional<bool> boolean(std::string_view key);
  std::optional<int64_t> integer(std::string_view key, int64_t min, int64_t max);
  std::optional<float> number(std::string_view key, double min, double max);
  std::optional<std::string> string(std::string_view key, size_t max_bytes);
  const boost::json::object* object(std::string_view key);
  const boost::json::array* array(std::string_view key);
  // Any type; nullptr when absent or null.
  const boost::json::value* value(std::string_view key);
  // A list of strings (or one string), at most max_items of 1 to max_bytes bytes each.
  std::vector<std::string> strings(std::string_view key, size_t max_items, size_t max_bytes);
  // A list of token ids.
  std::vector<int32_t> token_ids(std::string_view key, size_t max_items);

  void fail(std::string_view key, const std::string& message, std::string code = "invalid_value");
  // Takes over an error, such as that of a reader of a nested object, if it has one.
  void adopt(const FieldReader& inner);
  void adopt(const Error& error);
  // A field whose meaning this server does not have: an error unless its value asks for nothing
  // (absent, null, false, empty, or `off`, where 1.0 is 1).
  void refuse(std::string_view key, const std::string& instead,
              const boost::json::value& off = nullptr);

  // The same of every field that was not read: the first one that asks for something.
  void refuse_unread(const std::string& instead);

  Status status() const { return error_ ? Status(*error_) : Status(); }
  const std::string& prefix() const { return prefix_; }
  std::vector<std::string> unread_keys() const;

 private:
  const boost::json::value* find(std::string_view key);

  const boost::json::object& object_;
  std::string prefix_;
  std::set<std::string, std::less<>> read_;
  std::optional<Error> error_;
};

// A value as it may stand in an error message: short, on one line.
std::string describe(const boost::json::value& value);

}  // namespace ernie::http
