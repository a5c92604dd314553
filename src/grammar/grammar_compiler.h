#pragma once

#include <atomic>
#include <cstddef>
#include <memory>

#include "base/result.h"
#include "grammar/grammar_spec.h"
#include "grammar/vocabulary.h"

namespace ernie::grammar {

class CompiledGrammar;

// Compiles grammars for one vocabulary and keeps the compiled ones by their content. All of them,
// those being compiled, those in use and those kept, take `memory_bytes` at most; for room, kept
// ones are forgotten, the longest unused first. Thread-safe: each thread compiles on its own.
class GrammarCompiler {
 public:
  GrammarCompiler(const Vocabulary& vocabulary, size_t memory_bytes, GrammarLimits limits = {});
  ~GrammarCompiler();
  GrammarCompiler(const GrammarCompiler&) = delete;
  GrammarCompiler& operator=(const GrammarCompiler&) = delete;

  // Takes up to `limits.time`; ends soon after `cancelled` becomes true. The error is the client's
  // (kInvalidArgument: what the spec holds and where; code "grammar_too_complex": which limit it
  // goes beyond), kRateLimited where grammars in use leave no room, or kTimeout if it was
  // cancelled.
  Result<std::shared_ptr<const CompiledGrammar>> compile(const GrammarSpec& spec,
                                                         const std::atomic<bool>& cancelled);

  // Of all grammars.
  size_t used_bytes() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ernie::grammar
