#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace ernie::model {

// Typed access to one JSON object of a configuration file. The first failure is kept and later
// calls return their fallback, so a parser reads every key in a row and looks at error() once. A
// key that is absent or null gives the fallback.
class ConfigReader {
 public:
  // `path` names the object inside the file, for messages: "" or "vision_config.".
  ConfigReader(const boost::json::object& object, std::string file, std::string path = {});

  bool has(const char* key) const;
  bool has_object(const char* key) const;
  std::vector<std::string> keys() const;  // in the order of the file
  bool failed() const { return error_.has_value(); }
  const Error& error() const { return *error_; }

  // Whole numbers in [low, high]. Without a fallback the key is required.
  int integer(const char* key, int64_t low, int64_t high, std::optional<int> fallback = {});
  // A whole number, or a list of 1 to 8 of them; empty when absent.
  std::vector<int> integers(const char* key, int64_t low, int64_t high);
  // A finite number above `low`, at most `high`.
  float number(const char* key, double low, double high, float fallback);
  bool boolean(const char* key, bool fallback);
  std::string string(const char* key, std::string fallback);
  std::vector<std::string> strings(const char* key);
  // The object at `key`, or an empty one.
  ConfigReader object(const char* key);

  // Refuses a value that is none of the accepted ones; 1 and 1.0 are the same.
  void require_one_of(const char* key, std::span<const boost::json::value> accepted);

  // Records a failure about `key`: expected X, found its value.
  void refuse(const std::string& key, const std::string& expected);
  // Takes over the failure of a nested reader.
  void adopt(const ConfigReader& nested);

 private:
  const boost::json::value* find(const char* key) const;
  std::optional<int> to_integer(const boost::json::value& value, int64_t low, int64_t high) const;

  const boost::json::object& object_;
  std::string file_;
  std::string path_;
  std::optional<Error> error_;
};

}  // namespace ernie::model
