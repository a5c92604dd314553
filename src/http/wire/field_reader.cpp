#include "http/wire/field_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <cmath>
#include <utility>

namespace ernie::http {

namespace json = boost::json;

std::string describe(const json::value& value) {
  if (value.is_array()) return "a list of " + std::to_string(value.as_array().size()) + " items";
  if (value.is_object()) return "an object";
  if (value.is_string() && value.as_string().size() > 64) {
    return "a string of " + std::to_string(value.as_string().size()) + " bytes";
  }
  return json::serialize(value);
}

namespace {

std::string format_limit(double v) {
  if (v == std::floor(v) && std::abs(v) < 1e15) return std::to_string(static_cast<int64_t>(v));
  return fmt::format("{}", v);
}

// A value that asks for nothing.
bool is_empty(const json::value& value) {
  return value == false || (value.is_string() && value.as_string().empty()) ||
         (value.is_array() && value.as_array().empty()) ||
         (value.is_object() && value.as_object().empty());
}

}  // namespace

FieldReader::FieldReader(const json::object& object, std::string prefix)
    : object_(object), prefix_(std::move(prefix)) {}

const json::value* FieldReader::find(std::string_view key) {
  read_.emplace(key);
  const json::value* value = object_.if_contains(key);
  return value && !value->is_null() ? value : nullptr;
}

const json::value* FieldReader::value(std::string_view key) { return find(key); }

std::optional<bool> FieldReader::boolean(std::string_view key) {
  const json::value* value = find(key);
  if (!value) return std::nullopt;
  if (value->is_bool()) return value->as_bool();
  fail(key, "should be true or false, got " + describe(*value));
  return std::nullopt;
}

std::optional<int64_t> FieldReader::integer(std::string_view key, int64_t min, int64_t max) {
  const json::value* value = find(key);
  if (!value) return std::nullopt;
  // Some clients write whole numbers as 16.0.
  const bool is_whole = value->is_double() && std::abs(value->as_double()) < 1e15 &&
                        value->as_double() == std::floor(value->as_double());
  if (value->is_int64() || is_whole) {
    const auto number = value->to_number<int64_t>();
    if (number >= min && number <= max) return number;
  }
  fail(key, "should be an integer from " + std::to_string(min) + " to " + std::to_string(max) +
                ", got " + describe(*value));
  return std::nullopt;
}

std::optional<float> FieldReader::number(std::string_view key, double min, double max) {
  const json::value* value = find(key);
  if (!value) return std::nullopt;
  if (value->is_number()) {
    const double number = value->to_number<double>();
    if (number >= min && number <= max) return static_cast<float>(number);
  }
  fail(key, "should be a number from " + format_limit(min) + " to " + format_limit(max) + ", got " +
                describe(*value));
  return std::nullopt;
}

std::optional<std::string> FieldReader::string(std::string_view key, size_t max_bytes) {
  const json::value* value = find(key);
  if (!value) return std::nullopt;
  if (value->is_string() && value->as_string().size() <= max_bytes) {
    return std::string(value->as_string());
  }
  fail(key, "should be a string of at most " + std::to_string(max_bytes) + " bytes, got " +
                describe(*value));
  return std::nullopt;
}

const json::object* FieldReader::object(std::string_view key) {
  const json::value* value = find(key);
  if (!value) return nullptr;
  if (!value->is_object()) fail(key, "should be an object, got " + describe(*value));
  return value->if_object();
}

const json::array* FieldReader::array(std::string_view key) {
  const json::value* value = find(key);
  if (!value) return nullptr;
  if (!value->is_array()) fail(key, "should be a list, got " + describe(*value));
  return value->if_array();
}

std::vector<std::string> FieldReader::strings(std::string_view key, size_t max_items,
                                              size_t max_bytes) {
  const json::value* value = find(key);
  if (!value) return {};
  std::vector<std::string> out;
  auto add = [&](const json::value& item) {
    if (item.is_string() && !item.as_string().empty() && item.as_string().size() <= max_bytes) {
      out.emplace_back(item.as_string());
      return true;
    }
    fail(key, "should hold strings of 1 to " + std::to_string(max_bytes) + " bytes, got " +
                  describe(item));
    return false;
  };
  if (value->is_string()) {
    add(*value);
  } else if (value->is_array()) {
    if (value->as_array().size() > max_items) {
      fail(key, "has " + std::to_string(value->as_array().size()) + " items; at most " +
                    std::to_string(max_items) + " are allowed");
      return {};
    }
    for (const auto& item : value->as_array()) {
      if (!add(item)) break;
    }
  } else {
    fail(key, "should be a string or a list of strings, got " + describe(*value));
  }
  return out;
}

std::vector<int32_t> FieldReader::token_ids(std::string_view key, size_t max_items) {
  const json::array* items = array(key);
  if (!items) return {};
  if (items->size() > max_items) {
    fail(key, "has " + std::to_string(items->size()) + " items; at most " +
                  std::to_string(max_items) + " are allowed");
    return {};
  }
  std::vector<int32_t> out;
  for (const auto& item : *items) {
    if (!item.is_int64() || item.as_int64() < 0 || item.as_int64() > INT32_MAX) {
      fail(key, "should hold token ids, got " + describe(item));
      break;
    }
    out.push_back(static_cast<int32_t>(item.as_int64()));
  }
  return out;
}

void FieldReader::fail(std::string_view key, const std::string& message, std::string code) {
  if (error_) return;
  const std::string name = prefix_ + std::string(key);
  error_ = invalid_argument(name + " " + message, name, std::move(code));
}

void FieldReader::adopt(const FieldReader& inner) {
  if (!error_) error_ = inner.error_;
}

void FieldReader::adopt(const Error& error) {
  if (!error_) error_ = error;
}

void FieldReader::refuse(std::string_view key, const std::string& instead, const json::value& off) {
  const json::value* value = find(key);
  if (!value || is_empty(*value) || *value == off) return;
  const bool are_numbers = value->is_number() && off.is_number();
  if (are_numbers && value->to_number<double>() == off.to_number<double>()) return;
  fail(key, "is not supported: " + instead, "unsupported_parameter");
}

void FieldReader::refuse_unread(const std::string& instead) {
  constexpr size_t kShownBytes = 64;
  for (const auto& member : object_) {
    if (read_.contains(std::string_view(member.key()))) continue;
    if (member.value().is_null() || is_empty(member.value())) continue;
    std::string shown(std::string_view(member.key()).substr(0, kShownBytes));
    std::ranges::replace_if(
        shown, [](char c) { return c < ' ' || c > '~'; }, '?');
    return fail(shown, "is not supported: " + instead, "unsupported_parameter");
  }
}

std::vector<std::string> FieldReader::unread_keys() const {
  std::vector<std::string> keys;
  for (const auto& member : object_) {
    if (!read_.contains(std::string_view(member.key())))
      keys.push_back(prefix_ + std::string(member.key()));
  }
  return keys;
}

}  // namespace ernie::http
