#include "sched/invariants.h"

#include <algorithm>
#include <map>
#include <set>
#include <unordered_set>

namespace ernie::sched {
namespace {

// Collects the first problem and goes on cheaply after it.
class Findings {
 public:
  void expect(bool ok, const std::string& what) {
    if (!ok && first_.empty()) first_ = what;
  }
  std::string first() const { return first_; }

 private:
  std::string first_;
};

std::string name(BlockId block) { return "block " + std::to_string(block); }
std::string name(const Sequence& s) { return "sequence " + std::to_string(s.id); }

void check_cache(const Snapshot& snapshot, const std::vector<int>& tables, Findings& findings) {
  std::map<BlockId, const PrefixCache::Entry*> entries;
  std::unordered_set<ContentKey> keys;
  for (const auto& [block, entry] : snapshot.cache) {
    entries[block] = &entry;
    findings.expect(keys.insert(entry.key).second, name(block) + " has a key twice in the cache");
  }
  std::map<BlockId, int> children;
  for (const auto& [block, entry] : snapshot.cache) {
    findings.expect(entry.idle == (tables[block] == 0), name(block) + " is idle, or not, wrongly");
    if (entry.parent < 0) continue;
    ++children[entry.parent];
    const auto parent = entries.find(entry.parent);
    findings.expect(parent != entries.end(), name(block) + " has a parent outside the cache");
    findings.expect(parent == entries.end() || entry.idle || !parent->second->idle,
                    name(block) + " is in use but its parent is not");
  }
  for (const auto& [block, entry] : entries) {
    findings.expect(entry->children == children[block], name(block) + " counts children wrongly");
  }
}

void check_blocks(const Snapshot& snapshot, Findings& findings) {
  std::vector<int> tables(snapshot.refs.size(), 0);
  for (const auto* list : {&snapshot.running, &snapshot.waiting}) {
    for (const Sequence& s : *list) {
      for (const BlockId block : s.blocks) {
        const bool known = block >= 0 && block < static_cast<BlockId>(tables.size());
        findings.expect(known, name(s) + " holds " + name(block) + ", which does not exist");
        if (known) ++tables[block];
      }
    }
  }
  std::vector<int> expected = tables;
  int idle = 0;
  for (const auto& cached : snapshot.cache) {
    ++expected[cached.block];
    idle += tables[cached.block] == 0 ? 1 : 0;
  }
  std::set<BlockId> free(snapshot.free_blocks.begin(), snapshot.free_blocks.end());
  findings.expect(free.size() == snapshot.free_blocks.size(), "a block is free twice");
  for (BlockId block = 0; block < static_cast<BlockId>(expected.size()); ++block) {
    findings.expect(snapshot.refs[block] == expected[block],
                    name(block) + " has " + std::to_string(snapshot.refs[block]) +
                        " references, but tables and cache say " + std::to_string(expected[block]));
    findings.expect(free.contains(block) == (expected[block] == 0),
                    name(block) + " is free, or not, wrongly");
  }
  findings.expect(snapshot.available == static_cast<int>(free.size()) + idle,
                  "the number of available blocks is wrong");
  check_cache(snapshot, tables, findings);
}

void check_sequence(const Snapshot& snapshot, const Sequence& s, bool running, Findings& findings) {
  const SchedulerConfig& config = snapshot.config;
  findings.expect(s.computed >= 0 && s.in_flight >= 0 && s.pending >= 0,
                  name(s) + " went negative");
  findings.expect(s.scheduled() <= s.length(), name(s) + " computes past its tokens");
  findings.expect(s.length() <= s.max_length, name(s) + " is longer than it may be");
  findings.expect(s.pending <= snapshot.steps_in_flight, name(s) + " waits for too many tokens");
  if (!running) {
    findings.expect(s.blocks.empty() && s.computed == 0 && s.in_flight == 0 && s.pending == 0,
                    name(s) + " waits but holds blocks or runs");
    return;
  }
  if (!s.doomed) {
    findings.expect(
        static_cast<int32_t>(s.blocks.size()) == blocks_for(s.scheduled(), config.block_size),
        name(s) + " holds " + std::to_string(s.blocks.size()) + " blocks for " +
            std::to_string(s.scheduled()) + " tokens");
    findings.expect(round_up_to_media(s.media, s.scheduled()) == s.scheduled() ||
                        (s.scheduled() == s.hit_tokens && !config.disable_chunked_mm_input),
                    name(s) + " stops inside a media unit");
  }
  findings.expect(s.published <= static_cast<int32_t>(s.block_keys.size()) &&
                      s.published * config.block_size <= s.computed,
                  name(s) + " published what is not computed");
  std::map<BlockId, ContentKey> keys;
  for (const auto& cached : snapshot.cache) keys[cached.block] = cached.entry.key;
  for (int32_t i = 0; i < s.published; ++i) {
    const auto key = keys.find(s.blocks[i]);
    findings.expect(key != keys.end() && key->second == s.block_keys[i],
                    name(s) + " holds the wrong block at " + std::to_string(i));
  }
}

}  // namespace

std::string check_invariants(const Snapshot& snapshot) {
  Findings findings;
  check_blocks(snapshot, findings);
  for (const Sequence& s : snapshot.running) check_sequence(snapshot, s, true, findings);
  for (const Sequence& s : snapshot.waiting) check_sequence(snapshot, s, false, findings);
  findings.expect(snapshot.running.size() <= static_cast<size_t>(snapshot.config.max_num_seqs),
                  "more sequences run than max_num_seqs");
  return findings.first();
}

std::string check_plan(const Snapshot& snapshot, const StepPlan& plan) {
  Findings findings;
  std::map<SequenceId, const Sequence*> sequences;
  for (const auto* list : {&snapshot.running, &snapshot.waiting}) {
    for (const Sequence& s : *list) sequences[s.id] = &s;
  }
  std::map<SequenceId, int32_t> hits;
  for (const Admission& a : plan.admissions) {
    hits[a.sequence] = static_cast<int32_t>(a.hit.size()) * snapshot.config.block_size;
  }
  std::set<SequenceId> seen;
  int64_t total = 0;
  int64_t extension = 0;
  int32_t new_blocks = 0;
  int32_t draws = 0;
  for (const PlanRow& row : plan.rows) {
    draws += row.draws();
    total += row.num_tokens;
    extension += row.media_extension;
    new_blocks += row.new_blocks;
    findings.expect(seen.insert(row.sequence).second, "a sequence has two rows");
    findings.expect(std::ranges::find(plan.preempted, row.sequence) == plan.preempted.end(),
                    "a preempted sequence has a row");
    const auto it = sequences.find(row.sequence);
    findings.expect(it != sequences.end(), "a row of an unknown sequence");
    if (it == sequences.end()) continue;
    const Sequence& s = *it->second;
    const int32_t first = hits.contains(s.id) ? hits[s.id] : s.scheduled();
    findings.expect(!s.held, name(s) + " is held but computed");
    findings.expect(row.first_token == first, name(s) + " starts at the wrong token");
    findings.expect(row.num_tokens > 0 && row.end() <= s.length(),
                    name(s) + " computes nothing or past its tokens");
    findings.expect(round_up_to_media(s.media, row.end()) == row.end(),
                    name(s) + " ends inside a media unit");
    findings.expect(row.wants_logits == (row.end() == s.length()), name(s) + " wants no logits");
    findings.expect(s.is_scored() || first <= s.scored + s.in_flight,
                    name(s) + " passes over tokens that are to be scored");
    std::vector<int32_t> scores;
    for (int32_t at = row.first_token; at < row.end(); ++at) {
      if (scores_at(s, at)) scores.push_back(at);
    }
    findings.expect(row.scores == scores, name(s) + " scores the wrong tokens");
  }
  findings.expect(total == plan.total_tokens, "the plan's total is not the sum of its rows");
  findings.expect(total - extension <= snapshot.config.max_num_batched_tokens,
                  "the plan exceeds the token budget");
  findings.expect(draws <= snapshot.config.max_num_seqs, "the plan draws too many tokens");
  findings.expect(plan.preempted.empty() || plan.admissions.empty(),
                  "a step preempts and admits at once");
  findings.expect(!plan.preempted.empty() || new_blocks <= snapshot.available,
                  "the plan wants more blocks than there are");
  return findings.first();
}

}  // namespace ernie::sched
