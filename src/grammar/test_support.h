#pragma once

#include <algorithm>
#include <atomic>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "grammar/compiled_grammar.h"
#include "grammar/grammar_compiler.h"
#include "grammar/grammar_matcher.h"

namespace ernie::grammar {

inline const std::atomic<bool> kNotCancelled{false};
inline constexpr size_t kMemory = size_t{1} << 30;

// Token 0 ends the answer; token 1 + b is the byte b.
inline const Vocabulary& byte_vocabulary() {
  static const Vocabulary vocabulary = [] {
    Vocabulary made{{""}, {0}};
    for (int byte = 0; byte < 256; ++byte) made.bytes.emplace_back(1, static_cast<char>(byte));
    return made;
  }();
  return vocabulary;
}

inline int32_t byte_token(char byte) { return 1 + static_cast<unsigned char>(byte); }

// The texts that a spec allows, spelled byte by byte.
class Language {
 public:
  explicit Language(const GrammarSpec& spec, GrammarLimits limits = {})
      : compiled_(
            GrammarCompiler(byte_vocabulary(), kMemory, limits).compile(spec, kNotCancelled)) {}

  bool ok() const { return compiled_.ok(); }
  std::string error() const { return ok() ? "" : compiled_.error().message; }
  std::string code() const { return ok() ? "" : compiled_.error().code; }

  // Whether the text is a whole answer.
  bool has(std::string_view text) const {
    if (!ok()) return false;
    GrammarMatcher matcher(*compiled_);
    for (const char byte : text) {
      if (!matcher.accept(byte_token(byte))) return false;
    }
    return matcher.is_complete();
  }

  // Whether an answer may begin like this.
  bool begins(std::string_view text) const {
    GrammarMatcher matcher(*compiled_);
    return std::all_of(text.begin(), text.end(),
                       [&](char byte) { return matcher.accept(byte_token(byte)); });
  }

 private:
  Result<std::shared_ptr<const CompiledGrammar>> compiled_;
};

inline GrammarSpec regex_spec(std::string pattern) {
  return {GrammarKind::kRegex, std::move(pattern)};
}
inline GrammarSpec schema_spec(std::string schema, bool strict = false) {
  GrammarSpec spec{GrammarKind::kJsonSchema, std::move(schema)};
  spec.strict = strict;
  return spec;
}

// The ids that a matcher allows next.
inline std::set<int32_t> allowed_tokens(GrammarMatcher& matcher, size_t vocabulary) {
  std::vector<uint32_t> mask(GrammarMatcher::mask_words(vocabulary), 0xFFFFFFFF);
  std::set<int32_t> tokens;
  if (!matcher.fill_mask(mask)) return tokens;
  for (size_t token = 0; token < mask.size() * 32; ++token) {
    if ((mask[token / 32] >> (token % 32) & 1) != 0) tokens.insert(static_cast<int32_t>(token));
  }
  return tokens;
}

}  // namespace ernie::grammar
