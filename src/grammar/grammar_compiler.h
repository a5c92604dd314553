#pragma once

#include <atomic>
#include <cstddef>
#include <memory>

#include "base/result.h"
#include "grammar/grammar_spec.h"
#include "grammar/vocabulary.h"

namespace ernie::grammar {

class CompiledGrammar;

// Compiles grammars for one vocabulary and keeps the compiled ones by their content, the last used
// ones of at most `cache_bytes`. Thread-safe: each thread compiles on its own.
class GrammarCompiler {
 public:
  GrammarCompiler(const Vocabulary& vocabulary, size_t cache_bytes, GrammarLimits limits = {});
  ~GrammarCompiler();
  GrammarCompiler(const GrammarCompiler&) = delete;
  GrammarCompiler& operator=(const GrammarCompiler&) = delete;

  // Takes up to `limits.time`; ends soon after `cancelled` becomes true. The error is the client's
  // (kInvalidArgument: what the spec holds and where; code "grammar_too_complex": which limit it
  // goes beyond), or kTimeout if it was cancelled.
  Result<std::shared_ptr<const CompiledGrammar>> compile(const GrammarSpec& spec,
                                                         const std::atomic<bool>& cancelled);

  // Of the grammars kept.
  size_t cached_bytes() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ernie::grammar
