#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

namespace ernie::grammar {

enum class GrammarKind {
  kJsonObject,     // any JSON object
  kJsonSchema,     // `text` is a JSON Schema
  kRegex,          // `text` is a regular expression that the whole answer matches
  kEbnf,           // `text` is a grammar in GBNF's notation, from the rule `root`
  kChoice,         // the answer is one of `choices`
  kStructuralTag,  // `text` is a structural tag in XGrammar's notation
};

// What an answer must look like.
struct GrammarSpec {
  GrammarKind kind = GrammarKind::kJsonObject;
  std::string text;
  std::vector<std::string> choices;
  // Of a JSON Schema: an object that allows properties it does not name is an error.
  bool strict = false;
  // A regular expression of what may stand between the tokens of JSON; empty: any whitespace.
  std::string whitespace;
};

// Bounds on what a client may ask the compiler to do. What lies beyond is an error that says so.
struct GrammarLimits {
  size_t text_bytes = 1 << 20;        // of the spec
  size_t depth = 100;                 // of brackets in it
  size_t repeats = 10'000;            // the largest repeat count
  size_t choices = 100'000;           // values of an enum, or choices
  size_t grammar_bytes = 4 << 20;     // of the grammar that a schema or regex becomes
  size_t states = 100'000;            // places in the grammar for each of which a mask is computed
  size_t compiled_bytes = 512 << 20;  // of the grammar with its masks
  std::chrono::milliseconds time{10'000};
};

}  // namespace ernie::grammar
