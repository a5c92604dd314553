#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <vector>

#include "base/hash.h"
#include "sched/scheduler.h"

namespace ernie::sched {

// Stands for engine, device and model in tests of the scheduler. The cache holds, per slot, the
// hash of all content up to that token, and the next token follows from the last hash; so a wrong
// block table, a stale block, a gap or a repeat changes the tokens that come out.
class Simulation {
 public:
  explicit Simulation(SchedulerConfig config)
      : scheduler((config.check_invariants = true, config)) {
    slots_.resize(static_cast<size_t>(config.num_blocks) * config.block_size);
  }

  struct Done {
    std::vector<int32_t> output;
    int hit_tokens = 0;  // at the first admission
    int preemptions = 0;
    std::vector<std::pair<int32_t, uint64_t>> scores;  // position, content up to it
  };

  static uint64_t content(const Request& request, uint64_t before, int32_t position,
                          int32_t token) {
    uint64_t words[4] = {before, static_cast<uint32_t>(token), 0, 0};
    for (const MediaSpan& span : request.media) {
      if (position < span.begin || position >= span.end()) continue;
      words[2] = span.hash.words[0];
      words[3] = static_cast<uint64_t>(position - span.begin);
    }
    return hash_bytes(words, sizeof(words)).low;
  }
  static int32_t next_token(uint64_t content) { return static_cast<int32_t>(content % 1000); }
  // The answer ends with a token divisible by 16, or at max_tokens.
  static bool is_stop(int32_t token) { return token % 16 == 0; }

  // What must come out, computed without a scheduler.
  static std::vector<int32_t> expected(const Request& request) {
    uint64_t hash = 0;
    int32_t position = 0;
    for (const int32_t token : request.tokens) hash = content(request, hash, position++, token);
    std::vector<int32_t> output;
    while (static_cast<int32_t>(output.size()) < request.max_tokens) {
      output.push_back(next_token(hash));
      if (is_stop(output.back())) break;
      hash = content(request, hash, position++, output.back());
    }
    return output;
  }

  // The scores of a prompt: the content in front of every token but the first and placeholders.
  static std::vector<std::pair<int32_t, uint64_t>> expected_scores(const Request& request) {
    std::vector<std::pair<int32_t, uint64_t>> scores;
    if (!request.score_prompt) return scores;
    uint64_t hash = 0;
    for (int32_t p = 0; p + 1 < static_cast<int32_t>(request.tokens.size()); ++p) {
      hash = content(request, hash, p, request.tokens[p]);
      const bool placeholder = std::ranges::any_of(request.media, [&](const MediaSpan& span) {
        return p + 1 >= span.begin && p + 1 < span.end();
      });
      if (!placeholder) scores.emplace_back(p, hash);
    }
    return scores;
  }

  void add(Request request) {
    requests[request.id] = request;
    scheduler.add(std::move(request));
  }
  void remove(SequenceId id) { scheduler.remove(id); }

  struct Step {
    Reservation reservation;
    std::vector<RowResult> results;
    std::vector<std::pair<int32_t, uint64_t>> scores;  // of all rows, in order
  };

  // Plans, reserves and runs one step; nullopt when nothing is to be done.
  std::optional<Step> launch() {
    StepPlan plan = scheduler.plan();
    EXPECT_EQ(check_plan(scheduler.snapshot(), plan), "");
    if (plan.empty()) return std::nullopt;
    auto reservation = scheduler.reserve(std::move(plan));
    EXPECT_TRUE(reservation.has_value()) << "the planner promised too many blocks";
    if (!reservation) return std::nullopt;
    for (const Admission& a : reservation->plan().admissions) {
      if (!done.contains(a.sequence)) admitted.push_back(a.sequence);
      done.try_emplace(a.sequence).first->second.hit_tokens +=
          scheduler.find(a.sequence)->preemptions == 0 ? scheduler.find(a.sequence)->hit_tokens : 0;
    }
    Step step{std::move(*reservation), {}, {}};
    for (const PlanRow& row : step.reservation.plan().rows) {
      tokens_of[requests[row.sequence].client] += row.num_tokens;
      step.results.push_back(run(row));
      const Sequence& s = *scheduler.find(row.sequence);
      for (const int32_t p : row.scores) step.scores.emplace_back(p, slot(s, p));
    }
    return step;
  }

  // A step that is reserved but cannot be launched.
  void drop_launch() { auto dropped = scheduler.reserve(scheduler.plan()); }

  void commit(Step step) {
    const StepPlan plan = step.reservation.plan();
    auto score = step.scores.begin();
    for (size_t i = 0; i < plan.rows.size(); ++i) {
      const Sequence* s = scheduler.find(plan.rows[i].sequence);
      const auto scores_begin = score;
      score += static_cast<std::ptrdiff_t>(plan.rows[i].scores.size());
      if (s->doomed) continue;
      Done& d = done[s->id];
      d.scores.insert(d.scores.end(), scores_begin, score);
      if (!step.results[i].token) continue;
      d.output.push_back(*step.results[i].token);
      d.preemptions = s->preemptions;
      step.results[i].finished =
          is_stop(d.output.back()) ||
          static_cast<int32_t>(d.output.size()) == requests[s->id].max_tokens;
    }
    scheduler.commit(std::move(step.reservation), step.results);
  }

  void run_all() {
    while (auto step = launch()) commit(std::move(*step));
    EXPECT_EQ(scheduler.running() + scheduler.waiting(), 0);
  }

  Scheduler scheduler;
  std::map<SequenceId, Request> requests;
  std::map<SequenceId, Done> done;
  std::vector<SequenceId> admitted;       // each when it was first
  std::map<ClientId, int64_t> tokens_of;  // computed

 private:
  uint64_t& slot(const Sequence& s, int32_t position) {
    const int block_size = scheduler.config().block_size;
    return slots_[static_cast<size_t>(s.blocks[position / block_size]) * block_size +
                  position % block_size];
  }

  RowResult run(const PlanRow& row) {
    const Sequence& s = *scheduler.find(row.sequence);
    for (int32_t p = row.first_token; p < row.end(); ++p) {
      const uint64_t before = p == 0 ? 0 : slot(s, p - 1);
      const bool known = p < static_cast<int32_t>(s.tokens.size());
      // A token not known yet is the one the step before sampled, from the slot before.
      const int32_t token = known ? s.tokens[p] : next_token(before);
      slot(s, p) = content(requests[s.id], before, p, token);
    }
    RowResult result;
    if (row.wants_logits) result.token = next_token(slot(s, row.end() - 1));
    return result;
  }

  std::vector<uint64_t> slots_;
};

}  // namespace ernie::sched
