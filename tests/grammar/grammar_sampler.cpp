// Reads one request a line, {"kind": "json_schema", "text": …, "strict": …, "whitespace": …,
// "choices": […], "samples": 20, "texts": […]}, and answers each with a line, {"samples": […],
// "cut": n, "allowed": […], "compile_ms": …, "bytes": …} or {"error": …, "code": …}. Samples are
// drawn with equal chances among the tokens that the grammar allows; `cut` counts those that did
// not end, `allowed` says of each of `texts` whether it is an answer (single bytes as tokens only).
//
// Usage: grammar_sampler [TOKENIZER_FOLDER [LOGITS]]; without a folder the tokens are single bytes
// and a few pieces of JSON. Ids beyond the tokenizer's are given invented words.
#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <iostream>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "grammar/compiled_grammar.h"
#include "grammar/grammar_compiler.h"
#include "grammar/grammar_matcher.h"
#include "text/utf8.h"

namespace {

using namespace ernie;           // NOLINT(google-build-using-namespace)
using namespace ernie::grammar;  // NOLINT(google-build-using-namespace)
namespace json = boost::json;
using Clock = std::chrono::steady_clock;

constexpr size_t kFreeTokens = 120;  // after these a sample takes the shortest way to its end
constexpr size_t kMostTokens = 4000;

double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

Vocabulary byte_vocabulary() {
  Vocabulary vocabulary{{""}, {0}};
  for (int byte = 0; byte < 256; ++byte) vocabulary.bytes.emplace_back(1, static_cast<char>(byte));
  for (const char* piece : {"\":", "\", \"", "{\"", "\"}", "},", "[[", "]]", "tr", "ue", "12", "0.",
                            "\\n", "\\u00", "ab", "é", "\xE6\x97", " \"", "\n  "}) {
    vocabulary.bytes.emplace_back(piece);
  }
  return vocabulary;
}

// Words like those of a large vocabulary: a space or none, letters, some Chinese, some punctuation.
void invent_words(Vocabulary& vocabulary, size_t first) {
  std::mt19937_64 random(5);
  for (size_t id = first; id < vocabulary.bytes.size(); ++id) {
    std::string word(random() % 2, ' ');
    const bool chinese = random() % 3 == 0;
    for (size_t length = 2 + random() % (chinese ? 3 : 9); length > 0; --length) {
      if (chinese) {
        text::append_utf8(0x4E00 + static_cast<char32_t>(random() % 0x5000), word);
      } else {
        word += static_cast<char>('a' + random() % 26);
      }
    }
    if (random() % 20 == 0) word += ".,\":)}]"[random() % 7];
    vocabulary.bytes[id] = word;
  }
}

GrammarSpec read_spec(const json::object& request) {
  static const std::map<std::string, GrammarKind> kinds = {
      {"json_object", GrammarKind::kJsonObject},
      {"json_schema", GrammarKind::kJsonSchema},
      {"regex", GrammarKind::kRegex},
      {"ebnf", GrammarKind::kEbnf},
      {"choice", GrammarKind::kChoice},
      {"structural_tag", GrammarKind::kStructuralTag}};
  GrammarSpec spec;
  spec.kind = kinds.at(std::string(request.at("kind").as_string()));
  const auto text = [&](const char* key) {
    const json::value* value = request.if_contains(key);
    return value == nullptr ? std::string() : std::string(value->as_string());
  };
  spec.text = text("text");
  spec.whitespace = text("whitespace");
  if (const json::value* strict = request.if_contains("strict")) spec.strict = strict->as_bool();
  if (const json::value* choices = request.if_contains("choices")) {
    for (const json::value& choice : choices->as_array()) {
      spec.choices.emplace_back(choice.as_string());
    }
  }
  return spec;
}

struct MaskTimes {
  double total_ms = 0;
  double worst_ms = 0;
  size_t masks = 0;
};

class Sampler {
 public:
  Sampler(const Vocabulary& vocabulary, MaskTimes& times)
      : vocabulary_(vocabulary),
        times_(times),
        mask_(GrammarMatcher::mask_words(vocabulary.bytes.size())) {}

  // A whole answer, or nothing if it did not end.
  std::optional<std::string> sample(const std::shared_ptr<const CompiledGrammar>& grammar) {
    GrammarMatcher matcher(grammar);
    std::string text;
    for (size_t i = 0; i < kMostTokens; ++i) {
      const auto start = Clock::now();
      const Status filled = matcher.fill_mask(mask_);
      const double ms = milliseconds_since(start);
      times_.total_ms += ms;
      times_.worst_ms = std::max(times_.worst_ms, ms);
      ++times_.masks;
      if (!filled) throw std::runtime_error(filled.error().message + " after " + text);
      const int32_t token = draw(i >= kFreeTokens);
      if (!matcher.accept(token)) throw std::runtime_error("a token of the mask is refused");
      if (matcher.is_terminated()) return text;
      text += vocabulary_.bytes[token];
    }
    return std::nullopt;
  }

 private:
  bool allowed(int32_t token) const { return (mask_[token / 32] >> (token % 32) & 1) != 0; }

  int32_t draw(bool hurry) {
    if (hurry) {
      if (allowed(vocabulary_.stop_ids[0])) return vocabulary_.stop_ids[0];
      for (const char* closing : {"\"", "}", "]", "null", "0"}) {
        for (size_t token = 0; token < vocabulary_.bytes.size(); ++token) {
          const auto id = static_cast<int32_t>(token);
          if (vocabulary_.bytes[token] == closing && allowed(id)) return id;
        }
      }
    }
    std::vector<int32_t> tokens;
    for (size_t token = 0; token < vocabulary_.bytes.size(); ++token) {
      const auto id = static_cast<int32_t>(token);
      if (allowed(id) && !(hurry && vocabulary_.bytes[token] == ",")) tokens.push_back(id);
    }
    if (tokens.empty()) {  // only a comma
      for (size_t token = 0; token < vocabulary_.bytes.size(); ++token) {
        if (allowed(static_cast<int32_t>(token))) return static_cast<int32_t>(token);
      }
    }
    return tokens[random_() % tokens.size()];
  }

  const Vocabulary& vocabulary_;
  MaskTimes& times_;
  std::vector<uint32_t> mask_;
  std::mt19937_64 random_{17};
};

bool allows(const std::shared_ptr<const CompiledGrammar>& grammar, const Vocabulary& vocabulary,
            std::string_view text) {
  GrammarMatcher matcher(grammar);
  for (const char byte : text) {
    const auto token =
        std::find(vocabulary.bytes.begin(), vocabulary.bytes.end(), std::string(1, byte));
    if (!matcher.accept(static_cast<int32_t>(token - vocabulary.bytes.begin()))) return false;
  }
  return matcher.is_complete();
}

json::object answer(GrammarCompiler& compiler, const Vocabulary& vocabulary,
                    const json::object& request) {
  const std::atomic<bool> cancelled{false};
  const auto start = Clock::now();
  const auto grammar = compiler.compile(read_spec(request), cancelled);
  const double compile_ms = milliseconds_since(start);
  if (!grammar)
    return {{"error", grammar.error().message},
            {"code", grammar.error().code},
            {"compile_ms", compile_ms}};
  const json::value* wanted = request.if_contains("samples");
  const size_t samples = wanted == nullptr ? 20 : wanted->to_number<size_t>();
  MaskTimes times;
  Sampler sampler(vocabulary, times);
  json::array texts;
  size_t cut = 0;
  for (size_t i = 0; i < samples; ++i) {
    if (auto text = sampler.sample(*grammar)) {
      texts.emplace_back(*std::move(text));
    } else {
      ++cut;
    }
  }
  json::array allowed;
  if (const json::value* asked = request.if_contains("texts")) {
    for (const json::value& text : asked->as_array()) {
      allowed.emplace_back(allows(*grammar, vocabulary, text.as_string()));
    }
  }
  return {{"samples", std::move(texts)},
          {"cut", cut},
          {"allowed", std::move(allowed)},
          {"compile_ms", compile_ms},
          {"bytes", (*grammar)->bytes()},
          {"mask_ms", times.masks == 0 ? 0 : times.total_ms / static_cast<double>(times.masks)},
          {"worst_mask_ms", times.worst_ms}};
}

}  // namespace

int main(int argc, char** argv) {
  Vocabulary vocabulary = byte_vocabulary();
  if (argc > 1) {
    const auto tokenizer = take(text::Tokenizer::load(argv[1]));
    const size_t logits = argc > 2 ? std::stoul(argv[2]) : tokenizer.vocab_size();
    vocabulary = make_vocabulary(tokenizer, logits, {tokenizer.eos_id()});
    invent_words(vocabulary, tokenizer.vocab_size());
  }
  GrammarCompiler compiler(vocabulary, size_t{1} << 30);
  for (std::string line; std::getline(std::cin, line);) {
    json::object result;
    try {
      result = answer(compiler, vocabulary, json::parse(line).as_object());
    } catch (const std::exception& error) {
      result = {{"failed", error.what()}};
    }
    std::cout << json::serialize(result) << std::endl;
  }
}
