#include "grammar/grammar_compiler.h"

#include <fmt/format.h>
#include <xgrammar/xgrammar.h>

#include <algorithm>
#include <bit>
#include <exception>
#include <list>
#include <mutex>
#include <random>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/content_key.h"
#include "base/limiter.h"
#include "grammar/checkpoint.h"
#include "grammar/compiled_grammar.h"
#include "grammar/grammar_matcher.h"
#include "grammar/step_budget.h"
#include "grammar/structural_tag.h"
#include "grammar/to_ebnf.h"
#include "grammar/tool_calls.h"
#include "text/utf8.h"

namespace ernie::grammar {
namespace {

using Clock = std::chrono::steady_clock;

// Ends the compilation of the thread that it is thrown in.
struct CompilationEnded {
  Error error;
};

// What one compilation may use, and what it holds of the memory of all.
class Budget {
 public:
  Budget(const GrammarLimits& limits, const std::atomic<bool>& cancelled, Limiter& memory)
      : limits_(limits),
        cancelled_(cancelled),
        memory_(memory),
        deadline_(Clock::now() + limits.time),
        grammar_(*memory.acquire(0)),
        work_(*memory.acquire(0)) {}

  // Called often; with `mask_bytes` above 0 once for each state.
  void check(size_t mask_bytes) {
    if (cancelled_) {
      throw CompilationEnded{{ErrorKind::kTimeout, "the request was given up", {}, "cancelled"}};
    }
    if (Clock::now() > deadline_) {
      throw CompilationEnded{too_complex(
          fmt::format("the grammar takes longer than {} ms to compile", limits_.time.count()))};
    }
    if (mask_bytes == 0) return;
    if (++states_ > limits_.states) {
      throw CompilationEnded{
          too_complex(fmt::format("the grammar has more than {} states", limits_.states))};
    }
    take(grammar_.amount() + mask_bytes);
  }

  // What XGrammar takes of a text of this size until it has been compiled.
  void take_work(size_t text_bytes) {
    const size_t bytes = limits_.work_bytes * text_bytes;
    if (bytes > memory_.limit()) {
      throw CompilationEnded{
          too_complex(fmt::format("the grammar has {} bytes; compiling it takes {} MiB, and "
                                  "--max-grammar-mb is {}",
                                  text_bytes, bytes >> 20, memory_.limit() >> 20))};
    }
    grow(work_, bytes);
  }

  // So many bytes for the grammar in all.
  void take(size_t all) {
    const size_t most = std::min(limits_.compiled_bytes, memory_.limit());
    if (all > most) {
      throw CompilationEnded{
          too_complex(fmt::format("the compiled grammar takes more than {} bytes", most))};
    }
    grammar_.shrink_to(all);
    grow(grammar_, all - grammar_.amount());
  }

  Limiter::Share take_grammar() { return std::move(grammar_); }

 private:
  void grow(Limiter::Share& share, size_t more) {
    if (more == 0 || share.grow(more)) return;
    throw CompilationEnded{
        {ErrorKind::kRateLimited,
         fmt::format("the grammars of requests under way fill the {} MiB that they may take "
                     "together (--max-grammar-mb); try again later",
                     memory_.limit() >> 20),
         {},
         "too_many_grammars"}};
  }

  const GrammarLimits& limits_;
  const std::atomic<bool>& cancelled_;
  Limiter& memory_;
  const Clock::time_point deadline_;
  size_t states_ = 0;
  Limiter::Share grammar_;
  Limiter::Share work_;
};

thread_local Budget* current_budget = nullptr;

// Has the budget checked while it lives.
class Checkpoints {
 public:
  explicit Checkpoints(Budget& budget) {
    current_budget = &budget;
    xgrammar::checkpoint = [](size_t mask_bytes) { current_budget->check(mask_bytes); };
  }
  ~Checkpoints() {
    xgrammar::checkpoint = nullptr;
    current_budget = nullptr;
  }
};

// One of the tokens that the mask allows, all with the same chance; it allows one at least.
int32_t random_token(const std::vector<uint32_t>& mask, std::mt19937& random) {
  uint32_t allowed = 0;
  for (const uint32_t word : mask) allowed += static_cast<uint32_t>(std::popcount(word));
  uint32_t left = random() % allowed;
  size_t at = 0;
  for (; left >= static_cast<uint32_t>(std::popcount(mask[at])); ++at)
    left -= std::popcount(mask[at]);
  uint32_t word = mask[at];
  for (; left > 0; --left) word &= word - 1;
  return static_cast<int32_t>(32 * at) + std::countr_zero(word);
}

// Follows the grammar for some tokens, as answers will: what is too slow for them is refused here,
// on a thread that no other answer waits for.
Status try_out(const std::shared_ptr<const CompiledGrammar>& compiled, size_t vocabulary) {
  constexpr int kTokens = 48;
  GrammarMatcher matcher(compiled);
  std::vector<uint32_t> mask(GrammarMatcher::mask_words(vocabulary));
  std::mt19937 random(1);
  for (int i = 0; i < kTokens && !matcher.is_terminated(); ++i) {
    Status filled = matcher.fill_mask(mask);
    if (matcher.is_too_slow()) return filled;
    if (!filled && i == 0) {
      return invalid_argument("no answer that the model can write matches the grammar");
    }
    if (!filled || !matcher.accept(random_token(mask, random))) break;
  }
  if (matcher.is_too_slow()) return too_complex(StepsEnded().what());
  return {};
}

// XGrammar's message without time, source file and the condition that failed. It may quote a single
// byte of a character.
std::string message_of(const std::exception& error) {
  std::string message = error.what();
  if (const size_t file = message.find(".cc:"); message.starts_with('[') && file != message.npos) {
    message.erase(0, std::min(message.find(": ", file), message.size() - 2) + 2);
  }
  constexpr std::string_view kCondition = ") is false: ";
  if (const size_t end = message.find(kCondition);
      message.starts_with("Check failed: ") && end != message.npos) {
    message.erase(0, end + kCondition.size());
  }
  while (message.ends_with('\n')) message.pop_back();
  std::string valid;
  text::append_valid_utf8(message, false, valid);
  return valid;
}

// What a client wrote is shown on one line.
Error shown(Error error) {
  std::ranges::replace_if(
      error.message, [](unsigned char c) { return c < 0x20 || c == 0x7F; }, ' ');
  return error;
}

xgrammar::TokenizerInfo tokenizer_info(const Vocabulary& vocabulary) {
  return {vocabulary.bytes, xgrammar::VocabType::RAW, std::nullopt, vocabulary.stop_ids};
}

ContentKey key_of(const GrammarSpec& spec) {
  std::string content = fmt::format("{} {} {} {} ", static_cast<int>(spec.kind), spec.strict,
                                    spec.text.size(), spec.whitespace.size());
  content += spec.text + spec.whitespace;
  const auto add = [&](const std::string& text) {
    content += fmt::format("{} ", text.size()) + text;
  };
  for (const std::string& choice : spec.choices) add(choice);
  if (spec.calls) {
    const CallRules& calls = *spec.calls;
    content += fmt::format("calls {} {} {} {} ", calls.required, calls.parallel,
                           calls.begin_token.value_or(-1), calls.end_token.value_or(-1));
    for (const ToolSpec& tool : calls.tools) {
      content += tool.strict ? '1' : '0';
      add(tool.name);
      add(tool.parameters);
    }
  }
  return content_key(content.data(), content.size());
}

using Compiled = std::shared_ptr<const CompiledGrammar>;

// Grammars by the content of their specs.
class Cache {
 public:
  Compiled find(const ContentKey& key) {
    std::lock_guard lock(mutex_);
    const auto found = places_.find(key);
    if (found == places_.end()) return nullptr;
    entries_.splice(entries_.begin(), entries_, found->second);
    return entries_.front().grammar;
  }

  void insert(const ContentKey& key, Compiled grammar) {
    std::lock_guard lock(mutex_);
    if (places_.contains(key)) return;
    entries_.push_front({key, std::move(grammar)});
    places_[key] = entries_.begin();
  }

  // Drops the longest unused of those that no answer follows, if there is one.
  bool forget() {
    std::lock_guard lock(mutex_);
    for (auto entry = entries_.end(); entry != entries_.begin();) {
      --entry;
      if (entry->grammar.use_count() > 1) continue;
      places_.erase(entry->key);
      entries_.erase(entry);
      return true;
    }
    return false;
  }

 private:
  struct Entry {
    ContentKey key;
    Compiled grammar;
  };

  std::mutex mutex_;
  std::list<Entry> entries_;  // the last used first
  std::unordered_map<ContentKey, std::list<Entry>::iterator> places_;
};

}  // namespace

struct GrammarCompiler::State {
  // One thread and no cache of its own: the checkpoints are those of the calling thread, and what
  // it would keep has no bound.
  State(const Vocabulary& vocabulary, size_t memory_bytes, GrammarLimits grammar_limits)
      : limits(grammar_limits),
        tokenizer(tokenizer_info(vocabulary)),
        compiler(tokenizer, 1, false),
        memory(std::make_shared<Limiter>(memory_bytes)) {
    memory->set_reclaim([this] { return cache.forget(); });
  }
  // Grammars in use may live on.
  ~State() { memory->set_reclaim(nullptr); }

  xgrammar::CompiledGrammar compile(const GrammarSpec& spec, Budget& budget) {
    const Checkpoints checkpoints(budget);
    if (spec.calls || spec.kind == GrammarKind::kStructuralTag) {
      Result<std::string> tag =
          spec.calls ? tool_calls_tag(spec, limits) : checked_structural_tag(spec, limits);
      if (!tag) throw CompilationEnded{tag.error()};
      budget.take_work(tag->size());
      return compiler.CompileStructuralTag(*tag);
    }
    Result<std::string> ebnf = to_ebnf(spec, limits);
    if (!ebnf) throw CompilationEnded{ebnf.error()};
    budget.take_work(ebnf->size());
    return compiler.CompileGrammar(*ebnf);
  }

  const GrammarLimits limits;
  xgrammar::TokenizerInfo tokenizer;
  xgrammar::GrammarCompiler compiler;
  std::shared_ptr<Limiter> memory;
  Cache cache;
};

GrammarCompiler::GrammarCompiler(const Vocabulary& vocabulary, size_t memory_bytes,
                                 GrammarLimits limits)
    : state_(std::make_unique<State>(vocabulary, memory_bytes, limits)) {}
GrammarCompiler::~GrammarCompiler() = default;

Result<std::shared_ptr<const CompiledGrammar>> GrammarCompiler::compile(
    const GrammarSpec& spec, const std::atomic<bool>& cancelled) {
  const ContentKey key = key_of(spec);
  if (Compiled known = state_->cache.find(key)) return known;
  Budget budget(state_->limits, cancelled, *state_->memory);
  try {
    xgrammar::CompiledGrammar grammar = state_->compile(spec, budget);
    budget.take(grammar.MemorySizeBytes());
    auto compiled =
        std::make_shared<const CompiledGrammar>(std::move(grammar), budget.take_grammar());
    const auto vocabulary = static_cast<size_t>(state_->tokenizer.GetVocabSize());
    if (Status status = try_out(compiled, vocabulary); !status) return status.error();
    state_->cache.insert(key, compiled);
    return Compiled(compiled);
  } catch (const CompilationEnded& ended) {
    return shown(ended.error);
  } catch (const std::bad_alloc&) {
    return too_complex("there is no memory for this grammar");
  } catch (const std::exception& error) {
    return shown(invalid_argument("the grammar cannot be compiled: " + message_of(error)));
  }
}

size_t GrammarCompiler::used_bytes() const { return state_->memory->used(); }

}  // namespace ernie::grammar
