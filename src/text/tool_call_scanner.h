#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace ernie::text {

// Reads one tool call, {"name": "...", "arguments": {...}}, as it is written, in time linear in the
// text. The members may come in any order; others are skipped. Arguments are given out as they
// stand, once the name is known; they are not checked beyond their brackets and strings. (The
// parser of Boost.JSON does not say where in the text what it finds stands.)
class ToolCallScanner {
 public:
  // Goes on by some text; returns how many bytes it took, all of them unless is_broken().
  size_t push(std::string_view text);

  // Whether the text is no tool call. Then nothing more comes of it.
  bool is_broken() const { return state_ == State::kBroken; }

  bool has_name() const { return !name_.empty(); }
  const std::string& name() const { return name_; }
  // What of the arguments came since the last call. Empty until the name is known.
  std::string take_arguments();
  // Whether the call is whole. Without arguments it has "{}".
  bool is_complete() const { return state_ == State::kEnd && has_name(); }

 private:
  enum class State { kBegin, kKey, kInKey, kColon, kValue, kInValue, kCommaOrEnd, kEnd, kBroken };
  enum class Sink { kNowhere, kName, kArguments, kArgumentsText };  // of a value's characters

  bool step(char c);
  bool structure(char c);
  bool in_key(char c);
  bool begin_value(char c);
  bool in_value(char c);
  bool end_value();
  // Whether the string that is read ends with this character.
  bool ends_string(char c);

  State state_ = State::kBegin;
  std::string key_;
  Sink sink_ = Sink::kNowhere;
  std::string literal_;  // the string that is read, if it is kept: with its quotes
  std::string name_;
  std::string arguments_;  // not taken yet
  bool has_arguments_ = false;
  bool is_scalar_ = false;  // the value is a number or a word
  bool in_string_ = false;
  bool escaped_ = false;  // the next character of the string stands behind a backslash
  int depth_ = 0;         // of brackets in the value
};

}  // namespace ernie::text
