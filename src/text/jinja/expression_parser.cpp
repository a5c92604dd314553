#include "text/jinja/expression_parser.h"

#include <algorithm>

namespace ernie::text::jinja {
namespace {

constexpr int kMaxDepth = 100;
constexpr int kMaxChain = 200;  // operators, filters or calls in a row

}  // namespace

const Token& ExpressionParser::next() {
  const Token& token = tokens_[pos_];
  if (token.kind != TokenKind::kEnd) ++pos_;
  return token;
}

bool ExpressionParser::is_name(std::string_view name) const {
  return current().kind == TokenKind::kName && current().text == name;
}
bool ExpressionParser::is_operator(std::string_view op) const {
  return current().kind == TokenKind::kOperator && current().text == op;
}
bool ExpressionParser::take_name(std::string_view name) {
  if (failed() || !is_name(name)) return false;
  next();
  return true;
}
bool ExpressionParser::take_operator(std::string_view op) {
  if (failed() || !is_operator(op)) return false;
  next();
  return true;
}

std::string ExpressionParser::expect_name() {
  if (current().kind != TokenKind::kName) fail("expected a name");
  return failed() ? std::string() : next().text;
}

void ExpressionParser::expect_operator(std::string_view op) {
  if (!take_operator(op)) fail("expected \"" + std::string(op) + "\"");
}

void ExpressionParser::expect(TokenKind kind, std::string_view text) {
  if (failed()) return;
  if (current().kind != kind) return fail("expected \"" + std::string(text) + "\"");
  next();
}

bool ExpressionParser::enter() {
  if (++depth_ > kMaxDepth) {
    fail("expected at most " + std::to_string(kMaxDepth) + " levels of nesting");
  }
  return !failed();
}

void ExpressionParser::check_chain(int length) {
  if (length == kMaxChain) {
    fail("expected at most " + std::to_string(kMaxChain) + " operators or filters in a row");
  }
}

void ExpressionParser::fail(const std::string& message) {
  if (!error_) error_ = template_error(current().line, message);
}

ExprPtr ExpressionParser::make(ExprKind kind, std::string name) const {
  auto expr = std::make_unique<Expr>();
  expr->kind = kind;
  expr->line = current().line;
  expr->name = std::move(name);
  return expr;
}

ExprPtr ExpressionParser::tuple(bool conditional) {
  const auto item = [&] { return conditional ? expression() : either(); };
  ExprPtr first = item();
  if (!is_operator(",")) return first;
  ExprPtr list = make(ExprKind::kList);
  list->children.push_back(std::move(first));
  while (take_operator(",")) {
    if (current().kind == TokenKind::kOutputEnd || current().kind == TokenKind::kStatementEnd)
      break;
    list->children.push_back(item());
  }
  return list;
}

ExprPtr ExpressionParser::expression() {
  if (!enter()) return make(ExprKind::kLiteral);
  ExprPtr value = either();
  if (take_name("if")) {
    ExprPtr choice = make(ExprKind::kConditional);
    choice->children.push_back(std::move(value));
    choice->children.push_back(either());
    choice->children.push_back(take_name("else") ? expression() : nullptr);
    value = std::move(choice);
  }
  leave();
  return value;
}

ExprPtr ExpressionParser::chain(Parse operand, std::initializer_list<std::string_view> operators) {
  ExprPtr left = (this->*operand)();
  for (int length = 0; !failed(); ++length) {
    const auto op = std::find_if(operators.begin(), operators.end(),
                                 [&](auto candidate) { return is_operator(candidate); });
    if (op == operators.end()) break;
    check_chain(length);
    ExprPtr both = make(ExprKind::kBinary, std::string(*op));
    next();
    both->children.push_back(std::move(left));
    both->children.push_back((this->*operand)());
    left = std::move(both);
  }
  return left;
}

ExprPtr ExpressionParser::either() {
  ExprPtr left = both();
  for (int length = 0; take_name("or"); ++length) {
    check_chain(length);
    ExprPtr expr = make(ExprKind::kOr);
    expr->children.push_back(std::move(left));
    expr->children.push_back(both());
    left = std::move(expr);
  }
  return left;
}

ExprPtr ExpressionParser::both() {
  ExprPtr left = negation();
  for (int length = 0; take_name("and"); ++length) {
    check_chain(length);
    ExprPtr expr = make(ExprKind::kAnd);
    expr->children.push_back(std::move(left));
    expr->children.push_back(negation());
    left = std::move(expr);
  }
  return left;
}

ExprPtr ExpressionParser::negation() {
  if (!is_name("not")) return comparison();
  ExprPtr expr = make(ExprKind::kNot);
  if (!enter()) return expr;
  next();
  expr->children.push_back(negation());
  leave();
  return expr;
}

ExprPtr ExpressionParser::comparison() {
  ExprPtr first = sum();
  ExprPtr compare = make(ExprKind::kCompare);
  while (!failed()) {
    std::string op;
    for (std::string_view candidate : {"==", "!=", "<=", ">=", "<", ">"}) {
      if (op.empty() && take_operator(candidate)) op = candidate;
    }
    if (op.empty() && take_name("in")) op = "in";
    if (op.empty() && is_name("not") && tokens_[pos_ + 1].text == "in") {
      next();
      next();
      op = "not in";
    }
    if (op.empty()) break;
    compare->operators.push_back(op);
    compare->children.push_back(sum());
  }
  if (compare->operators.empty()) return first;
  compare->children.insert(compare->children.begin(), std::move(first));
  return compare;
}

ExprPtr ExpressionParser::sum() { return chain(&ExpressionParser::concatenation, {"+", "-"}); }
ExprPtr ExpressionParser::concatenation() { return chain(&ExpressionParser::product, {"~"}); }
ExprPtr ExpressionParser::product() {
  return chain(&ExpressionParser::power, {"*", "//", "/", "%"});
}
ExprPtr ExpressionParser::power() { return chain(&ExpressionParser::unary, {"**"}); }

ExprPtr ExpressionParser::signed_value(bool with_filters) {
  if (!enter()) return make(ExprKind::kLiteral);
  ExprPtr value;
  if (is_operator("-") || is_operator("+")) {
    value = make(ExprKind::kUnary, current().text);
    next();
    value->children.push_back(signed_value(false));
  } else {
    value = primary();
  }
  value = postfix(std::move(value));
  if (with_filters) value = filters_and_tests(std::move(value));
  leave();
  return value;
}

ExprPtr ExpressionParser::primary() {
  ExprPtr literal = make(ExprKind::kLiteral);
  switch (current().kind) {
    case TokenKind::kName: {
      const std::string name = next().text;
      if (name == "true" || name == "True") {
        literal->value = true;
      } else if (name == "false" || name == "False") {
        literal->value = false;
      } else if (name == "none" || name == "None") {
        literal->value = None{};
      } else {
        literal->kind = ExprKind::kName;
        literal->name = name;
      }
      return literal;
    }
    case TokenKind::kString: {
      String text;
      while (current().kind == TokenKind::kString) text += *next().value.string();
      literal->value = std::move(text);
      return literal;
    }
    case TokenKind::kInteger:
    case TokenKind::kFloat:
      literal->value = next().value;
      return literal;
    default:
      break;
  }
  if (take_operator("[")) return list_until("]");
  if (take_operator("{")) return dict();
  if (take_operator("(")) {
    if (is_operator(")")) return list_until(")");
    ExprPtr inner = expression();
    if (!take_operator(",")) {
      expect_operator(")");
      return inner;
    }
    ExprPtr list = list_until(")");
    list->children.insert(list->children.begin(), std::move(inner));
    return list;
  }
  fail("expected an expression");
  return literal;
}

ExprPtr ExpressionParser::list_until(std::string_view end) {
  ExprPtr list = make(ExprKind::kList);
  while (!failed() && !is_operator(end)) {
    list->children.push_back(expression());
    if (!take_operator(",")) break;
  }
  expect_operator(end);
  return list;
}

ExprPtr ExpressionParser::dict() {
  ExprPtr dict = make(ExprKind::kDict);
  while (!failed() && !is_operator("}")) {
    dict->children.push_back(expression());
    expect_operator(":");
    dict->children.push_back(expression());
    if (!take_operator(",")) break;
  }
  expect_operator("}");
  return dict;
}

ExprPtr ExpressionParser::postfix(ExprPtr value) {
  for (int length = 0; !failed(); ++length) {
    check_chain(length);
    if (take_operator(".")) {
      ExprPtr expr =
          make(current().kind == TokenKind::kInteger ? ExprKind::kItem : ExprKind::kAttribute);
      expr->children.push_back(std::move(value));
      if (expr->kind == ExprKind::kItem) {
        expr->children.push_back(make(ExprKind::kLiteral));
        expr->children[1]->value = next().value;
      } else {
        expr->name = expect_name();
      }
      value = std::move(expr);
    } else if (take_operator("[")) {
      value = subscript(std::move(value));
    } else if (is_operator("(")) {
      ExprPtr call = make(ExprKind::kCall);
      call->children.push_back(std::move(value));
      arguments(*call);
      value = std::move(call);
    } else {
      break;
    }
  }
  return value;
}

ExprPtr ExpressionParser::subscript(ExprPtr value) {
  ExprPtr expr = make(ExprKind::kItem);
  expr->children.push_back(std::move(value));
  const auto bound = [&]() -> ExprPtr {
    return is_operator(":") || is_operator("]") ? nullptr : expression();
  };
  expr->children.push_back(bound());
  while (take_operator(":")) {
    expr->kind = ExprKind::kSlice;
    expr->children.push_back(bound());
  }
  if (expr->kind == ExprKind::kSlice) {
    if (expr->children.size() > 4) fail("expected a slice with at most two colons");
    expr->children.resize(4);
  } else if (!expr->children[1]) {
    fail("expected an index");
  }
  expect_operator("]");
  return expr;
}

void ExpressionParser::arguments(Expr& call) {
  expect_operator("(");
  while (!failed() && !is_operator(")")) {
    const bool named = current().kind == TokenKind::kName &&
                       tokens_[pos_ + 1].kind == TokenKind::kOperator &&
                       tokens_[pos_ + 1].text == "=";
    if (named) {
      std::string name = next().text;
      next();
      call.named.emplace_back(std::move(name), expression());
    } else {
      call.children.push_back(expression());
    }
    if (!take_operator(",")) break;
  }
  expect_operator(")");
}

ExprPtr ExpressionParser::filters_and_tests(ExprPtr value) {
  for (int length = 0; !failed(); ++length) {
    check_chain(length);
    if (is_operator("|")) {
      value = filters(std::move(value));
    } else if (take_name("is")) {
      value = test(std::move(value));
    } else {
      break;
    }
  }
  return value;
}

ExprPtr ExpressionParser::filters(ExprPtr value) {
  for (int length = 0; take_operator("|"); ++length) {
    check_chain(length);
    ExprPtr filter = make(ExprKind::kFilter, expect_name());
    filter->children.push_back(std::move(value));
    if (is_operator("(")) arguments(*filter);
    value = std::move(filter);
  }
  return value;
}

ExprPtr ExpressionParser::test(ExprPtr value) {
  const bool negated = take_name("not");
  ExprPtr test = make(ExprKind::kTest);
  test->name = expect_name();
  test->children.push_back(std::move(value));
  const TokenKind kind = current().kind;
  const bool keyword = is_name("else") || is_name("or") || is_name("and") || is_name("if") ||
                       is_name("is") || is_name("in") || is_name("not");
  if (is_operator("(")) {
    arguments(*test);
  } else if (kind == TokenKind::kString || kind == TokenKind::kInteger ||
             kind == TokenKind::kFloat || (kind == TokenKind::kName && !keyword) ||
             is_operator("[") || is_operator("{")) {
    test->children.push_back(postfix(primary()));
  }
  if (!negated) return test;
  ExprPtr negation = make(ExprKind::kNot);
  negation->children.push_back(std::move(test));
  return negation;
}

}  // namespace ernie::text::jinja
