// What a model writes, in pieces of any size: calls have names and JSON text comes out of no other
// place than the answer, no call loses text, and the pieces do not matter.
#include "base/check.h"
#include "fuzz/input.h"
#include "text/answer_parser.h"
#include "text/test_support.h"

namespace text = ernie::text;

namespace {

struct Answer {
  std::string reasoning, content, calls;
  bool ended = false;

  void add(const text::AnswerParser::Delta& delta) {
    reasoning += delta.reasoning;
    content += delta.content;
    for (const text::ToolCallPiece& piece : delta.calls) {
      if (!piece.name.empty()) calls += '\n' + piece.name + '\n';
      CHECK(!calls.empty(), "a call without its name");
      calls += piece.arguments;
    }
  }
  bool operator==(const Answer&) const = default;
};

// `piece` bytes at a time.
Answer read(std::string_view written, size_t piece, text::AnswerRules rules) {
  text::AnswerParser parser(text::toy_tokenizer(), {}, std::move(rules));
  Answer answer;
  while (!written.empty() && !parser.has_ended()) {
    answer.add(parser.push(-1, written.substr(0, piece)));
    written.remove_prefix(std::min(piece, written.size()));
  }
  if (!parser.has_ended()) answer.add(parser.flush());
  answer.ended = parser.has_ended();
  return answer;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ernie::fuzz::Input input(data, size);
  const uint8_t flags = input.byte();
  text::AnswerRules rules{.tool_calls = true, .one_call = (flags & 1) != 0};
  rules.syntax.thinking = text::AnswerSyntax::Thinking::kSplit;
  rules.syntax.response_tags = (flags & 2) != 0;
  rules.syntax.calls_first = (flags & 4) != 0;
  if ((flags & 8) != 0) rules.stop = {"ab", "\n\n"};
  const std::string_view written = input.rest();
  const Answer whole = read(written, written.size() + 1, rules);
  CHECK(whole == read(written, 1, rules), "an answer depends on its pieces");
  const bool keeps_all = !rules.syntax.response_tags && rules.stop.empty() && whole.calls.empty();
  CHECK(!keeps_all || whole.content == written, "text is lost");
  return 0;
}
