#pragma once

#include <xgrammar/xgrammar.h>

#include <cstddef>
#include <utility>

#include "base/limiter.h"

namespace ernie::grammar {

// A grammar with the masks of its states, for one vocabulary.
class CompiledGrammar {
 public:
  CompiledGrammar(xgrammar::CompiledGrammar grammar, Limiter::Share bytes)
      : grammar_(std::move(grammar)), bytes_(std::move(bytes)) {}

  const xgrammar::CompiledGrammar& grammar() const { return grammar_; }
  size_t bytes() const { return bytes_.amount(); }

 private:
  xgrammar::CompiledGrammar grammar_;
  Limiter::Share bytes_;
};

}  // namespace ernie::grammar
