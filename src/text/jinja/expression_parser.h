#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/ast.h"
#include "text/jinja/lexer.h"

namespace ernie::text::jinja {

// Reads expressions from tokens, with Jinja's grammar and precedence. After an error it moves no
// further; look at failed() when done.
class ExpressionParser {
 public:
  explicit ExpressionParser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  // An expression, or several with commas between, which make a list. `conditional`: whether
  // "a if b else c" is allowed (the "if" of a for tag is the loop's).
  ExprPtr tuple(bool conditional = true);
  ExprPtr expression();
  // Applies the filters that follow to `value`.
  ExprPtr filters(ExprPtr value);

  const Token& current() const { return tokens_[pos_]; }
  const Token& next();
  bool is_name(std::string_view name) const;
  bool is_operator(std::string_view op) const;
  bool take_name(std::string_view name);
  bool take_operator(std::string_view op);
  std::string expect_name();
  void expect_operator(std::string_view op);
  void expect(TokenKind kind, std::string_view text);

  // Bounds the nesting, and with it the stack of parser and interpreter.
  bool enter();
  void leave() { --depth_; }
  void check_chain(int length);

  void fail(const std::string& message);
  bool failed() const { return error_.has_value(); }
  const Error& error() const { return *error_; }

  ExprPtr make(ExprKind kind, std::string name = {}) const;

 private:
  using Parse = ExprPtr (ExpressionParser::*)();
  ExprPtr chain(Parse operand, std::initializer_list<std::string_view> operators);
  ExprPtr either();
  ExprPtr both();
  ExprPtr negation();
  ExprPtr comparison();
  ExprPtr sum();
  ExprPtr concatenation();
  ExprPtr product();
  ExprPtr power();
  ExprPtr unary() { return signed_value(true); }
  ExprPtr signed_value(bool with_filters);
  ExprPtr primary();
  ExprPtr list_until(std::string_view end);
  ExprPtr dict();
  ExprPtr postfix(ExprPtr value);
  ExprPtr subscript(ExprPtr value);
  ExprPtr filters_and_tests(ExprPtr value);
  ExprPtr test(ExprPtr value);
  void arguments(Expr& call);

  std::vector<Token> tokens_;
  size_t pos_ = 0;
  int depth_ = 0;
  std::optional<Error> error_;
};

}  // namespace ernie::text::jinja
