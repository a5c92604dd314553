#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/result.h"

namespace ernie::grammar {

class CompiledGrammar;

// Follows one answer through a grammar. Not thread-safe; copies of the grammar are shared.
class GrammarMatcher {
 public:
  explicit GrammarMatcher(std::shared_ptr<const CompiledGrammar> grammar);
  GrammarMatcher(GrammarMatcher&&) noexcept;
  GrammarMatcher& operator=(GrammarMatcher&&) noexcept;
  ~GrammarMatcher();

  // Words of a mask with one bit for each token.
  static size_t mask_words(size_t vocabulary) { return (vocabulary + 31) / 32; }

  // Sets bit i % 32 of word i / 32 for each token i that may come next and clears the others. The
  // error says that no token may, that a stop token was accepted already, or is
  // "grammar_too_complex": following the grammar takes too much time (StepBudget). After that one
  // the matcher is of no use.
  Status fill_mask(std::span<uint32_t> mask);

  // Goes on by a token. False, without a change, if the grammar does not allow it; false, too, when
  // is_too_slow().
  bool accept(int32_t token);

  // Takes the last `tokens` accepted tokens back.
  void rollback(size_t tokens);

  // Whether the text so far is a whole answer.
  bool is_complete() const;
  // Whether following the grammar took too much time.
  bool is_too_slow() const;
  // Whether a stop token was accepted.
  bool is_terminated() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ernie::grammar
