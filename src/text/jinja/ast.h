#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "text/jinja/value.h"

namespace ernie::text::jinja {

enum class ExprKind {
  kLiteral,      // value
  kName,         // name
  kList,         // children
  kDict,         // children: key, value, key, value, ...
  kUnary,        // name: "-" or "+"; child 0
  kBinary,       // name: + - * / // % ** ~; children 0 and 1
  kAnd,          // children 0 and 1
  kOr,           // children 0 and 1
  kNot,          // child 0
  kCompare,      // operators; children: one more than there are operators
  kConditional,  // children: value, condition, and what else (may be null)
  kAttribute,    // child 0 . name
  kItem,         // child 0 [child 1]
  kSlice,        // child 0 [child 1 : child 2 : child 3], each bound may be null
  kCall,         // child 0 (further children, named)
  kFilter,       // child 0 | name(further children, named)
  kTest,         // child 0 is name(further children)
};

struct Expr {
  ExprKind kind;
  int line;
  std::string name = {};
  Value value = {};
  std::vector<std::unique_ptr<Expr>> children = {};
  std::vector<std::pair<std::string, std::unique_ptr<Expr>>> named = {};
  std::vector<std::string> operators = {};
};
using ExprPtr = std::unique_ptr<Expr>;

struct Stmt;
using Body = std::vector<std::unique_ptr<Stmt>>;

enum class StmtKind {
  kText,      // text
  kOutput,    // expr
  kIf,        // branches; a branch without condition is the else
  kFor,       // names in expr, those where condition holds: body; otherwise (when none) orelse
  kSet,       // names = expr, or object.names[0] = expr of a namespace
  kSetBlock,  // names[0] = what body renders, through the filters of expr (may be null)
  kMacro,     // name; params with defaults (may be null); body
  kBreak,
  kContinue,
  kGroup,  // body
};

struct Stmt {
  StmtKind kind;
  int line;
  String text = {};
  std::string name = {};  // of a macro; of the namespace that kSet assigns to
  std::vector<std::string> names = {};
  ExprPtr expr = {};
  ExprPtr condition = {};
  Body body = {};
  Body orelse = {};
  std::vector<std::pair<ExprPtr, Body>> branches = {};
  std::vector<std::pair<std::string, ExprPtr>> params = {};
};

}  // namespace ernie::text::jinja
