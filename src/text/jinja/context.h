#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "text/jinja/value.h"

namespace ernie::text::jinja {

constexpr const char* kLimitCode = "chat_template_limit";  // Error::code when a limit is reached

constexpr size_t kItemCost = 32;  // characters that an item of a list counts as, by its memory

// What a rendering may use before it is stopped.
struct Limits {
  int64_t steps = 2'000'000;      // expressions and statements run
  int64_t characters = 64 << 20;  // made by all string and list operations together
};

// The state of one rendering that functions see: its budget and its first error. After an error
// everything returns quickly and changes nothing that is kept.
class Context {
 public:
  explicit Context(const Limits& limits) : limits_(limits), left_(limits) {}
  virtual ~Context() = default;

  // Returns an undefined value, for `return context.fail(...)`.
  Value fail(const std::string& message);
  bool failed() const { return error_.has_value(); }
  const Error& error() const { return *error_; }

  // Counts against the limits. False when they are reached (or something failed before).
  bool step(int line);
  bool charge(size_t characters);

  Namespace* make_namespace() { return &namespaces_.emplace_back(); }

  // What a for loop over `value` sees; an error for what cannot be looped over.
  List items(const Value& value);

  virtual Value call_filter(const std::string& name, const Value& value, const Args& args) = 0;
  virtual bool call_test(const std::string& name, const Value& value, const Args& args) = 0;
  // value.name or value[name]: a member, or undefined.
  virtual Value member(const Value& value, const Value& key) = 0;

 private:
  Limits limits_;
  Limits left_;
  int line_ = 1;
  std::optional<Error> error_;
  std::deque<Namespace> namespaces_;
};

}  // namespace ernie::text::jinja
