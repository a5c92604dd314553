#pragma once

#include <xgrammar/xgrammar.h>

#include <cstddef>
#include <utility>

namespace ernie::grammar {

// A grammar with the masks of its states, for one vocabulary.
class CompiledGrammar {
 public:
  CompiledGrammar(xgrammar::CompiledGrammar grammar, size_t bytes)
      : grammar_(std::move(grammar)), bytes_(bytes) {}

  const xgrammar::CompiledGrammar& grammar() const { return grammar_; }
  size_t bytes() const { return bytes_; }

 private:
  xgrammar::CompiledGrammar grammar_;
  size_t bytes_;
};

}  // namespace ernie::grammar
