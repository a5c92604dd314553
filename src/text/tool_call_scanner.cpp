#include "text/tool_call_scanner.h"

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <optional>
#include <utility>

namespace ernie::text {
namespace {

bool is_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

std::optional<std::string> string_of(std::string_view literal) {
  boost::system::error_code code;
  const boost::json::value value = boost::json::parse(literal, code);
  if (code || !value.is_string()) return std::nullopt;
  return std::string(value.get_string());
}

}  // namespace

size_t ToolCallScanner::push(std::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    // What follows a whole call does not undo it.
    if (is_broken() || (!step(text[i]) && state_ != State::kEnd)) {
      state_ = State::kBroken;
      return i + 1;
    }
  }
  return text.size();
}

std::string ToolCallScanner::take_arguments() {
  if (!has_name()) return {};
  if (state_ == State::kEnd && !has_arguments_) {
    has_arguments_ = true;
    return "{}";
  }
  return std::exchange(arguments_, {});
}

bool ToolCallScanner::step(char c) {
  if (state_ == State::kInKey) return in_key(c);
  if (state_ == State::kInValue) return in_value(c);
  return is_space(c) || structure(c);
}

bool ToolCallScanner::structure(char c) {
  switch (state_) {
    case State::kBegin:
      state_ = State::kKey;
      return c == '{';
    case State::kKey:
      literal_ = c;
      state_ = State::kInKey;
      return c == '"';  // a call without members has no name
    case State::kColon:
      state_ = State::kValue;
      return c == ':';
    case State::kValue:
      return begin_value(c);
    case State::kCommaOrEnd:
      state_ = c == ',' ? State::kKey : State::kEnd;
      return c == ',' || (c == '}' && has_name());
    default:
      return false;  // something behind the call
  }
}

bool ToolCallScanner::ends_string(char c) {
  const bool ends = c == '"' && !escaped_;
  escaped_ = c == '\\' && !escaped_;
  return ends;
}

bool ToolCallScanner::in_key(char c) {
  literal_ += c;
  if (!ends_string(c)) return true;
  const auto key = string_of(literal_);
  if (!key) return false;
  key_ = *key;
  state_ = State::kColon;
  return true;
}

bool ToolCallScanner::begin_value(char c) {
  const bool is_string = c == '"';
  sink_ = Sink::kNowhere;
  if (key_ == "name") {
    if (!is_string || has_name()) return false;
    sink_ = Sink::kName;
  } else if (key_ == "arguments") {
    if ((!is_string && c != '{') || has_arguments_) return false;
    sink_ = is_string ? Sink::kArgumentsText : Sink::kArguments;
    has_arguments_ = true;
  }
  is_scalar_ = !is_string && c != '{' && c != '[';
  if (is_scalar_ && (c == '}' || c == ']' || c == ',' || c == ':')) return false;
  state_ = State::kInValue;
  literal_.clear();
  return in_value(c);
}

bool ToolCallScanner::in_value(char c) {
  if (is_scalar_) {
    if (c != ',' && c != '}' && !is_space(c)) return true;
    state_ = State::kCommaOrEnd;
    return step(c);
  }
  if (sink_ == Sink::kArguments) arguments_ += c;
  if (sink_ == Sink::kName || sink_ == Sink::kArgumentsText) literal_ += c;
  if (in_string_) {
    in_string_ = !ends_string(c);
  } else if (c == '"') {
    in_string_ = true;
  } else if (c == '{' || c == '[') {
    ++depth_;
  } else if (c == '}' || c == ']') {
    --depth_;
  }
  return in_string_ || depth_ > 0 || end_value();
}

bool ToolCallScanner::end_value() {
  state_ = State::kCommaOrEnd;
  if (sink_ != Sink::kName && sink_ != Sink::kArgumentsText) return true;
  const auto text = string_of(literal_);
  if (!text) return false;
  (sink_ == Sink::kName ? name_ : arguments_) = *text;
  return sink_ != Sink::kName || has_name();
}

}  // namespace ernie::text
