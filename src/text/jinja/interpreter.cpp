#include "text/jinja/interpreter.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <unordered_map>

#include "text/jinja/functions.h"
#include "text/jinja/operators.h"
#include "text/jinja/parser.h"

namespace ernie::text::jinja {
namespace {

constexpr int kMaxDepth = 500;  // of expressions, blocks and macro calls inside one another

constexpr int kMaxValueDepth = 200;

struct Scope {
  Scope* parent = nullptr;
  std::unordered_map<std::string, Value> names;
};

enum class Flow { kNext, kBreak, kContinue };

class Interpreter : public Context {
 public:
  using Context::Context;

  Result<String> run(const Body& body, const Dict& variables) {
    scope_ = new_scope(nullptr);
    for (const auto& [name, value] : variables) scope_->names[to_utf8(name)] = value;
    String out;
    out_ = &out;
    run_body(body);
    if (failed()) return error();
    return out;
  }

 private:
  Scope* new_scope(Scope* parent) { return &scopes_.emplace_back(Scope{parent, {}}); }

  Value lookup(const std::string& name) const {
    for (const Scope* scope = scope_; scope; scope = scope->parent) {
      const auto it = scope->names.find(name);
      if (it != scope->names.end()) return it->second;
    }
    return find_global(name);
  }

  void write(const String& text) {
    if (charge(text.size())) *out_ += text;
  }

  Flow run_body(const Body& body) {
    for (const auto& stmt : body) {
      const Flow flow = run_statement(*stmt);
      if (failed() || flow != Flow::kNext) return flow;
    }
    return Flow::kNext;
  }

  String render_body(const Body& body) {
    String text;
    String* const outer = std::exchange(out_, &text);
    run_body(body);
    out_ = outer;
    return text;
  }

  Flow run_statement(const Stmt& stmt) {
    if (!step(stmt.line)) return Flow::kNext;
    const Depth depth(*this);
    switch (stmt.kind) {
      case StmtKind::kText:
        write(stmt.text);
        break;
      case StmtKind::kOutput:
        write(to_string(evaluate(*stmt.expr)));
        break;
      case StmtKind::kIf:
        for (const auto& [condition, body] : stmt.branches) {
          if (!condition || evaluate(*condition).truthy()) return run_body(body);
        }
        break;
      case StmtKind::kFor:
        run_for(stmt);
        break;
      case StmtKind::kSet:
        run_set(stmt);
        break;
      case StmtKind::kSetBlock: {
        Value text = render_body(stmt.body);
        if (stmt.expr) {
          scope_->names[""] = std::move(text);
          text = evaluate(*stmt.expr);
        }
        scope_->names[stmt.names[0]] = std::move(text);
        break;
      }
      case StmtKind::kMacro:
        scope_->names[stmt.name] =
            Function([this, &stmt, scope = scope_](Context&, const Args& args) {
              return call_macro(stmt, scope, args);
            });
        break;
      case StmtKind::kBreak:
        return Flow::kBreak;
      case StmtKind::kContinue:
        return Flow::kContinue;
      case StmtKind::kGroup:
        return run_body(stmt.body);
    }
    return Flow::kNext;
  }

  void bind(const std::vector<std::string>& names, const Value& value) {
    if (!check_depth(value)) return;
    if (names.size() == 1) {
      scope_->names[names[0]] = value;
      return;
    }
    const List parts = items(value);
    if (parts.size() != names.size()) {
      fail("expected " + std::to_string(names.size()) + " values to unpack, found " +
           std::to_string(parts.size()));
      return;
    }
    for (size_t i = 0; i < names.size(); ++i) scope_->names[names[i]] = parts[i];
  }

  // Values are walked by recursive functions.
  bool check_depth(const Value& value) {
    if (value.depth() > kMaxValueDepth) {
      fail("expected at most " + std::to_string(kMaxValueDepth) + " lists inside one another");
    }
    return !failed();
  }

  void run_set(const Stmt& stmt) {
    Value value = evaluate(*stmt.expr);
    if (stmt.name.empty()) return bind(stmt.names, value);
    if (!check_depth(value)) return;
    Namespace* space = lookup(stmt.name).name_space();
    if (!space) {
      fail("expected \"" + stmt.name + "\" to be a namespace");
    } else {
      assign(space->fields, from_utf8(stmt.names[0]), std::move(value));
    }
  }

  void run_for(const Stmt& stmt) {
    List list = items(evaluate(*stmt.expr));
    Scope* const outer = scope_;
    scope_ = new_scope(outer);
    if (stmt.condition) {
      List kept;
      for (Value& item : list) {
        if (failed()) break;
        bind(stmt.names, item);
        if (evaluate(*stmt.condition).truthy()) kept.push_back(std::move(item));
      }
      list = std::move(kept);
    }
    for (size_t i = 0; i < list.size() && step(stmt.line); ++i) {
      scope_->names.clear();
      bind(stmt.names, list[i]);
      scope_->names["loop"] = loop_value(list, i);
      if (run_body(stmt.body) == Flow::kBreak) break;
    }
    scope_ = outer;
    if (list.empty() && !failed()) run_body(stmt.orelse);
  }

  static Value loop_value(const List& list, size_t i) {
    const auto number = [](size_t n) { return Value(static_cast<int64_t>(n)); };
    const size_t size = list.size();
    const auto cycle = [i](Context& context, const Args& args) -> Value {
      if (args.positional.empty()) return context.fail("loop.cycle: expected values");
      return args.positional[i % args.positional.size()];
    };
    const auto neighbour = [&list](bool exists, size_t at, const char* name) {
      return exists ? list[at] : Value(Undefined{name});
    };
    Dict loop;
    loop.reserve(10);
    loop.emplace_back(U"index", number(i + 1));
    loop.emplace_back(U"index0", number(i));
    loop.emplace_back(U"revindex", number(size - i));
    loop.emplace_back(U"revindex0", number(size - i - 1));
    loop.emplace_back(U"first", i == 0);
    loop.emplace_back(U"last", i + 1 == size);
    loop.emplace_back(U"length", number(size));
    loop.emplace_back(U"previtem", neighbour(i > 0, i - 1, "loop.previtem"));
    loop.emplace_back(U"nextitem", neighbour(i + 1 < size, i + 1, "loop.nextitem"));
    loop.emplace_back(U"cycle", Function(cycle));
    return loop;
  }

  Value call_macro(const Stmt& macro, Scope* defined_in, const Args& args) {
    if (args.positional.size() > macro.params.size()) {
      return fail("macro " + macro.name + ": expected at most " +
                  std::to_string(macro.params.size()) + " arguments");
    }
    for (const auto& [name, value] : args.named) {
      const auto known = [&name = name](const auto& param) { return param.first == name; };
      if (std::none_of(macro.params.begin(), macro.params.end(), known)) {
        return fail("macro " + macro.name + ": it has no parameter \"" + name + "\"");
      }
    }
    Scope* const outer = std::exchange(scope_, new_scope(defined_in));
    for (size_t i = 0; i < macro.params.size() && !failed(); ++i) {
      const auto& [name, otherwise] = macro.params[i];
      const Value* given = args.find(i, name);
      scope_->names[name] = given ? *given : otherwise ? evaluate(*otherwise) : Undefined{name};
    }
    Value text = render_body(macro.body);
    scope_ = outer;
    return text;
  }

  Args arguments(const Expr& expr) {
    Args args;
    for (size_t i = 1; i < expr.children.size(); ++i) {
      args.positional.push_back(evaluate(*expr.children[i]));
    }
    for (const auto& [name, value] : expr.named) args.named.emplace_back(name, evaluate(*value));
    return args;
  }

  Value child(const Expr& expr, size_t i) {
    if (i >= expr.children.size() || !expr.children[i]) return None{};
    return evaluate(*expr.children[i]);
  }

  Value evaluate(const Expr& expr) {
    if (!step(expr.line)) return {};
    const Depth depth(*this);
    if (failed()) return {};
    switch (expr.kind) {
      case ExprKind::kLiteral:
        return expr.value;
      case ExprKind::kName:
        return lookup(expr.name);
      case ExprKind::kList: {
        List list;
        for (size_t i = 0; i < expr.children.size(); ++i) list.push_back(child(expr, i));
        return list;
      }
      case ExprKind::kDict: {
        Dict dict;
        for (size_t i = 0; i < expr.children.size() && !failed(); i += 2) {
          const Value key = child(expr, i);
          if (!key.string()) return fail("expected a string as key of a dict");
          assign(dict, *key.string(), child(expr, i + 1));
        }
        return dict;
      }
      case ExprKind::kUnary:
        return negate(*this, expr.name, child(expr, 0));
      case ExprKind::kBinary: {
        const Value left = child(expr, 0);
        const Value right = child(expr, 1);
        return failed() ? Value() : arithmetic(*this, expr.name, left, right);
      }
      case ExprKind::kAnd: {
        Value left = child(expr, 0);
        return left.truthy() ? child(expr, 1) : left;
      }
      case ExprKind::kOr: {
        Value left = child(expr, 0);
        return left.truthy() ? left : child(expr, 1);
      }
      case ExprKind::kNot:
        return !child(expr, 0).truthy();
      case ExprKind::kCompare: {
        Value left = child(expr, 0);
        for (size_t i = 0; i < expr.operators.size(); ++i) {
          Value right = child(expr, i + 1);
          if (failed() || !compare(*this, expr.operators[i], left, right)) return false;
          left = std::move(right);
        }
        return true;
      }
      case ExprKind::kConditional:
        if (child(expr, 1).truthy()) return child(expr, 0);
        return expr.children[2] ? child(expr, 2) : Value();
      case ExprKind::kAttribute:
        return member(child(expr, 0), from_utf8(expr.name));
      case ExprKind::kItem: {
        const Value object = child(expr, 0);
        return member(object, child(expr, 1));
      }
      case ExprKind::kSlice: {
        const Value object = child(expr, 0);
        const Value begin = child(expr, 1);
        const Value end = child(expr, 2);
        return slice(*this, object, begin, end, child(expr, 3));
      }
      case ExprKind::kCall:
        return call(expr);
      case ExprKind::kFilter: {
        const Value value = child(expr, 0);
        return call_filter(expr.name, value, arguments(expr));
      }
      case ExprKind::kTest: {
        const Value value = child(expr, 0);
        return call_test(expr.name, value, arguments(expr));
      }
    }
    return {};
  }

  Value call(const Expr& expr) {
    const Expr& callee = *expr.children[0];
    Value function;
    if (callee.kind == ExprKind::kAttribute) {
      const Value object = evaluate(*callee.children[0]);
      if (const FilterFunction method = find_method(object, callee.name)) {
        const Args args = arguments(expr);
        return failed() ? Value() : method(*this, object, args);
      }
      function = member(object, from_utf8(callee.name));
    } else {
      function = evaluate(callee);
    }
    const Args args = arguments(expr);
    if (failed()) return {};
    if (!function.function()) {
      return fail("expected \"" + callee.name + "\" to be a function, found " +
                  function.type_name());
    }
    return (*function.function())(*this, args);
  }

  Value call_filter(const std::string& name, const Value& value, const Args& args) override {
    const FilterFunction filter = find_filter(name);
    if (!filter) return fail("expected a known filter, found \"" + name + "\"");
    return failed() ? Value() : filter(*this, value, args);
  }

  bool call_test(const std::string& name, const Value& value, const Args& args) override {
    const TestFunction test = find_test(name);
    if (!test) fail("expected a known test, found \"" + name + "\"");
    return !failed() && test(*this, value, args);
  }

  Value member(const Value& object, const Value& key) override {
    if (failed()) return {};
    const std::string name = to_utf8(to_string(key));
    if (object.is_undefined()) {
      return fail("expected \"" + object.undefined_name() + "\" to be defined, to take \"" + name +
                  "\" from it");
    }
    const Dict* dict = object.name_space() ? &object.name_space()->fields : object.dict();
    if (dict && key.string()) {
      if (const Value* found = find(*dict, *key.string())) return *found;
    }
    if (key.is_integer() && (object.list() || object.string())) {
      const size_t size = object.list() ? object.list()->size() : object.string()->size();
      const int64_t at = key.as_integer() + (key.as_integer() < 0 ? static_cast<int64_t>(size) : 0);
      if (at >= 0 && at < static_cast<int64_t>(size)) {
        return object.list() ? (*object.list())[at] : Value(String(1, (*object.string())[at]));
      }
    }
    return Undefined{name};
  }

  class Depth {
   public:
    explicit Depth(Interpreter& interpreter) : depth_(interpreter.depth_) {
      if (++depth_ > kMaxDepth) {
        interpreter.fail("expected at most " + std::to_string(kMaxDepth) +
                         " levels of nesting; does a macro call itself for ever?");
      }
    }
    ~Depth() { --depth_; }

   private:
    int& depth_;
  };

  std::deque<Scope> scopes_;
  Scope* scope_ = nullptr;
  String* out_ = nullptr;
  int depth_ = 0;
};

}  // namespace

Result<Template> Template::parse(std::string_view source) {
  Result<Body> body = jinja::parse(source);
  if (!body) return body.error();
  return Template(std::move(*body));
}

Result<String> Template::render(const Dict& variables, const Limits& limits) const {
  return Interpreter(limits).run(body_, variables);
}

}  // namespace ernie::text::jinja
