#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "text/tokenizer.h"

namespace ernie::grammar {

// What stands for the tags of tool calls, which grammars name by their tokens: bytes that UTF-8
// does not have.
inline constexpr const char* kCallBeginBytes = "\xFE";
inline constexpr const char* kCallEndBytes = "\xFF";

// The tokens that a grammar can be spelled with.
struct Vocabulary {
  // The bytes of each token id, one for each logit. Empty for what a grammar never spells: special
  // tokens and ids without a token. Tags of tool calls have kCallBeginBytes
  // and kCallEndBytes.
  std::vector<std::string> bytes;
  // Tokens that end an answer; allowed only where the grammar is complete.
  std::vector<int32_t> stop_ids;
};

// The vocabulary of a tokenizer for a model with `logits` outputs.
Vocabulary make_vocabulary(const text::Tokenizer& tokenizer, size_t logits,
                           std::vector<int32_t> stop_ids);

}  // namespace ernie::grammar
