#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "grammar/ebnf_text.h"
#include "grammar/json_text.h"
#include "grammar/regex.h"
#include "grammar/to_ebnf.h"
#include "text/utf8.h"

namespace ernie::grammar {
namespace {

constexpr size_t kMostPlaces = 40'000;  // of the automaton before it is made deterministic
constexpr size_t kMostStates = 4'000;
constexpr size_t kMostSteps = 5'000'000;  // about a second

// Thompson's construction: places with one step each, by a character or by none.
class Places {
 public:
  struct Place {
    const CodeSet* set = nullptr;  // the step takes one of these; none: no character
    std::vector<size_t> next;
  };
  struct Part {
    size_t first;
    size_t last;
  };

  Part add(const Regex& regex) {
    switch (regex.kind) {
      case Regex::Kind::kClass: {
        const Part part{place(), place()};
        if (full()) return part;
        places_[part.first].set = &regex.set;
        join(part.first, part.last);
        return part;
      }
      case Regex::Kind::kSequence: {
        Part whole = nothing();
        for (const Regex& next : regex.parts) append(whole, add(next));
        return whole;
      }
      case Regex::Kind::kAlternatives: {
        const Part whole{place(), place()};
        for (const Regex& alternative : regex.parts) {
          const Part part = add(alternative);
          join(whole.first, part.first);
          join(part.last, whole.last);
        }
        return whole;
      }
      case Regex::Kind::kRepeat:
        return repeat(regex);
      case Regex::Kind::kEmpty:
      case Regex::Kind::kBegin:
      case Regex::Kind::kEnd:
        break;
    }
    return nothing();
  }

  bool full() const { return places_.size() > kMostPlaces; }
  const Place& at(size_t index) const { return places_[index]; }

 private:
  Part repeat(const Regex& regex) {
    Part whole = nothing();
    const size_t copies = regex.max == kUnbounded ? regex.min + 1 : regex.max;
    for (size_t copy = 0; copy < copies && !full(); ++copy) {
      Part part = add(regex.parts[0]);
      if (copy >= regex.min) {
        // Around the optional ones, and back where there may be any number.
        const Part around{place(), place()};
        join(around.first, part.first);
        join(around.first, around.last);
        join(part.last, around.last);
        if (regex.max == kUnbounded) join(part.last, part.first);
        part = around;
      }
      append(whole, part);
    }
    return whole;
  }

  size_t place() {
    places_.emplace_back();
    return places_.size() - 1;
  }
  Part nothing() {
    const size_t only = place();
    return {only, only};
  }
  void append(Part& whole, const Part& next) {
    join(whole.last, next.first);
    whole.last = next.last;
  }
  void join(size_t from, size_t to) { places_[from].next.push_back(to); }

  std::vector<Place> places_;
};

struct State {
  std::vector<std::pair<CodeSet, size_t>> next;
  bool accepts = false;
};

// The subset construction.
class Determinizer {
 public:
  explicit Determinizer(const Regex& regex) : whole_(places_.add(regex)) {}

  Result<std::vector<State>> run() {
    if (places_.full()) return too_complex("the pattern's repeats make it too long");
    state_of({whole_.first});
    for (size_t i = 0; i < sets_.size(); ++i) {
      step(i);
      if (sets_.size() > kMostStates || steps_ > kMostSteps) {
        return too_complex(fmt::format("the pattern needs more than {} states", kMostStates));
      }
    }
    return std::move(states_);
  }

 private:
  using PlaceSet = std::vector<size_t>;

  // The state of these places and of all that are reached from them without a character.
  size_t state_of(PlaceSet places) {
    PlaceSet all;
    std::vector<bool>& seen = seen_;
    seen.resize(kMostPlaces + 1);
    while (!places.empty()) {
      const size_t place = places.back();
      places.pop_back();
      if (seen[place]) continue;
      seen[place] = true;
      all.push_back(place);
      ++steps_;
      if (places_.at(place).set != nullptr) continue;
      for (const size_t next : places_.at(place).next) places.push_back(next);
    }
    for (const size_t place : all) seen[place] = false;
    // Places without a character matter only where the whole ends.
    std::erase_if(all, [&](size_t place) {
      return places_.at(place).set == nullptr && place != whole_.last;
    });
    std::sort(all.begin(), all.end());
    const auto [known, is_new] = numbers_.try_emplace(all, sets_.size());
    if (is_new) {
      State state;
      state.accepts = std::binary_search(all.begin(), all.end(), whole_.last);
      states_.push_back(std::move(state));
      sets_.push_back(known->first);
    }
    return known->second;
  }

  // Cuts the characters where a class begins or ends; all of a piece lead to the same places.
  void step(size_t number) {
    std::map<char32_t, std::pair<PlaceSet, PlaceSet>> borders;  // places that begin, that end
    for (const size_t place : sets_[number]) {
      const Places::Place& from = places_.at(place);
      if (from.set == nullptr) continue;
      for (const CodeSet::Range& range : from.set->ranges()) {
        borders[range.first].first.push_back(from.next[0]);
        borders[range.last + 1].second.push_back(from.next[0]);
        ++steps_;
      }
    }
    std::map<size_t, size_t> open;  // how many classes lead to each place here
    std::map<size_t, std::vector<CodeSet::Range>> targets;
    for (auto border = borders.begin(); border != borders.end(); ++border) {
      for (const size_t place : border->second.first) ++open[place];
      for (const size_t place : border->second.second) {
        if (--open[place] == 0) open.erase(place);
      }
      if (open.empty() || steps_ > kMostSteps) continue;
      PlaceSet places;
      for (const auto& [place, count] : open) places.push_back(place);
      steps_ += places.size();
      targets[state_of(std::move(places))].push_back({border->first, std::next(border)->first - 1});
    }
    for (auto& [target, ranges] : targets) {
      states_[number].next.emplace_back(CodeSet(std::move(ranges)), target);
    }
  }

  Places places_;
  Places::Part whole_;
  std::map<PlaceSet, size_t> numbers_;
  std::vector<PlaceSet> sets_;
  std::vector<State> states_;
  std::vector<bool> seen_;
  size_t steps_ = 0;
};

std::string class_ebnf(const CodeSet& set) {
  const auto& ranges = set.ranges();
  if (ranges.size() > 1 || ranges[0].first != ranges[0].last) return ebnf_class(set);
  std::string character;
  text::append_utf8(ranges[0].first, character);
  return ebnf_literal(character);
}

// What may stand as itself in a JSON string as a class, the rest each as its escape.
std::vector<std::string> json_class_ebnf(const CodeSet& set) {
  std::vector<std::string> out;
  const CodeSet plain = set.without(json_escaped_characters());
  if (!plain.empty()) out.push_back(class_ebnf(plain));
  const CodeSet escaped = set.without(json_escaped_characters().complement());
  for (const CodeSet::Range& range : escaped.ranges()) {
    for (char32_t value = range.first; value <= range.last; ++value) {
      out.push_back(ebnf_literal(json_escape(value)));
    }
  }
  return out;
}

}  // namespace

Result<std::string> regex_rules(const Regex& regex, RegexText text, std::string_view prefix,
                                std::string_view next) {
  const Result<std::vector<State>> states = Determinizer(regex).run();
  if (!states) return states.error();
  const std::string end = text == RegexText::kPlain ? "\"\"" : "\"\\\"\"";
  std::string rules;
  for (size_t number = 0; number < states->size(); ++number) {
    const State& state = (*states)[number];
    std::string body = state.accepts ? end : "";
    const auto add = [&](const std::string& characters, size_t target) {
      body += fmt::format("{}{} {}{}", body.empty() ? "" : " | ", characters, prefix, target);
    };
    for (const auto& [set, target] : state.next) {
      if (text == RegexText::kPlain) {
        add(class_ebnf(set), target);
      } else {
        for (const std::string& characters : json_class_ebnf(set)) add(characters, target);
      }
    }
    if (!next.empty()) body += fmt::format(" (= {})", next);
    rules += fmt::format("{}{} ::= {}\n", prefix, number, body);
  }
  return rules;
}

}  // namespace ernie::grammar
