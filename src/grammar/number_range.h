#pragma once

#include <optional>
#include <string>

namespace ernie::grammar {

// A decimal number without exponent, exactly.
struct Decimal {
  bool negative = false;
  std::string whole = "0";  // without leading zeros
  std::string fraction;     // without trailing zeros

  // Reads what fmt and JSON write, with or without exponent.
  static Decimal parse(std::string text);
  bool zero() const { return whole == "0" && fraction.empty(); }
};

struct NumberBound {
  Decimal value;
  bool exclusive = false;
};

// Whether `a` is below `b`.
bool less(const Decimal& a, const Decimal& b);

// An expression in XGrammar's notation that may refer to the rules of digit_rules(digits).
struct NumberRange {
  std::string expression;
  size_t digits = 0;
};

// The decimal numbers without exponent between two bounds, or the integers among them. Nothing if
// there is none. Its size grows as the bounds' digits do.
std::optional<NumberRange> number_range(const std::optional<NumberBound>& low,
                                        const std::optional<NumberBound>& high, bool integer);

// For each count up to `digits`: digits-COUNT, so many digits, and digits-to-COUNT, so many at
// most.
std::string digit_rules(size_t digits);

}  // namespace ernie::grammar
