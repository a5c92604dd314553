#include "grammar/grammar_matcher.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "base/check.h"
#include "grammar/compiled_grammar.h"
#include "grammar/step_budget.h"
#include "grammar/to_ebnf.h"

namespace ernie::grammar {

struct GrammarMatcher::State {
  std::shared_ptr<const CompiledGrammar> grammar;
  xgrammar::GrammarMatcher matcher;
  size_t vocabulary = 0;
  size_t accepted = 0;
  StepBudget budget;
  bool too_slow = false;
};

GrammarMatcher::GrammarMatcher(std::shared_ptr<const CompiledGrammar> grammar) {
  xgrammar::GrammarMatcher matcher(grammar->grammar());
  const size_t vocabulary = grammar->grammar().GetTokenizerInfo().GetVocabSize();
  state_ = std::make_unique<State>(State{std::move(grammar), std::move(matcher), vocabulary});
}

GrammarMatcher::GrammarMatcher(GrammarMatcher&&) noexcept = default;
GrammarMatcher& GrammarMatcher::operator=(GrammarMatcher&&) noexcept = default;
GrammarMatcher::~GrammarMatcher() = default;

Status GrammarMatcher::fill_mask(std::span<uint32_t> mask) {
  if (state_->too_slow) return too_complex(StepsEnded().what());
  if (is_terminated()) return internal_error("the grammar has ended; nothing may follow");
  CHECK(mask.size() == mask_words(state_->vocabulary), "the mask has a bit for each token");
  auto words = static_cast<int64_t>(mask.size());
  DLTensor tensor{mask.data(), {kDLCPU, 0}, 1, {kDLInt, 32, 1}, &words, nullptr, 0};
  try {
    state_->budget.earn();
    const StepBudget::Charge charge(state_->budget);
    state_->matcher.FillNextTokenBitmask(&tensor);
  } catch (const StepsEnded& ended) {
    state_->too_slow = true;
    return too_complex(ended.what());
  } catch (const std::exception& error) {
    return internal_error(std::string("the grammar cannot be followed: ") + error.what());
  }
  // XGrammar leaves the bits behind the last token as it likes.
  if (const size_t used = state_->vocabulary % 32; used != 0) mask.back() &= (1U << used) - 1;
  if (std::all_of(mask.begin(), mask.end(), [](uint32_t word) { return word == 0; })) {
    return internal_error("the grammar allows no token of the vocabulary here");
  }
  return {};
}

bool GrammarMatcher::accept(int32_t token) {
  if (state_->too_slow || is_terminated() || token < 0 ||
      static_cast<size_t>(token) >= state_->vocabulary) {
    return false;
  }
  try {
    const StepBudget::Charge charge(state_->budget);
    if (!state_->matcher.AcceptToken(token)) return false;
  } catch (const StepsEnded&) {
    state_->too_slow = true;
    return false;
  }
  ++state_->accepted;
  return true;
}

void GrammarMatcher::rollback(size_t tokens) {
  CHECK(tokens <= state_->accepted, "more tokens are taken back than were accepted");
  state_->matcher.Rollback(static_cast<int>(tokens));
  state_->accepted -= tokens;
}

bool GrammarMatcher::is_too_slow() const { return state_->too_slow; }
bool GrammarMatcher::is_complete() const { return state_->matcher.IsCompleted(); }
bool GrammarMatcher::is_terminated() const { return state_->matcher.IsTerminated(); }

}  // namespace ernie::grammar
