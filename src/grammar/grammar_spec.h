#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace ernie::grammar {

enum class GrammarKind {
  kText,           // anything; of use only beside tool calls
  kJsonObject,     // any JSON object
  kJsonSchema,     // `text` is a JSON Schema
  kRegex,          // `text` is a regular expression that the whole answer matches
  kEbnf,           // `text` is a grammar in GBNF's notation, from the rule `root`
  kChoice,         // the answer is one of `choices`
  kStructuralTag,  // `text` is a structural tag in XGrammar's notation
};

// A function that an answer may call.
struct ToolSpec {
  std::string name;
  std::string parameters;  // a JSON Schema; empty: any object
  bool strict = false;     // as in GrammarSpec
  std::string field;       // of the request, which errors name
};

// Tool calls in an answer: {"name": ..., "arguments": ...} between <tool_call> and </tool_call>.
struct CallRules {
  std::vector<ToolSpec> tools;  // no other may be called
  bool required = false;        // the answer is calls and nothing else
  bool parallel = true;         // there may be several
  // The tokens of the two tags; without them the tags are spelled out.
  std::optional<int32_t> begin_token;
  std::optional<int32_t> end_token;
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
  // The answer may, or must, hold calls instead; text may also stand before them.
  std::optional<CallRules> calls;
};

// Bounds on what a client may ask the compiler to do. What lies beyond is an error that says so.
struct GrammarLimits {
  size_t text_bytes = 1 << 20;        // of the spec
  size_t depth = 100;                 // of brackets in it
  size_t repeats = 10'000;            // the largest repeat count
  size_t choices = 100'000;           // values of an enum, or choices
  size_t grammar_bytes = 4 << 20;     // of the grammar that a schema or regex becomes
  size_t states = 100'000;            // places in the grammar for each of which a mask is computed
  size_t compiled_bytes = 256 << 20;  // of the grammar with its masks
  size_t work_bytes = 320;  // that compiling takes for each byte of such a grammar, as measured
  std::chrono::milliseconds time{10'000};
};

}  // namespace ernie::grammar
