#include <algorithm>
#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/error.hpp>
#include <boost/json/string.hpp>
#include <boost/json/value_stack.hpp>
#include <cstddef>
#include <exception>
#include <memory>
#include <new>
#include <utility>

#include "http/wire/field_reader.h"
#include "http/wire/parse.h"

namespace ernie::http {
namespace {

namespace json = boost::json;

constexpr size_t kMaxDepth = 64;
// Boost.JSON finds equal keys by a hash that a client can make collide, which costs the square of
// their number.
constexpr size_t kMaxKeysOfObject = 2048;
constexpr size_t kMaxKeys = 65'536;
constexpr size_t kShareStep = size_t{64} << 10;  // bytes taken from the budget at once

enum class Shortage { kOwnLimit, kBudget };

class OutOfRoom : public std::exception {
 public:
  explicit OutOfRoom(Shortage shortage) : shortage_(shortage) {}
  const char* what() const noexcept override { return "no room for a request's JSON"; }
  Shortage shortage() const { return shortage_; }

 private:
  Shortage shortage_;
};

// What one parsed body takes. It throws OutOfRoom where a limit is reached.
class Account {
 public:
  explicit Account(const JsonLimits& limits)
      : max_bytes_(limits.max_bytes), share_(*limits.memory.held->acquire(0)) {}

  void take(size_t bytes) {
    if (bytes > max_bytes_ - used_) throw OutOfRoom(Shortage::kOwnLimit);
    if (used_ + bytes > share_.amount() &&
        !share_.grow(std::max(used_ + bytes - share_.amount(), kShareStep))) {
      throw OutOfRoom(Shortage::kBudget);
    }
    used_ += bytes;
  }
  void give_back(size_t bytes) { used_ -= bytes; }
  void settle() { share_.shrink_to(used_); }

 private:
  const size_t max_bytes_;
  Limiter::Share share_;
  size_t used_ = 0;
};

class BoundedMemory : public json::memory_resource {
 public:
  explicit BoundedMemory(std::shared_ptr<Account> account) : account_(std::move(account)) {}

 private:
  // Boost.JSON names another alignment when it frees a key than when it allocated it; all of them
  // are within what `new` gives.
  void* do_allocate(size_t bytes, size_t) override {
    account_->take(bytes);
    return ::operator new(bytes);
  }
  void do_deallocate(void* memory, size_t bytes, size_t) override {
    ::operator delete(memory);
    account_->give_back(bytes);
  }
  bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }

  const std::shared_ptr<Account> account_;
};

// Builds a value from the parser's events, as json::parser does, and counts keys.
struct Builder {
  static constexpr size_t max_object_size = kMaxKeysOfObject;
  static constexpr size_t max_array_size = json::array::max_size();
  static constexpr size_t max_key_size = json::string::max_size();
  static constexpr size_t max_string_size = json::string::max_size();

  using Text = json::string_view;
  using Failure = json::error_code;

  explicit Builder(const json::storage_ptr& memory) : stack(memory) { stack.reset(memory); }

  bool on_document_begin(Failure&) { return true; }
  bool on_document_end(Failure&) { return true; }
  bool on_object_begin(Failure&) { return true; }
  bool on_object_end(size_t keys, Failure&) { return stack.push_object(keys), true; }
  bool on_array_begin(Failure&) { return true; }
  bool on_array_end(size_t values, Failure&) { return stack.push_array(values), true; }
  bool on_key_part(Text text, size_t, Failure&) { return stack.push_chars(text), true; }
  bool on_key(Text text, size_t, Failure& failure) {
    if (++keys_ > kMaxKeys) {
      failure = json::error::object_too_large;
      return false;
    }
    return stack.push_key(text), true;
  }
  bool on_string_part(Text text, size_t, Failure&) { return stack.push_chars(text), true; }
  bool on_string(Text text, size_t, Failure&) { return stack.push_string(text), true; }
  bool on_number_part(Text, Failure&) { return true; }
  bool on_int64(int64_t number, Text, Failure&) { return stack.push_int64(number), true; }
  bool on_uint64(uint64_t number, Text, Failure&) { return stack.push_uint64(number), true; }
  bool on_double(double number, Text, Failure&) { return stack.push_double(number), true; }
  bool on_bool(bool truth, Failure&) { return stack.push_bool(truth), true; }
  bool on_null(Failure&) { return stack.push_null(), true; }
  bool on_comment_part(Text, Failure&) { return true; }
  bool on_comment(Text, Failure&) { return true; }

  json::value_stack stack;

 private:
  size_t keys_ = 0;
};

Result<json::value> parse(std::string_view text, const json::storage_ptr& memory) {
  json::parse_options options;
  options.max_depth = kMaxDepth;
  json::basic_parser<Builder> parser(options, memory);
  json::error_code ec;
  const size_t read = parser.write_some(false, text.data(), text.size(), ec);
  if (!ec && read < text.size()) ec = json::error::extra_data;
  if (ec == json::error::object_too_large) {
    return invalid_argument("the request body may have " + std::to_string(kMaxKeys) +
                                " keys in all and " + std::to_string(kMaxKeysOfObject) +
                                " in one object, found more; send fewer",
                            {}, "json_too_many_keys");
  }
  if (ec) {
    return invalid_argument("the request body is not valid JSON: " + ec.message(), {},
                            "json_invalid");
  }
  return parser.handler().stack.release();
}

Error too_large(size_t limit) {
  return {ErrorKind::kTooLarge,
          "the request body takes more than the limit of " + std::to_string(limit) +
              " bytes when its JSON is read; send fewer values",
          {},
          "json_too_large"};
}

}  // namespace

Result<json::object> parse_json_object(std::string_view body, const JsonLimits& limits) {
  const auto account = std::make_shared<Account>(limits);
  try {
    auto value = parse(body, json::make_shared_resource<BoundedMemory>(account));
    if (!value) return value.error();
    if (!value->is_object()) {
      return invalid_argument("the request body should be a JSON object, got " + describe(*value));
    }
    account->settle();
    return std::move(value->as_object());
  } catch (const OutOfRoom& e) {
    return e.shortage() == Shortage::kOwnLimit ? too_large(limits.max_bytes)
                                               : limits.memory.exhausted();
  }
}

}  // namespace ernie::http
