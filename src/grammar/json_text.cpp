#include "grammar/json_text.h"

#include <fmt/format.h>

#include <boost/json.hpp>

namespace ernie::grammar {
namespace json = boost::json;

const CodeSet& json_escaped_characters() {
  static const CodeSet set{{0, 0x1F}, {'"', '"'}, {'\\', '\\'}};
  return set;
}

std::string json_escape(char32_t value) {
  switch (value) {
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    case '\b':
      return "\\b";
    case '\f':
      return "\\f";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    default:
      return fmt::format("\\u{:04x}", static_cast<uint32_t>(value));
  }
}

std::string json_quoted(std::string_view text) {
  std::string out = "\"";
  for (const char byte : text) {
    const auto value = static_cast<unsigned char>(byte);
    if (value < 0x20 || byte == '"' || byte == '\\') {
      out += json_escape(value);
    } else {
      out += byte;
    }
  }
  return out += '"';
}

std::string json_text(const json::value& value) {
  switch (value.kind()) {
    case json::kind::string:
      return json_quoted(value.get_string());
    case json::kind::double_:
      return fmt::format("{}", value.get_double());
    case json::kind::array: {
      std::string out = "[";
      for (const json::value& item : value.get_array()) {
        if (out.size() > 1) out += ", ";
        out += json_text(item);
      }
      return out += ']';
    }
    case json::kind::object: {
      std::string out = "{";
      for (const auto& [name, member] : value.get_object()) {
        if (out.size() > 1) out += ", ";
        out += json_quoted(name) + ": " + json_text(member);
      }
      return out += '}';
    }
    default:
      return json::serialize(value);
  }
}

bool json_equal(const json::value& a, const json::value& b) {
  if (a.is_number() && b.is_number()) {
    if (!a.is_double() && !b.is_double()) return a == b;
    return a.to_number<double>() == b.to_number<double>();
  }
  if (a.kind() != b.kind()) return false;
  if (a.is_array()) {
    const auto& left = a.get_array();
    const auto& right = b.get_array();
    if (left.size() != right.size()) return false;
    for (size_t i = 0; i < left.size(); ++i) {
      if (!json_equal(left[i], right[i])) return false;
    }
    return true;
  }
  if (a.is_object()) {
    const auto& left = a.get_object();
    const auto& right = b.get_object();
    if (left.size() != right.size()) return false;
    for (const auto& [name, member] : left) {
      const json::value* other = right.if_contains(name);
      if (other == nullptr || !json_equal(member, *other)) return false;
    }
    return true;
  }
  return a == b;
}

}  // namespace ernie::grammar
