#include "sched/planner.h"

#include <algorithm>
#include <cmath>
#include <ranges>

namespace ernie::sched {
namespace {

bool is_decode(const Sequence& s) {
  return s.length() - s.scheduled() == 1 && s.scheduled() >= s.prompt_length;
}

}  // namespace

std::vector<BlockId> find_hit(const Sequence& s, const SchedulerConfig& config,
                              const BlockManager& blocks) {
  std::vector<BlockId> blocks_hit;
  if (config.enable_prefix_caching) blocks_hit = blocks.match(s.block_keys);
  // At least one token is computed, because its logits are needed.
  int32_t hit =
      std::min(static_cast<int32_t>(blocks_hit.size()), (s.length() - 1) / config.block_size);
  if (!s.is_scored()) hit = std::min(hit, s.scored / config.block_size);
  while (config.disable_chunked_mm_input) {
    const int32_t tokens = hit * config.block_size;
    const int32_t whole = round_down_to_media(s.media, tokens);
    if (whole == tokens) break;
    hit = whole / config.block_size;
  }
  blocks_hit.resize(hit);
  return blocks_hit;
}

Planner::Planner(const SchedulerView& view)
    : view_(view),
      budget_(view.config.max_num_batched_tokens),
      available_(view.blocks.available()),
      spare_draws_(
          std::max(0, view.config.max_num_seqs -
                          static_cast<int32_t>(view.running.size() + view.waiting.size()))) {}

StepPlan Planner::plan() && {
  if (Sequence* s = next_to_yield()) {
    if (s->in_flight == 0) preempt(*s);
    victims_.insert(s->id);  // if a step still uses it, it stays out of this one
  }
  for (Sequence* s : view_.running) {
    if (can_run(*s) && is_decode(*s)) plan_running(*s);
  }
  for (Sequence* s : view_.running) {
    if (can_run(*s) && !is_decode(*s)) plan_running(*s);
  }
  if (plan_.preempted.empty()) plan_admissions();
  for (const PlanRow& row : plan_.rows) plan_.total_tokens += row.num_tokens;
  return std::move(plan_);
}

bool Planner::can_run(const Sequence& s) const {
  // A sequence whose last possible token is being sampled has nothing left to compute.
  return !s.doomed && !s.held && !victims_.contains(s.id) && s.length() < s.max_length;
}

PlanRow Planner::make_row(const Sequence& s, int32_t first) const {
  const int32_t remaining = s.length() - first;
  int32_t end = first + std::min(remaining, budget_);
  // A prompt runs whole without chunked prefill; one that was preempted has more tokens than its
  // prompt and may need parts.
  const bool may_split = view_.config.enable_chunked_prefill || s.preemptions > 0 || !s.is_scored();
  if (end < s.length() && !may_split) end = first;
  if (!s.is_scored()) end = std::min(end, end_of_draws(s, first, end));
  const int32_t planned_end = end;
  if (end > first) end = round_up_to_media(s.media, end);
  PlanRow row{.sequence = s.id, .first_token = first, .num_tokens = end - first};
  row.media_extension = end - planned_end;
  row.wants_logits = end == s.length();
  row.last_token_pending = row.wants_logits && s.pending > 0;
  for (int32_t at = std::max(first, s.scored); at < std::min(end, s.prompt_length - 1); ++at) {
    if (scores_at(s, at)) row.scores.push_back(at);
  }
  return row;
}

int32_t Planner::end_of_draws(const Sequence& s, int32_t first, int32_t end) const {
  int32_t draws = 1 + spare_draws_;
  int32_t at = first;
  while (at < end) {
    const int32_t next = round_up_to_media(s.media, at + 1);
    if (scores_at(s, next - 1) || next == s.length()) --draws;
    if (draws < 0) break;
    at = next;
  }
  return at;
}

void Planner::add_row(PlanRow row) {
  budget_ -= row.num_tokens;
  available_ -= row.new_blocks;
  spare_draws_ -= std::max(0, row.draws() - 1);
  plan_.rows.push_back(std::move(row));
}

void Planner::plan_running(Sequence& s) {
  if (budget_ <= 0) return;
  PlanRow row = make_row(s, s.scheduled());
  if (row.num_tokens == 0) return;
  row.new_blocks = std::max(
      0, blocks_for(row.end(), view_.config.block_size) - static_cast<int32_t>(s.blocks.size()));
  while (row.new_blocks > available_) {
    if (!preempt() || victims_.contains(s.id)) return;
  }
  add_row(std::move(row));
}

bool Planner::preempt() {
  Sequence* victim = next_victim();
  // A step in flight uses its blocks; they can be had when that step is committed.
  if (!victim || victim->doomed || victim->in_flight > 0) return false;
  plan_.short_of_blocks = true;
  preempt(*victim);
  return true;
}

void Planner::preempt(const Sequence& victim) {
  const auto row = std::ranges::find(plan_.rows, victim.id, &PlanRow::sequence);
  if (row != plan_.rows.end()) {
    budget_ += row->num_tokens;
    available_ += row->new_blocks;
    spare_draws_ += std::max(0, row->draws() - 1);
    plan_.rows.erase(row);
  }
  victims_.insert(victim.id);
  plan_.preempted.push_back(victim.id);
  available_ += blocks_gained(victim);
}

Sequence* Planner::next_to_yield() const {
  const auto& running = view_.running;
  if (running.size() < static_cast<size_t>(view_.config.max_num_seqs)) return nullptr;
  if (std::ranges::any_of(running, &Sequence::doomed)) return nullptr;  // it leaves soon
  const std::vector<Turn> turns = turns_of_clients();
  const auto next = std::ranges::min_element(turns, {}, &Turn::rank);
  if (next == turns.end()) return nullptr;
  std::unordered_map<ClientId, size_t> places;
  for (const Sequence* s : running) ++places[s->client];
  if (places.contains(next->next->second->client)) return nullptr;
  Sequence* victim = running.back();
  for (size_t i = running.size(); i-- > 0;) {
    if (places[running[i]->client] > places[victim->client]) victim = running[i];
  }
  const bool may = places[victim->client] > 1 && view_.turns.tokens(victim->client) >= next->tokens;
  return may ? victim : nullptr;
}

// The last admitted one of the client that holds most blocks. The first admitted of all stays, so
// that each comes to its end once it is that.
Sequence* Planner::next_victim() const {
  std::unordered_map<ClientId, size_t> held;
  for (const Sequence* s : view_.running) {
    if (!victims_.contains(s->id)) held[s->client] += s->blocks.size();
  }
  Sequence* victim = nullptr;
  for (size_t i = view_.running.size(); i-- > 1;) {
    Sequence* s = view_.running[i];
    if (victims_.contains(s->id)) continue;
    if (!victim || held[s->client] > held[victim->client]) victim = s;
  }
  return victim;
}

int Planner::blocks_gained(const Sequence& victim) {
  int gained = 0;
  for (const BlockId block : victim.blocks) {
    if (++dropped_[block] == view_.blocks.users(block)) ++gained;
  }
  return gained;
}

void Planner::plan_admissions() {
  if (!can_admit()) return;
  std::vector<Turn> turns = turns_of_clients();
  while (!turns.empty() && can_admit()) {
    const auto next = std::ranges::min_element(turns, {}, &Turn::rank);
    if (!plan_admission(*next->next->second)) return;
    next->tokens += plan_.rows.back().num_tokens;
    ++next->next;
    next->skip_doomed_and_held();
    if (next->is_over()) turns.erase(next);
  }
}

std::vector<Planner::Turn> Planner::turns_of_clients() const {
  std::vector<Turn> turns;
  turns.reserve(view_.waiting.of_clients().size());
  for (const auto& [client, queue] : view_.waiting.of_clients()) {
    Turn turn{view_.turns.tokens(client), queue.begin(), queue.end()};
    turn.skip_doomed_and_held();
    if (!turn.is_over()) turns.push_back(turn);
  }
  return turns;
}

bool Planner::can_admit() const {
  const size_t active = view_.running.size() + plan_.admissions.size();
  return budget_ > 0 && active < static_cast<size_t>(view_.config.max_num_seqs);
}

bool Planner::plan_admission(Sequence& s) {
  const SchedulerConfig& config = view_.config;
  const size_t active = view_.running.size() + plan_.admissions.size();
  Admission admission{.sequence = s.id, .hit = find_hit(s, config, view_.blocks)};
  const auto hit = static_cast<int32_t>(admission.hit.size());

  PlanRow row = make_row(s, hit * config.block_size);
  if (row.num_tokens == 0) return false;
  row.new_blocks = blocks_for(row.end(), config.block_size) - hit;
  const auto idle = std::ranges::count_if(admission.hit, [&](BlockId block) {
    return view_.blocks.is_idle(block) && !claimed_.contains(block);
  });
  const auto kept_back =
      static_cast<int64_t>(std::ceil(view_.blocks_kept_back * static_cast<double>(active)));
  if (row.new_blocks + idle + kept_back > available_) return false;

  available_ -= static_cast<int>(idle);
  claimed_.insert(admission.hit.begin(), admission.hit.end());
  plan_.admissions.push_back(std::move(admission));
  add_row(std::move(row));
  return true;
}

}  // namespace ernie::sched
