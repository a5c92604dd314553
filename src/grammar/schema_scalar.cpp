#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>

#include "grammar/json_text.h"
#include "grammar/number_range.h"
#include "grammar/regex.h"
#include "grammar/schema_converter.h"
#include "grammar/string_format.h"
#include "grammar/to_ebnf.h"

namespace ernie::grammar {
namespace json = boost::json;
namespace {

constexpr size_t kLargestMultiple = 1024;  // its grammar has a rule for each remainder

// Keeps the stricter one of two bounds; `sign` is 1 for lower bounds and -1 for upper ones.
void tighten(std::optional<NumberBound>& bound, const json::value& value, bool exclusive,
             int sign) {
  const NumberBound other{Decimal::parse(json_text(value)), exclusive};
  const auto stricter = [&] {
    const bool above = less(bound->value, other.value);
    const bool below = less(other.value, bound->value);
    if (!above && !below) return exclusive;
    return sign > 0 ? above : below;
  };
  if (!bound || stricter()) bound = other;
}

struct Bounds {
  std::optional<NumberBound> low;
  std::optional<NumberBound> high;
};

// The multiples of a number, without sign: a rule for each remainder that digits may leave.
std::string multiples_rules(const std::string& prefix, size_t divisor) {
  std::string rules;
  for (size_t remainder = 0; remainder < divisor; ++remainder) {
    rules += fmt::format("{}r{} ::= ", prefix, remainder);
    if (remainder == 0) rules += "\"\" | ";
    for (size_t digit = 0; digit < 10; ++digit) {
      rules += fmt::format("{}\"{}\" {}r{}", digit > 0 ? " | " : "", digit, prefix,
                           (remainder * 10 + digit) % divisor);
    }
    rules += '\n';
  }
  return rules;
}

}  // namespace

SchemaConverter::Expression SchemaConverter::string(const SchemaSet& flat) {
  size_t min = 0;
  size_t max = kUnbounded;
  std::optional<std::string> pattern;
  const SchemaRef* pattern_at = nullptr;
  std::string_view pattern_keyword;
  const auto add_pattern = [&](const SchemaRef& schema, std::string_view keyword,
                               std::string added) {
    if (pattern && *pattern != added) {
      reader_.fail(schema, fmt::format("\"{}\" together with \"{}\" is not supported", keyword,
                                       pattern_keyword));
    }
    pattern = std::move(added);
    pattern_at = &schema;
    pattern_keyword = keyword;
  };
  for (const SchemaRef& schema : flat) {
    min = std::max(min, reader_.count(schema, "minLength").value_or(0));
    max = std::min(max, reader_.count(schema, "maxLength").value_or(kUnbounded));
    if (const json::string* text = reader_.string(schema, "pattern")) {
      add_pattern(schema, "pattern", {text->data(), text->size()});
    }
    if (const json::string* format = reader_.string(schema, "format")) {
      auto known = format_pattern({format->data(), format->size()});
      if (!known) {
        reader_.fail(schema, fmt::format("format \"{}\" is not supported",
                                         std::string_view(format->data(), format->size())));
        return std::nullopt;
      }
      add_pattern(schema, "format", *std::move(known));
    }
  }
  if (reader_.failed() || min > max) return std::nullopt;
  if (pattern) {
    if (min > 0 || max != kUnbounded) {
      reader_.fail(*pattern_at,
                   fmt::format("\"{}\" together with \"minLength\" or \"maxLength\" is not "
                               "supported; a pattern can say it: ^.{{2,5}}$",
                               pattern_keyword));
      return std::nullopt;
    }
    SchemaRef place = *pattern_at;
    place.path += fmt::format("/{}", pattern_keyword);
    return this->pattern(place, *pattern);
  }
  if (min > limits_.repeats) {
    reader_.fail(too_complex(fmt::format("schema at {}: \"minLength\" is above {}",
                                         flat.front().path, limits_.repeats)));
    return std::nullopt;
  }
  if (max == kUnbounded && min == 0) return "json-string";
  if (max == kUnbounded && min == 1) return "\"\\\"\" json-character json-characters";
  // XGrammar counts the characters of one class up to a quote quickly, so escapes are left out.
  const std::string most =
      max == kUnbounded ? "" : fmt::format("{}", std::min(max, limits_.repeats));
  return fmt::format("\"\\\"\" [^\\\"\\\\\\u0000-\\u001f\\ud800-\\udfff]{{{},{}}} \"\\\"\"", min,
                     most);
}

SchemaConverter::Expression SchemaConverter::number(const SchemaSet& flat, bool integer) {
  Bounds bounds;
  size_t divisor = 1;
  for (const SchemaRef& schema : flat) {
    const json::value* minimum = schema.find("minimum");
    const json::value* maximum = schema.find("maximum");
    if (reader_.number(schema, "minimum")) {
      // Before draft 6 exclusiveMinimum was a boolean beside minimum.
      const json::value* exclusive = schema.find("exclusiveMinimum");
      tighten(bounds.low, *minimum, exclusive != nullptr && *exclusive == json::value(true), 1);
    }
    if (reader_.number(schema, "maximum")) {
      const json::value* exclusive = schema.find("exclusiveMaximum");
      tighten(bounds.high, *maximum, exclusive != nullptr && *exclusive == json::value(true), -1);
    }
    const json::value* above = schema.find("exclusiveMinimum");
    if (above != nullptr && !above->is_bool() && reader_.number(schema, "exclusiveMinimum")) {
      tighten(bounds.low, *above, true, 1);
    }
    const json::value* below = schema.find("exclusiveMaximum");
    if (below != nullptr && !below->is_bool() && reader_.number(schema, "exclusiveMaximum")) {
      tighten(bounds.high, *below, true, -1);
    }
    if (schema.find("divisibleBy") != nullptr) reader_.fail_unsupported(schema, "divisibleBy");
    if (schema.find("multipleOf") == nullptr) continue;
    const auto multiple = reader_.number(schema, "multipleOf");
    if (!multiple) return std::nullopt;
    const auto whole = static_cast<size_t>(std::clamp(*multiple, 0.0, 1e6));
    if (whole < 1 || whole > kLargestMultiple || static_cast<double>(whole) != *multiple) {
      reader_.fail(schema, fmt::format("\"multipleOf\" is supported for whole numbers from 1 to {}",
                                       kLargestMultiple));
      return std::nullopt;
    }
    if (divisor != 1 && whole != 1 && whole != divisor) {
      reader_.fail(schema, "two different \"multipleOf\" together are not supported");
    }
    divisor = std::max(divisor, whole);
    integer = true;
  }
  if (reader_.failed()) return std::nullopt;
  if (divisor > 1) {
    if (bounds.low || bounds.high) {
      reader_.fail(flat.front(), "\"multipleOf\" together with bounds is not supported");
      return std::nullopt;
    }
    const std::string prefix = reserve_rule("multiple");
    rules_ += multiples_rules(prefix, divisor);
    std::string first;
    for (size_t digit = 1; digit < 10; ++digit) {
      first +=
          fmt::format("{}\"{}\" {}r{}", digit > 1 ? " | " : "", digit, prefix, digit % divisor);
    }
    return "\"0\" | \"-\"? (" + first + ")";
  }
  if (!bounds.low && !bounds.high) return integer ? "json-integer" : "json-number";
  const auto range = number_range(bounds.low, bounds.high, integer);
  if (!range) return std::nullopt;
  digits_ = std::max(digits_, range->digits);
  return range->expression;
}

}  // namespace ernie::grammar
