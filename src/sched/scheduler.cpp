#include "sched/scheduler.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "base/check.h"

namespace ernie::sched {
namespace {

// After a preemption new requests leave this many blocks per running sequence untouched, so that
// they do not cause the next one; the number falls with every step.
constexpr double kKeptBackAfterPreemption = 4.0;
constexpr double kKeptBackDecayPerStep = 0.125;

}  // namespace

Reservation::Reservation(Scheduler* scheduler, StepPlan plan)
    : scheduler_(scheduler), plan_(std::move(plan)) {}

Reservation::Reservation(Reservation&& other) noexcept
    : scheduler_(std::exchange(other.scheduler_, nullptr)),
      plan_(std::move(other.plan_)),
      mark_(other.mark_),
      epoch_(other.epoch_),
      preempted_(std::move(other.preempted_)),
      admitted_(std::move(other.admitted_)),
      blocks_before_(std::move(other.blocks_before_)),
      kept_back_before_(other.kept_back_before_) {}

Reservation::~Reservation() {
  if (scheduler_ && std::uncaught_exceptions() == 0) scheduler_->undo(*this);
}

Scheduler::Scheduler(const SchedulerConfig& config) : config_(config), blocks_(config.num_blocks) {
  CHECK(config.num_blocks > 0 && config.block_size > 0 && config.max_num_seqs > 0,
        "a scheduler without blocks or sequences");
  CHECK(config.max_num_batched_tokens >= config.max_num_seqs,
        "the token budget must hold one token per sequence");
}

Status Scheduler::check_fits(const SchedulerConfig& config, int64_t prompt_tokens,
                             int64_t max_length) {
  // The last token is never fed back, so it needs no place in the cache.
  const int64_t capacity = static_cast<int64_t>(config.num_blocks) * config.block_size;
  if (max_length - 1 > capacity) {
    return invalid_argument("prompt and answer may take " + std::to_string(max_length) +
                                " tokens, but the key-value cache holds " +
                                std::to_string(capacity) + "; shorten the prompt or max_tokens",
                            "max_tokens", "context_length_exceeded");
  }
  if (!config.enable_chunked_prefill && prompt_tokens > config.max_num_batched_tokens) {
    return invalid_argument(
        "the prompt has " + std::to_string(prompt_tokens) +
            " tokens, but without chunked prefill a step takes at most max_num_batched_tokens = " +
            std::to_string(config.max_num_batched_tokens),
        "messages", "context_length_exceeded");
  }
  return {};
}

void Scheduler::add(Request request) {
  const int64_t max_length = static_cast<int64_t>(request.tokens.size()) + request.max_tokens;
  CHECK(!request.tokens.empty() && request.max_tokens > 0, "nothing to compute");
  CHECK(check_fits(config_, static_cast<int64_t>(request.tokens.size()), max_length).ok(),
        "a request that can never fit");
  auto s = std::make_unique<Sequence>();
  s->id = request.id;
  s->prompt_length = static_cast<int32_t>(request.tokens.size());
  s->cache_salt = request.cache_salt;
  s->client = request.client;
  s->max_length = static_cast<int32_t>(max_length);
  if (!request.score_prompt) s->scored = s->prompt_length - 1;
  s->tokens = std::move(request.tokens);
  s->media = std::move(request.media);
  if (config_.enable_prefix_caching) extend_block_keys(*s, config_.block_size);
  const auto [place, is_new] = sequences_.emplace(request.id, std::move(s));
  CHECK(is_new, "a sequence id was used twice");
  Sequence* const added = place->second.get();
  try {
    turns_.join(added->client);
  } catch (...) {
    sequences_.erase(place);
    throw;
  }
  try {
    waiting_.push_back(*added);
  } catch (...) {
    turns_.leave(added->client);
    sequences_.erase(place);
    throw;
  }
}

void Scheduler::remove(SequenceId id) {
  Sequence& s = at(id);
  if (s.doomed) return;
  doom(s);
  if (steps_in_flight_ == 0) reap();
}

void Scheduler::hold(SequenceId id) { at(id).held = true; }
void Scheduler::resume(SequenceId id) { at(id).held = false; }

int32_t Scheduler::cached_tokens(SequenceId id) const {
  const auto blocks = static_cast<int32_t>(find_hit(at(id), config_, blocks_).size());
  return blocks * config_.block_size;
}

StepPlan Scheduler::plan() const {
  return Planner({config_, blocks_, running_, waiting_, turns_, blocks_kept_back_}).plan();
}

std::optional<Reservation> Scheduler::reserve(StepPlan plan) {
  for (const PlanRow& row : plan.rows) {
    const auto it = sequences_.find(row.sequence);
    if (it == sequences_.end() || it->second->doomed || it->second->held) return std::nullopt;
  }
  Reservation r(this, std::move(plan));
  r.mark_ = blocks_.mark();
  r.epoch_ = epoch_;
  r.kept_back_before_ = blocks_kept_back_;
  ++steps_in_flight_;
  apply_preemptions(r);
  apply_admissions(r);
  if (!apply_rows(r)) return std::nullopt;  // ~Reservation undoes the rest
  if (config_.check_invariants) verify();
  return r;
}

void Scheduler::apply_preemptions(Reservation& r) {
  for (const SequenceId id : r.plan_.preempted) {
    Sequence& s = at(id);
    const auto place = std::ranges::find(running_, &s);
    r.preempted_.push_back({s, static_cast<size_t>(place - running_.begin())});
    running_.erase(place);
    waiting_.push_front(s);
    release_blocks(s);
    ++s.preemptions;
    ++preemptions_;
  }
  if (r.plan_.short_of_blocks) blocks_kept_back_ = kKeptBackAfterPreemption;
}

// All hits are taken before any block is allocated, so that no allocation evicts one.
void Scheduler::apply_admissions(Reservation& r) {
  for (const Admission& admission : r.plan_.admissions) {
    Sequence& s = at(admission.sequence);
    r.admitted_.push_back({s});
    waiting_.erase(s);
    running_.push_back(&s);
    for (const BlockId block : admission.hit) blocks_.retain(block);
    s.blocks = admission.hit;
    s.published = static_cast<int32_t>(s.blocks.size());
    s.computed = s.hit_tokens = s.published * config_.block_size;
  }
}

bool Scheduler::apply_rows(Reservation& r) {
  for (const PlanRow& row : r.plan_.rows) {
    Sequence& s = at(row.sequence);
    CHECK(s.scheduled() == row.first_token, "a plan is reserved after the state has changed");
    r.blocks_before_.push_back(s.blocks.size());
    s.in_flight += row.num_tokens;
    s.pending += row.wants_logits ? 1 : 0;
    turns_.charge(s.client, row.num_tokens);
    for (int i = 0; i < row.new_blocks; ++i) {
      if (blocks_.available() == 0) return false;
      s.blocks.push_back(blocks_.allocate());
    }
  }
  return true;
}

void Scheduler::undo(Reservation& r) {
  CHECK(r.epoch_ == epoch_, "a reservation is dropped after a later commit");
  const auto restore = [this](const Reservation::Moved& moved) -> Sequence* {
    Sequence& s = at(moved.before.id);
    const bool doomed = s.doomed;
    const bool held = s.held;
    s = moved.before;
    s.doomed = doomed;
    s.held = held;
    return &s;
  };
  for (size_t i = r.blocks_before_.size(); i-- > 0;) {
    const PlanRow& row = r.plan_.rows[i];
    Sequence& s = at(row.sequence);
    s.blocks.resize(r.blocks_before_[i]);
    s.in_flight -= row.num_tokens;
    s.pending -= row.wants_logits ? 1 : 0;
    turns_.charge(s.client, -row.num_tokens);
  }
  for (; !r.admitted_.empty(); r.admitted_.pop_back()) {
    running_.pop_back();
    waiting_.insert(*restore(r.admitted_.back()));
  }
  for (; !r.preempted_.empty(); r.preempted_.pop_back()) {
    const auto& moved = r.preempted_.back();
    waiting_.erase(at(moved.before.id));
    running_.insert(running_.begin() + static_cast<std::ptrdiff_t>(moved.index), restore(moved));
    --preemptions_;
  }
  blocks_kept_back_ = r.kept_back_before_;
  blocks_.roll_back(r.mark_);
  if (--steps_in_flight_ == 0) reap();
  if (config_.check_invariants) verify();
}

void Scheduler::abandon(Reservation reservation) { reservation.scheduler_ = nullptr; }

void Scheduler::commit(Reservation reservation, std::span<const RowResult> results) {
  const StepPlan plan = std::move(reservation.plan_);
  reservation.scheduler_ = nullptr;
  CHECK(results.size() == plan.rows.size(), "one result per row");
  blocks_.commit_history();
  ++epoch_;
  --steps_in_flight_;
  blocks_kept_back_ = std::max(0.0, blocks_kept_back_ - kKeptBackDecayPerStep);
  for (size_t i = 0; i < results.size(); ++i) commit_row(plan.rows[i], results[i]);
  reap();
  if (config_.check_invariants) verify();
}

void Scheduler::commit_row(const PlanRow& row, const RowResult& result) {
  Sequence& s = at(row.sequence);
  s.in_flight -= row.num_tokens;
  s.pending -= row.wants_logits ? 1 : 0;
  if (s.doomed) return;
  if (result.failed) {
    for (size_t i = s.blocks.size(); i-- > 0;) blocks_.forget(s.blocks[i]);
    s.published = 0;
    doom(s);
    return;
  }
  s.computed += row.num_tokens;
  s.scored = std::max(s.scored, std::min(s.computed, s.prompt_length - 1));
  publish(s);
  if (!row.wants_logits) return;
  CHECK(result.token.has_value(), "a row that wanted logits brought no token");
  s.tokens.push_back(*result.token);
  if (config_.enable_prefix_caching) extend_block_keys(s, config_.block_size);
  if (result.finished) doom(s);
}

void Scheduler::doom(Sequence& s) {
  s.doomed = true;
  doomed_.push_back(&s);
}

void Scheduler::publish(Sequence& s) {
  if (!config_.enable_prefix_caching) return;
  for (const int32_t full = s.computed / config_.block_size; s.published < full; ++s.published) {
    const int32_t i = s.published;
    const BlockId parent = i == 0 ? -1 : s.blocks[i - 1];
    s.blocks[i] = blocks_.publish(s.block_keys[i], parent, s.blocks[i]);
  }
}

void Scheduler::release_blocks(Sequence& s) {
  // Last block first: a parent must not look older than its children.
  for (size_t i = s.blocks.size(); i-- > 0;) blocks_.release(s.blocks[i]);
  s.blocks.clear();
  s.computed = s.published = s.hit_tokens = 0;
}

void Scheduler::reap() {
  if (doomed_.empty()) return;
  std::erase_if(doomed_, [this](Sequence* s) {
    if (s->in_flight > 0) return false;
    if (std::erase(running_, s) == 0) waiting_.erase(*s);
    release_blocks(*s);
    turns_.leave(s->client);
    sequences_.erase(s->id);
    return true;
  });
  blocks_.commit_history();
}

const Sequence* Scheduler::find(SequenceId id) const {
  const auto it = sequences_.find(id);
  return it == sequences_.end() ? nullptr : it->second.get();
}

Sequence& Scheduler::at(SequenceId id) const {
  const auto it = sequences_.find(id);
  CHECK(it != sequences_.end(), "no sequence " + std::to_string(id));
  return *it->second;
}

int Scheduler::running() const {
  return static_cast<int>(std::ranges::count(running_, false, &Sequence::doomed));
}

int Scheduler::waiting() const {
  return static_cast<int>(std::ranges::count(waiting_.all(), false, &Sequence::doomed));
}

Snapshot Scheduler::snapshot() const {
  Snapshot s{.config = config_, .steps_in_flight = steps_in_flight_};
  const BlockPool& pool = blocks_.pool();
  for (BlockId block = 0; block < pool.size(); ++block) {
    s.refs.push_back(pool.refs(block));
    if (blocks_.cache().contains(block)) s.cache.push_back({block, blocks_.cache().entry(block)});
  }
  s.free_blocks.assign(pool.free_blocks().begin(), pool.free_blocks().end());
  s.available = blocks_.available();
  for (const Sequence* sequence : running_) s.running.push_back(*sequence);
  for (const Sequence* sequence : waiting_.all()) s.waiting.push_back(*sequence);
  return s;
}

void Scheduler::verify() const {
  const std::string problem = sched::check_invariants(snapshot());
  CHECK(problem.empty(), problem);
}

}  // namespace ernie::sched
