#include "text/jinja/parser.h"

#include <algorithm>
#include <initializer_list>
#include <optional>

#include "text/jinja/expression_parser.h"

namespace ernie::text::jinja {
namespace {

class Parser : private ExpressionParser {
 public:
  using ExpressionParser::ExpressionParser;

  Result<Body> run() {
    Body body = block({});
    if (failed()) return error();
    return body;
  }

 private:
  // Statements up to one of the tags `ends`, whose name is then the current token; at the end of
  // the template when there are none.
  Body block(std::initializer_list<std::string_view> ends) {
    Body body;
    if (!enter()) return body;
    while (!failed()) {
      const int line = current().line;
      if (current().kind == TokenKind::kText) {
        body.push_back(statement(StmtKind::kText, line));
        body.back()->text = *next().value.string();
      } else if (current().kind == TokenKind::kOutputBegin) {
        next();
        body.push_back(statement(StmtKind::kOutput, line));
        body.back()->expr = tuple();
        expect(TokenKind::kOutputEnd, "}}");
      } else if (current().kind == TokenKind::kStatementBegin) {
        next();
        if (std::any_of(ends.begin(), ends.end(), [&](auto end) { return is_name(end); })) break;
        body.push_back(tag());
      } else {
        if (ends.size() > 0) fail("expected {% " + std::string(*(ends.end() - 1)) + " %}");
        break;
      }
    }
    leave();
    return body;
  }

  std::unique_ptr<Stmt> statement(StmtKind kind, int line) {
    auto stmt = std::make_unique<Stmt>();
    stmt->kind = kind;
    stmt->line = line;
    return stmt;
  }

  std::unique_ptr<Stmt> tag() {
    const int line = current().line;
    const std::string name = expect_name();
    if (name == "if") return if_tag(line);
    if (name == "for") return for_tag(line);
    if (name == "set") return set_tag(line);
    if (name == "macro") return macro_tag(line);
    if (name == "generation") {  // marks the assistant's text for training; means nothing here
      end_tag();
      auto stmt = statement(StmtKind::kGroup, line);
      stmt->body = block({"endgeneration"});
      close();
      return stmt;
    }
    if (name == "break" || name == "continue") {
      if (loops_ == 0) fail("expected " + name + " inside of a loop only");
      end_tag();
      return statement(name == "break" ? StmtKind::kBreak : StmtKind::kContinue, line);
    }
    fail("expected one of the tags if, for, set, macro, generation, break, continue; found \"" +
         name + "\", which this sandbox does not have");
    return statement(StmtKind::kGroup, line);
  }

  std::unique_ptr<Stmt> if_tag(int line) {
    auto stmt = statement(StmtKind::kIf, line);
    stmt->branches.emplace_back();
    stmt->branches.back().first = tuple();
    end_tag();
    stmt->branches.back().second = block({"elif", "else", "endif"});
    while (!failed() && !is_name("endif")) {
      const bool more = take_name("elif");
      if (!more) next();  // else
      ExprPtr condition = more ? tuple() : nullptr;
      end_tag();
      Body body = more ? block({"elif", "else", "endif"}) : block({"endif"});
      stmt->branches.emplace_back(std::move(condition), std::move(body));
    }
    close();
    return stmt;
  }

  std::unique_ptr<Stmt> for_tag(int line) {
    auto stmt = statement(StmtKind::kFor, line);
    stmt->names = targets();
    if (!take_name("in")) fail("expected \"in\"");
    stmt->expr = tuple(/*conditional=*/false);
    if (take_name("if")) stmt->condition = expression();
    end_tag();
    ++loops_;
    stmt->body = block({"else", "endfor"});
    --loops_;
    if (take_name("else")) {
      end_tag();
      stmt->orelse = block({"endfor"});
    }
    close();
    return stmt;
  }

  std::unique_ptr<Stmt> set_tag(int line) {
    auto stmt = statement(StmtKind::kSet, line);
    stmt->names = targets();
    if (stmt->names.size() == 1 && take_operator(".")) {
      stmt->name = stmt->names[0];
      stmt->names[0] = expect_name();
    }
    if (take_operator("=")) {
      stmt->expr = tuple();
      end_tag();
      return stmt;
    }
    stmt->kind = StmtKind::kSetBlock;
    if (stmt->names.size() != 1 || !stmt->name.empty()) fail("expected one name to set");
    // The filters get the rendered body as the value of a literal, which is filled in then.
    if (is_operator("|")) stmt->expr = filters(make(ExprKind::kName));
    end_tag();
    stmt->body = block({"endset"});
    close();
    return stmt;
  }

  std::unique_ptr<Stmt> macro_tag(int line) {
    auto stmt = statement(StmtKind::kMacro, line);
    stmt->name = expect_name();
    expect_operator("(");
    while (!failed() && !is_operator(")")) {
      std::string param = expect_name();
      ExprPtr otherwise = take_operator("=") ? expression() : nullptr;
      stmt->params.emplace_back(std::move(param), std::move(otherwise));
      if (!take_operator(",")) break;
    }
    expect_operator(")");
    end_tag();
    const int loops = std::exchange(loops_, 0);
    stmt->body = block({"endmacro"});
    loops_ = loops;
    close();
    return stmt;
  }

  std::vector<std::string> targets() {
    std::vector<std::string> names;
    const bool brackets = take_operator("(");
    do {
      names.push_back(expect_name());
    } while (!failed() && take_operator(","));
    if (brackets) expect_operator(")");
    return names;
  }

  void end_tag() { expect(TokenKind::kStatementEnd, "%}"); }
  void close() {  // the name of the closing tag, and for macros perhaps the macro's
    if (failed()) return;
    next();
    if (current().kind == TokenKind::kName) next();
    end_tag();
  }

  int loops_ = 0;
};

}  // namespace

Result<Body> parse(std::string_view source) {
  Result<std::vector<Token>> tokens = tokenize(source);
  if (!tokens) return tokens.error();
  return Parser(std::move(*tokens)).run();
}

}  // namespace ernie::text::jinja
