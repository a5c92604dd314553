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

// The decimal numbers without exponent between two bounds, or the integers among them, in
// XGrammar's notation. Nothing if there is none.
std::optional<std::string> number_range(const std::optional<NumberBound>& low,
                                        const std::optional<NumberBound>& high, bool integer);

}  // namespace ernie::grammar
