#include "serve/tool_use.h"

#include "text/answer_syntax.h"

namespace ernie::serve {

void add_call_rules(ChatRequest& request, const text::Tokenizer& tokenizer) {
  const ToolUse& use = request.tool_use;
  const bool has_format = request.options.format.has_value();
  // An answer that must have a format is followed by the grammar, which then must know of calls.
  if (use.tools.empty() || (!use.guaranteed && !has_format)) return;
  if (!has_format) {
    request.options.format = AnswerFormat{{.kind = grammar::GrammarKind::kText}, "tools"};
  }
  grammar::GrammarSpec& spec = request.options.format->grammar;
  if (spec.whitespace.empty()) spec.whitespace = kJsonWhitespace;
  spec.calls = grammar::CallRules{.tools = use.tools,
                                  .required = use.required,
                                  .parallel = use.parallel,
                                  .begin_token = tokenizer.id_of(text::kCallBegin),
                                  .end_token = tokenizer.id_of(text::kCallEnd)};
}

}  // namespace ernie::serve
