#pragma once

#include "base/result.h"
#include "text/jinja/ast.h"
#include "text/jinja/context.h"

namespace ernie::text::jinja {

// A template of the language Jinja2, in the subset that chat templates use, as transformers runs
// it: sandboxed, with trim_blocks and lstrip_blocks, break and continue, raise_exception,
// strftime_now and a tojson that does not escape HTML. It can read nothing but its variables.
// upper, lower and the like change ASCII letters only.
class Template {
 public:
  static Result<Template> parse(std::string_view source);

  // Renders with `variables` (a Dict). Const and safe to call from any thread.
  Result<String> render(const Dict& variables, const Limits& limits = {}) const;

 private:
  explicit Template(Body body) : body_(std::move(body)) {}

  Body body_;
};

}  // namespace ernie::text::jinja
