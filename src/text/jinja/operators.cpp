#include "text/jinja/operators.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "text/jinja/functions.h"

namespace ernie::text::jinja {
namespace {

Value integer_arithmetic(Context& context, char op, int64_t a, int64_t b) {
  int64_t result = 0;
  bool overflow = false;
  switch (op) {
    case '+':
      overflow = __builtin_add_overflow(a, b, &result);
      break;
    case '-':
      overflow = __builtin_sub_overflow(a, b, &result);
      break;
    case '*':
      overflow = __builtin_mul_overflow(a, b, &result);
      break;
    case '/':  // floor division
    case '%':
      if (b == 0) return context.fail("division by zero");
      if (b == -1) {
        overflow = op == '/' && __builtin_sub_overflow(int64_t{0}, a, &result);
        break;
      }
      result = op == '/' ? a / b : a % b;
      if (a % b != 0 && (a < 0) != (b < 0)) result += op == '/' ? -1 : b;
      break;
    default:  // power, by repeated multiplication; an overflow ends it early
      if (b > 64 && (a > 1 || a < -1)) return context.fail("a number out of range");
      result = 1;
      for (int64_t i = 0; i < (b > 64 ? b % 2 + 2 : b) && !overflow; ++i) {
        overflow = __builtin_mul_overflow(result, a, &result);
      }
  }
  if (overflow) return context.fail("a number out of range");
  return result;
}

Value float_arithmetic(Context& context, const std::string& op, double a, double b) {
  if (op == "+") return a + b;
  if (op == "-") return a - b;
  if (op == "*") return a * b;
  if (op == "**") return std::pow(a, b);
  if (b == 0) return context.fail("division by zero");
  if (op == "/") return a / b;
  if (op == "//") return std::floor(a / b);
  return a - b * std::floor(a / b);
}

template <typename Sequence>
Value repeat(Context& context, const Sequence& sequence, int64_t times, size_t cost) {
  Sequence out;
  if (times <= 0 || sequence.empty()) return out;
  if (static_cast<uint64_t>(times) > (size_t{1} << 40) / sequence.size() ||
      !context.charge(cost * sequence.size() * times)) {
    context.charge(std::numeric_limits<int64_t>::max());
    return {};
  }
  out.reserve(sequence.size() * times);
  for (int64_t i = 0; i < times; ++i) out.insert(out.end(), sequence.begin(), sequence.end());
  return out;
}

// Python's slice.indices(): the positions that a slice of `size` items takes.
std::vector<int64_t> slice_indices(int64_t size, const Value& begin, const Value& end,
                                   int64_t step) {
  const auto bound = [&](const Value& value, int64_t otherwise) {
    if (value.is_none()) return otherwise;
    int64_t at = value.as_integer();
    if (at < 0) at = at < -size ? -1 : at + size;
    return std::clamp<int64_t>(at, step < 0 ? -1 : 0, step < 0 ? size - 1 : size);
  };
  const int64_t first = bound(begin, step < 0 ? size - 1 : 0);
  const int64_t last = bound(end, step < 0 ? -1 : size);
  std::vector<int64_t> indices;
  for (int64_t i = first; step < 0 ? i > last : i < last; i += step) indices.push_back(i);
  return indices;
}

}  // namespace

Value negate(Context& context, const std::string& sign, const Value& value) {
  if (context.failed()) return {};
  if (!value.is_number()) return context.fail("expected a number after " + sign);
  if (value.is_float()) return sign == "-" ? -value.as_float() : value.as_float();
  return integer_arithmetic(context, sign[0], 0, value.as_integer());
}

Value arithmetic(Context& context, const std::string& op, const Value& left, const Value& right) {
  if (op == "~" || (op == "+" && left.string() && right.string())) {
    const String a = to_string(left);
    const String b = to_string(right);
    return context.charge(a.size() + b.size()) ? Value(a + b) : Value();
  }
  if (op == "+" && left.list() && right.list()) {
    if (!context.charge(kItemCost * (left.list()->size() + right.list()->size()))) return {};
    List list = *left.list();
    list.insert(list.end(), right.list()->begin(), right.list()->end());
    return list;
  }
  if (op == "*" && (left.string() || left.list()) && right.is_integer()) {
    return left.string() ? repeat(context, *left.string(), right.as_integer(), 1)
                         : repeat(context, *left.list(), right.as_integer(), kItemCost);
  }
  if (op == "*" && (right.string() || right.list()) && left.is_integer()) {
    return arithmetic(context, op, right, left);
  }
  if (!left.is_number() || !right.is_number()) {
    const Value& culprit = left.is_undefined() ? left : right;
    if (culprit.is_undefined()) {
      return context.fail("expected \"" + culprit.undefined_name() + "\" to be defined");
    }
    return context.fail("expected numbers, strings or lists around " + op + ", found " +
                        left.type_name() + " and " + right.type_name());
  }
  const bool is_float =
      left.is_float() || right.is_float() || op == "/" || (op == "**" && right.as_integer() < 0);
  if (is_float) return float_arithmetic(context, op, left.as_float(), right.as_float());
  return integer_arithmetic(context, op == "**" ? '^' : op[0], left.as_integer(),
                            right.as_integer());
}

bool compare(Context& context, const std::string& op, const Value& left, const Value& right) {
  if (op == "==") return equal(left, right);
  if (op == "!=") return !equal(left, right);
  if (op == "in") return contains(context, right, left);
  if (op == "not in") return !contains(context, right, left);
  if (op == "<") return less(context, left, right);
  if (op == ">") return less(context, right, left);
  if (op == "<=") return less(context, left, right) || (!context.failed() && equal(left, right));
  return less(context, right, left) || (!context.failed() && equal(left, right));
}

Value slice(Context& context, const Value& object, const Value& begin, const Value& end,
            const Value& step) {
  for (const Value* bound : {&begin, &end, &step}) {
    if (!bound->is_none() && !bound->is_integer()) {
      return context.fail(std::string("expected whole numbers in a slice, found ") +
                          bound->type_name());
    }
  }
  if (!object.string() && !object.list()) {
    return context.fail(std::string("expected a string or list to slice, found ") +
                        object.type_name());
  }
  const int64_t stride = step.is_none() ? 1 : step.as_integer();
  if (stride == 0) return context.fail("expected a slice step other than 0");
  const size_t size = object.string() ? object.string()->size() : object.list()->size();
  // Strides beyond the size take one item, as the size itself does.
  const int64_t limit = static_cast<int64_t>(size) + 1;
  if (!context.charge(object.list() ? kItemCost * size : size)) return {};
  String text;
  List list;
  for (int64_t i : slice_indices(size, begin, end, std::clamp(stride, -limit, limit))) {
    if (object.string()) {
      text += (*object.string())[i];
    } else {
      list.push_back((*object.list())[i]);
    }
  }
  return object.string() ? Value(std::move(text)) : Value(std::move(list));
}

}  // namespace ernie::text::jinja
