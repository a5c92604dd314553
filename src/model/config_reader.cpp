#include "model/config_reader.h"

#include <boost/json.hpp>
#include <cmath>
#include <utility>

namespace ernie::model {
namespace {

constexpr size_t kMaxShownValue = 80;

std::string shown(const boost::json::value* value) {
  if (value == nullptr) return "no such key";
  std::string text = boost::json::serialize(*value);
  if (text.size() <= kMaxShownValue) return text;
  text.resize(kMaxShownValue);
  return text += "...";
}

std::string range_text(const char* what, double low, double high) {
  return std::string(what) + " from " + boost::json::serialize(boost::json::value(low)) + " to " +
         boost::json::serialize(boost::json::value(high));
}

std::string whole_range(int64_t low, int64_t high) {
  return "a whole number from " + std::to_string(low) + " to " + std::to_string(high);
}

bool same(const boost::json::value& a, const boost::json::value& b) {
  if (a.is_number() && b.is_number()) return a.to_number<double>() == b.to_number<double>();
  return a == b;
}

}  // namespace

ConfigReader::ConfigReader(const boost::json::object& object, std::string file, std::string path)
    : object_(object), file_(std::move(file)), path_(std::move(path)) {}

const boost::json::value* ConfigReader::find(const char* key) const {
  const boost::json::value* value = object_.if_contains(key);
  return value != nullptr && !value->is_null() ? value : nullptr;
}

bool ConfigReader::has(const char* key) const { return find(key) != nullptr; }

bool ConfigReader::has_object(const char* key) const {
  const boost::json::value* value = find(key);
  return value != nullptr && value->is_object();
}

std::vector<std::string> ConfigReader::keys() const {
  std::vector<std::string> out;
  for (const auto& item : object_) out.emplace_back(item.key());
  return out;
}

void ConfigReader::refuse(const std::string& key, const std::string& expected) {
  if (error_) return;
  error_ = invalid_argument(file_ + ": " + path_ + key + ": expected " + expected + ", found " +
                                shown(object_.if_contains(key)),
                            "model");
}

void ConfigReader::adopt(const ConfigReader& nested) {
  if (!error_ && nested.error_) error_ = nested.error_;
}

std::optional<int> ConfigReader::to_integer(const boost::json::value& value, int64_t low,
                                            int64_t high) const {
  std::optional<int64_t> n;
  if (value.is_int64()) n = value.get_int64();
  if (value.is_double() && std::nearbyint(value.get_double()) == value.get_double() &&
      std::abs(value.get_double()) < 1e15) {
    n = static_cast<int64_t>(value.get_double());
  }
  if (!n || *n < low || *n > high) return std::nullopt;
  return static_cast<int>(*n);
}

int ConfigReader::integer(const char* key, int64_t low, int64_t high, std::optional<int> fallback) {
  const boost::json::value* value = find(key);
  if (value == nullptr) {
    if (!fallback) refuse(key, whole_range(low, high));
    return fallback.value_or(static_cast<int>(low));
  }
  const std::optional<int> n = to_integer(*value, low, high);
  if (!n) refuse(key, whole_range(low, high));
  return n.value_or(fallback.value_or(static_cast<int>(low)));
}

std::vector<int> ConfigReader::integers(const char* key, int64_t low, int64_t high) {
  const boost::json::value* value = find(key);
  if (value == nullptr) return {};
  boost::json::array list;
  if (value->is_array()) {
    list = value->get_array();
  } else {
    list.push_back(*value);
  }
  std::vector<int> numbers;
  for (const boost::json::value& item : list) {
    if (const std::optional<int> n = to_integer(item, low, high)) numbers.push_back(*n);
  }
  if (numbers.empty() || numbers.size() != list.size() || numbers.size() > 8) {
    refuse(key, whole_range(low, high) + ", or a list of them");
    return {};
  }
  return numbers;
}

float ConfigReader::number(const char* key, double low, double high, float fallback) {
  const boost::json::value* value = find(key);
  if (value == nullptr) return fallback;
  const double n = value->is_number() ? value->to_number<double>() : std::nan("");
  if (!(n > low && n <= high)) {
    refuse(key, range_text("a number", low, high));
    return fallback;
  }
  return static_cast<float>(n);
}

bool ConfigReader::boolean(const char* key, bool fallback) {
  const boost::json::value* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_bool()) {
    refuse(key, "true or false");
    return fallback;
  }
  return value->get_bool();
}

std::string ConfigReader::string(const char* key, std::string fallback) {
  const boost::json::value* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_string()) {
    refuse(key, "a string");
    return fallback;
  }
  return std::string(value->get_string());
}

std::vector<std::string> ConfigReader::strings(const char* key) {
  const boost::json::value* value = find(key);
  if (value == nullptr) return {};
  std::vector<std::string> out;
  if (value->is_array()) {
    for (const boost::json::value& item : value->get_array()) {
      if (item.is_string()) out.emplace_back(item.get_string());
    }
  }
  if (!value->is_array() || out.size() != value->get_array().size()) {
    refuse(key, "a list of strings");
    return {};
  }
  return out;
}

void ConfigReader::require_one_of(const char* key, std::span<const boost::json::value> accepted) {
  const boost::json::value* value = find(key);
  if (value == nullptr) return;
  std::string list;
  for (size_t i = 0; i < accepted.size(); ++i) {
    if (same(*value, accepted[i])) return;
    list += (i > 0 ? " or " : "") + boost::json::serialize(accepted[i]);
  }
  refuse(key, list + " (nothing else is implemented)");
}

ConfigReader ConfigReader::object(const char* key) {
  static const boost::json::object kEmpty;
  const boost::json::value* value = find(key);
  if (value != nullptr && !value->is_object()) {
    refuse(key, "an object");
    value = nullptr;
  }
  return ConfigReader(value != nullptr ? value->get_object() : kEmpty, file_, path_ + key + ".");
}

}  // namespace ernie::model
