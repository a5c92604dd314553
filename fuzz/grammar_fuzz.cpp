// What an answer must look like, in one of four notations: refused with a message that can be
// shown, or an answer can begin.
#include <array>

#include "base/check.h"
#include "fuzz/input.h"
#include "fuzz/json_body.h"
#include "grammar/test_support.h"

namespace grammar = ernie::grammar;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using enum grammar::GrammarKind;
  constexpr std::array kKinds{kJsonSchema, kRegex, kEbnf, kStructuralTag};
  ernie::fuzz::Input input(data, size);
  const auto kind = kKinds[input.byte() % kKinds.size()];
  constexpr grammar::GrammarLimits kLimits{
      .grammar_bytes = 64 << 10, .states = 500, .time = std::chrono::seconds(2)};
  grammar::GrammarCompiler compiler(grammar::byte_vocabulary(), grammar::kMemory, kLimits);
  const auto compiled = compiler.compile({kind, std::string(input.rest())}, grammar::kNotCancelled);
  if (!compiled) {
    ernie::fuzz::check_error(compiled.error());
    return 0;
  }
  grammar::GrammarMatcher matcher(*compiled);
  CHECK(!grammar::allowed_tokens(matcher, grammar::byte_vocabulary().bytes.size()).empty(),
        "no answer can begin");
  return 0;
}
