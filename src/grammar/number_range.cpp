#include "grammar/number_range.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <string_view>
#include <utility>

namespace ernie::grammar {
namespace {

std::string digit(char c) { return fmt::format("\"{}\"", c); }
std::string digits_from(char first, char last) {
  return first == last ? digit(first) : fmt::format("[{}-{}]", first, last);
}
std::string any_digits(size_t count) { return count == 0 ? "" : fmt::format("digits-{}", count); }
bool all(std::string_view digits, char c) {
  return digits.find_first_not_of(c) == std::string_view::npos;
}
std::string either(const std::string& a, const std::string& b) {
  if (a.empty()) return b;
  return b.empty() ? a : a + " | " + b;
}

// Strings of as many digits as `low` that are not below it.
std::string at_least(std::string_view low) {
  if (all(low, '0')) return any_digits(low.size());
  std::string out = digit(low[0]) + " " + at_least(low.substr(1));
  if (low[0] < '9') {
    out += " | " + digits_from(low[0] + 1, '9') + " " + any_digits(low.size() - 1);
  }
  return "(" + out + ")";
}

std::string at_most(std::string_view high) {
  if (all(high, '9')) return any_digits(high.size());
  std::string out = digit(high[0]) + " " + at_most(high.substr(1));
  if (high[0] > '0') {
    out += " | " + digits_from('0', high[0] - 1) + " " + any_digits(high.size() - 1);
  }
  return "(" + out + ")";
}

// Strings of as many digits as both bounds.
std::string between(std::string_view low, std::string_view high) {
  if (low.empty()) return "";
  if (low[0] == high[0]) return digit(low[0]) + " " + between(low.substr(1), high.substr(1));
  std::string out = digit(low[0]) + " " + at_least(low.substr(1));
  if (low[0] + 1 < high[0]) {
    out += " | " + digits_from(low[0] + 1, high[0] - 1) + " " + any_digits(low.size() - 1);
  }
  return "(" + out + " | " + digit(high[0]) + " " + at_most(high.substr(1)) + ")";
}

bool whole_less(std::string_view a, std::string_view b) {
  return a.size() != b.size() ? a.size() < b.size() : a < b;
}

// Whole numbers without leading zeros; none if the bounds are in the wrong order.
std::string whole_range(const std::string& low, const std::optional<std::string>& high) {
  if (high && whole_less(*high, low)) return "";
  if (!high) {
    return between(low, std::string(low.size(), '9')) +
           fmt::format(" | [1-9] {} [0-9]*", any_digits(low.size()));
  }
  if (low.size() == high->size()) return between(low, *high);
  std::string out = between(low, std::string(low.size(), '9'));
  if (low.size() + 1 < high->size()) {
    out += fmt::format(" | [1-9] {} digits-to-{}", any_digits(low.size()),
                       high->size() - low.size() - 2);
  }
  return out + " | " + between("1" + std::string(high->size() - 1, '0'), *high);
}

std::string plus_one(std::string digits) {
  size_t i = digits.size();
  while (i > 0 && digits[i - 1] == '9') digits[--i] = '0';
  if (i == 0) return "1" + digits;
  ++digits[i - 1];
  return digits;
}

// Of a number above 0.
std::string minus_one(std::string digits) {
  size_t i = digits.size();
  while (digits[i - 1] == '0') digits[--i] = '9';
  --digits[i - 1];
  if (digits.size() > 1 && digits[0] == '0') digits.erase(0, 1);
  return digits;
}

// How the digits after a decimal point may go on: not at all, and by at least one digit.
struct Digits {
  bool none = false;
  std::string some;  // empty: by no digit

  // Behind a digit that was written.
  std::string after(char c) const {
    if (some.empty()) return none ? digit(c) : "";
    return digit(c) + (none ? " (" + some + ")?" : " (" + some + ")");
  }
};

// Digits that are not below those of `low`.
Digits fraction_from(std::string_view low, bool exclusive) {
  if (low.empty()) {
    if (exclusive) return {false, "[0]* [1-9] [0-9]*"};
    return {true, "[0-9]+"};
  }
  std::string some = fraction_from(low.substr(1), exclusive).after(low[0]);
  if (low[0] < '9') some += " | " + digits_from(low[0] + 1, '9') + " [0-9]*";
  return {false, some};
}

Digits fraction_to(std::string_view high, bool exclusive) {
  if (high.empty()) {
    if (exclusive) return {};
    return {true, "[0]+"};
  }
  std::string some = fraction_to(high.substr(1), exclusive).after(high[0]);
  if (high[0] > '0') some = either(some, digits_from('0', high[0] - 1) + " [0-9]*");
  return {true, some};
}

Digits fraction_between(std::string_view low, bool low_exclusive, std::string_view high,
                        bool high_exclusive) {
  if (low.empty() && high.empty()) {
    if (low_exclusive || high_exclusive) return {};
    return {true, "[0]+"};
  }
  const char first = low.empty() ? '0' : low[0];
  const char last = high.empty() ? '0' : high[0];
  const std::string_view low_rest = low.substr(low.empty() ? 0 : 1);
  const std::string_view high_rest = high.substr(high.empty() ? 0 : 1);
  const bool none = low.empty() && !low_exclusive;
  if (first == last) {
    return {none,
            fraction_between(low_rest, low_exclusive, high_rest, high_exclusive).after(first)};
  }
  std::string some = fraction_from(low_rest, low_exclusive).after(first);
  if (first + 1 < last) {
    some = either(some, digits_from(first + 1, last - 1) + " [0-9]*");
  }
  return {none, either(some, fraction_to(high_rest, high_exclusive).after(last))};
}

// A whole number with the fractions that may follow it.
std::string with_fraction(const std::string& whole, const Digits& fraction) {
  if (fraction.some.empty()) return fraction.none ? "\"" + whole + "\"" : "";
  return "\"" + whole + "\" (\".\" (" + fraction.some + "))" + (fraction.none ? "?" : "");
}

// Numbers from `low` on, up to `high`; both are at least 0.
std::string magnitudes(const NumberBound& low, const std::optional<NumberBound>& high,
                       bool integer) {
  const Decimal& from = low.value;
  if (integer) {
    const bool next = low.exclusive || !from.fraction.empty();
    const std::string first = next ? plus_one(from.whole) : from.whole;
    if (!high) return whole_range(first, std::nullopt);
    const bool previous = high->exclusive && high->value.fraction.empty();
    if (previous && high->value.whole == "0") return "";
    return whole_range(first, previous ? minus_one(high->value.whole) : high->value.whole);
  }
  if (high && (less(high->value, from) ||
               (!less(from, high->value) && (low.exclusive || high->exclusive)))) {
    return "";
  }
  if (high && high->value.whole == from.whole) {
    return with_fraction(from.whole, fraction_between(from.fraction, low.exclusive,
                                                      high->value.fraction, high->exclusive));
  }
  std::string out = with_fraction(from.whole, fraction_from(from.fraction, low.exclusive));
  const std::string second = plus_one(from.whole);
  std::optional<std::string> last_but_one;
  if (high) last_but_one = minus_one(high->value.whole);
  if (const std::string middle = whole_range(second, last_but_one); !middle.empty()) {
    out = either(out, "(" + middle + ") (\".\" [0-9]+)?");
  }
  if (!high) return out;
  return either(
      out, with_fraction(high->value.whole, fraction_to(high->value.fraction, high->exclusive)));
}

NumberBound magnitude(NumberBound bound) {
  bound.value.negative = false;
  return bound;
}

}  // namespace

Decimal Decimal::parse(std::string text) {
  Decimal result;
  if (text.starts_with('-')) {
    result.negative = true;
    text.erase(0, 1);
  }
  int exponent = 0;
  if (const size_t e = text.find_first_of("eE"); e != std::string::npos) {
    const size_t first = e + (text[e + 1] == '+' ? 2 : 1);
    std::from_chars(text.data() + first, text.data() + text.size(), exponent);
    text.erase(e);
  }
  size_t point = text.find('.');
  if (point == std::string::npos) {
    point = text.size();
  } else {
    text.erase(point, 1);
  }
  // The point moves by the exponent; zeros fill what it moves over.
  auto place = static_cast<ptrdiff_t>(point) + exponent;
  if (place < 0) {
    text.insert(0, static_cast<size_t>(-place), '0');
    place = 0;
  }
  if (const auto end = static_cast<size_t>(place); end > text.size()) text.resize(end, '0');
  result.whole = text.substr(0, static_cast<size_t>(place));
  result.fraction = text.substr(static_cast<size_t>(place));
  result.whole.erase(0, std::min(result.whole.find_first_not_of('0'), result.whole.size()));
  if (result.whole.empty()) result.whole = "0";
  result.fraction.erase(result.fraction.find_last_not_of('0') + 1);
  if (result.zero()) result.negative = false;
  return result;
}

bool less(const Decimal& a, const Decimal& b) {
  if (a.negative != b.negative) return a.negative;
  const Decimal& small = a.negative ? b : a;
  const Decimal& large = a.negative ? a : b;
  if (small.whole != large.whole) return whole_less(small.whole, large.whole);
  return small.fraction < large.fraction;
}

std::optional<NumberRange> number_range(const std::optional<NumberBound>& low,
                                        const std::optional<NumberBound>& high, bool integer) {
  std::string out;
  const NumberBound zero{};
  if (!high || !high->value.negative) {
    const bool from_zero = !low || low->value.negative;
    out = magnitudes(from_zero ? zero : *low, high, integer);
  }
  if (!low || low->value.negative) {
    // Zero is written without a sign.
    const NumberBound above_zero{{}, true};
    const bool to_zero = !high || !high->value.negative;
    std::optional<NumberBound> largest;
    if (low) largest = magnitude(*low);
    const std::string negative =
        magnitudes(to_zero ? above_zero : magnitude(*high), largest, integer);
    if (!negative.empty()) out = either(out, "\"-\" (" + negative + ")");
  }
  if (out.empty()) return std::nullopt;
  // A range without an upper bound counts the digits of the lower one, or of the number after it.
  size_t digits = 1;
  for (const auto& bound : {low, high}) {
    if (bound) digits = std::max(digits, bound->value.whole.size() + 1);
  }
  return NumberRange{"(" + out + ")", digits};
}

std::string digit_rules(size_t digits) {
  std::string rules = "digits-to-0 ::= \"\"\ndigits-1 ::= [0-9]\n";
  for (size_t count = 1; count <= digits; ++count) {
    if (count > 1) rules += fmt::format("digits-{} ::= [0-9] digits-{}\n", count, count - 1);
    rules += fmt::format("digits-to-{} ::= \"\" | [0-9] digits-to-{}\n", count, count - 1);
  }
  return rules;
}

}  // namespace ernie::grammar
