#include "engine/engine_loop.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <utility>

#include "base/check.h"
#include "base/failure.h"
#include "base/log.h"
#include "base/thread_name.h"
#include "engine/request_check.h"

namespace ernie::engine {
namespace {

Error unavailable(const std::string& message, const std::string& code) {
  return {ErrorKind::kUnavailable, message, {}, code};
}
Error fault(const std::string& message, const std::string& code) {
  return {ErrorKind::kInternal, message, {}, code};
}

}  // namespace

EngineLoop::EngineLoop(Parts parts)
    : parts_(std::move(parts)),
      scheduler_(parts_.scheduler),
      encoder_cache_(parts_.memory.encoder_cache_tokens),
      late_pool_(parts_.config.late_threads, "ernie-late"),
      queue_(std::make_shared<FairLimiter>(parts_.config.max_waiting_requests, 0)),
      waiter_([this] { wait_for_device(); }),
      dispatcher_([this] { note_delivered(); }),
      thread_([this] { run(); }) {
  const auto limit = parts_.config.time_limits.rank;
  if (limit.count() == 0) return;
  for (const auto& rank : parts_.ranks) rank->limit_collectives(limit);
}

EngineLoop::~EngineLoop() {
  inbox_.push(Stop{});
  thread_.join();
  // Ranks push into the inbox, so they go before it.
  for (const auto& rank : parts_.ranks) rank->abort_collectives();
  pending_.close();
  waiter_.join();
  parts_.ranks.clear();
}

Result<RequestHandle> EngineLoop::submit(GenerationRequest request) {
  if (const Status ok = check_request(request, parts_.config, parts_.model_config, parts_.limits,
                                      parts_.scheduler, parts_.sampler_limits);
      !ok) {
    return ok.error();
  }
  if (!healthy_) return unavailable("the device has failed; the server must be restarted", "dead");
  if (draining_) return unavailable("the server is shutting down", "draining");
  auto place = queue_->acquire(request.client);
  if (!place)
    return Error{ErrorKind::kRateLimited,
                 fmt::format("{} requests are waiting already; try again later", queue_->used()),
                 {},
                 "queue_full"};
  const RequestHandle handle = next_handle_++;
  SequenceSampler sampler(*request.prompt, request.sampling, parts_.model_config.vocab_size);
  PromptScores scores(request.prompt, request.sampling);
  auto open = std::make_unique<OpenRequest>(OpenRequest{.request = std::move(request),
                                                        .sampler = std::move(sampler),
                                                        .scores = std::move(scores),
                                                        .place = std::move(*place)});
  open->stats.arrival = Clock::now();
  open->stats.prompt_tokens = static_cast<int>(open->request.prompt->tokens.size());
  {
    std::lock_guard lock(mutex_);
    ++undelivered_;
  }
  bool queued = false;
  try {
    queued = inbox_.push(Submit{handle, std::move(open)});
  } catch (...) {
    note_delivered();
    throw;
  }
  if (queued) return handle;
  note_delivered();
  return unavailable("the engine has stopped", "stopped");
}

void EngineLoop::cancel(RequestHandle handle) { inbox_.push(Cancel{handle}); }
void EngineLoop::cancel_all() { inbox_.push(CancelAll{}); }

bool EngineLoop::drain(std::chrono::milliseconds limit) {
  draining_ = true;
  std::unique_lock lock(mutex_);
  return all_delivered_.wait_for(lock, limit, [this] { return undelivered_ == 0; });
}

void EngineLoop::note_delivered() {
  std::lock_guard lock(mutex_);
  if (--undelivered_ == 0) all_delivered_.notify_all();
}

EngineStats EngineLoop::stats() const {
  std::lock_guard lock(mutex_);
  EngineStats stats = shared_stats_;
  stats.healthy = healthy_;
  stats.waiting += static_cast<int>(queue_->used());
  return stats;
}

void EngineLoop::run() {
  set_thread_name("ernie-engine");
  publish_stats();
  while (!stopping_ || !in_flight_.empty()) {
    try {
      run_round();
    } catch (const std::exception& e) {  // in the middle of a change to the books
      give_up(fmt::format("the engine failed: {}", e.what()), "engine_fault");
    }
  }
  inbox_.close();
  while (auto message = inbox_.try_pop()) {
    if (auto* submit = std::get_if<Submit>(&*message)) handle(*submit);
  }
  publish_stats();
  dispatcher_.deliver(events_);
}

void EngineLoop::run_round() {
  wait_and_handle();
  watch_ranks();
  expire_deadlines();
  if (healthy_ && !stopping_) launch_steps();
  publish_stats();  // first, so that no sink knows more than stats() says
  dispatcher_.deliver(events_);
}

void EngineLoop::wait_and_handle() {
  std::optional<Clock::time_point> wake;
  if (!deadlines_.empty()) wake = deadlines_.begin()->first;
  if (!in_flight_.empty() && watch_period(parts_.config.time_limits)) {
    wake = wake ? std::min(*wake, next_watch_) : next_watch_;
  }
  auto message = wake ? inbox_.pop_for(*wake - Clock::now()) : inbox_.pop();
  for (; message; message = inbox_.try_pop()) {
    std::visit([this](auto& m) { handle(m); }, *message);
  }
}

void EngineLoop::handle(Submit& message) {
  const RequestHandle handle = message.handle;
  try {
    std::unique_ptr<OpenRequest>& open = open_[handle];
    open = std::move(message.request);
    schedule(handle, *open);
  } catch (const std::exception& e) {
    const Error error = failure_of_request(e);
    if (message.request) {
      tell_end(handle, *message.request, FinishReason::kError, error);
    } else {
      finish(handle, FinishReason::kError, error);
    }
  }
}

void EngineLoop::schedule(RequestHandle handle, OpenRequest& open) {
  const GenerationRequest& request = open.request;
  for (const auto& limit : {request.deadline, request.queue_deadline}) {
    if (limit) deadlines_.emplace(*limit, handle);
  }
  if (stopping_) return finish(handle, FinishReason::kCancelled);
  if (!healthy_) {
    return finish(handle, FinishReason::kError, unavailable("the device has failed", "dead"));
  }
  sched::Request r{.id = handle,
                   .tokens = request.prompt->tokens,
                   .max_tokens = std::max(max_generated(request, parts_.config), 1),
                   .cache_salt = request.prompt->cache_salt,
                   .client = request.client,
                   .score_prompt = request.sampling.prompt_logprobs >= 0};
  for (const model::MediaUnit& unit : request.prompt->media) {
    r.media.push_back({unit.begin, unit.length, unit.hash});
  }
  scheduler_.add(std::move(r));
  if (!request.decode_media) return;
  if (lacks_pixels(open, scheduler_.cached_tokens(handle))) ask_for_pixels(handle, open);
}

bool EngineLoop::lacks_pixels(const OpenRequest& open, int32_t first) const {
  if (!open.request.decode_media) return false;
  return std::ranges::any_of(open.request.prompt->media, [&](const model::MediaUnit& unit) {
    return unit.begin + unit.length > first && unit.patches->pixels.empty() &&
           !encoder_cache_.has(unit);
  });
}

void EngineLoop::ask_for_pixels(RequestHandle handle, OpenRequest& open) {
  scheduler_.hold(handle);
  const auto decode = std::exchange(open.request.decode_media, nullptr);
  decode([this, handle](std::shared_ptr<const model::Prompt> prompt) {
    inbox_.push(Decoded{handle, std::move(prompt)});
  });
}

bool EngineLoop::hold_back(const sched::StepPlan& plan) {
  bool found = false;
  for (const sched::PlanRow& row : plan.rows) {
    OpenRequest& open = *open_.at(row.sequence);
    if (!lacks_pixels(open, row.first_token)) continue;
    ask_for_pixels(row.sequence, open);
    found = true;
  }
  return found;
}

void EngineLoop::handle(Cancel& message) {
  if (open_.contains(message.handle)) end_early(message.handle, FinishReason::kCancelled);
}

void EngineLoop::handle(Decoded& message) {
  const auto open = open_.find(message.handle);
  if (open == open_.end()) return;
  open->second->request.prompt = std::move(message.prompt);
  scheduler_.resume(message.handle);
}

void EngineLoop::handle(CancelAll&) { end_all(); }

void EngineLoop::handle(StepDone& message) {
  if (in_flight_.empty()) return;  // it ended with a fault of another rank
  StepInFlight step = std::move(in_flight_.front());
  in_flight_.pop_front();
  ++counters_.steps;
  counters_.last_step = Clock::now();
  std::vector<sched::RowResult> results;
  results.reserve(step.reservation.plan().rows.size());
  std::span<ops::SampleResult> samples(message.samples);
  for (const sched::PlanRow& row : step.reservation.plan().rows) {
    const auto draws = static_cast<size_t>(row.draws());
    CHECK(draws <= samples.size(), "a step returned too few samples");
    const auto open = open_.find(row.sequence);
    try {
      results.push_back(open == open_.end()
                            ? sched::RowResult{}
                            : take_samples(*open->second, row, samples.first(draws)));
    } catch (const std::exception& e) {
      results.push_back(fail_row(row.sequence, failure_of_request(e)));
    }
    samples = samples.subspan(draws);
  }
  scheduler_.commit(std::move(step.reservation), results);
  if (!in_flight_.empty()) say_late_samples(in_flight_.front());
}

void EngineLoop::say_late_samples(StepInFlight& step) {
  const BatchInputs& batch = *step.batch;
  if (batch.late.empty()) return;
  // Nobody reads the draw of a sequence that has ended.
  std::vector<SampleSpec> samples(batch.late.size(), {.row = {.forced_token = 0}});
  std::vector<std::optional<Error>> errors(batch.late.size());
  const auto sequence = [&](size_t i) { return batch.sample_sequences[batch.late[i]]; };
  late_pool_.parallel_for(static_cast<int64_t>(samples.size()), [&](int64_t i, int) {
    const auto open = open_.find(sequence(i));
    if (open == open_.end()) return;
    try {
      samples[i] = open->second->sampler.next();
    } catch (const std::exception& e) {
      errors[i] = failure_of_request(e);
    }
  });
  step.late_samples.set_value(std::move(samples));
  for (size_t i = 0; i < errors.size(); ++i) {
    if (errors[i]) end_early(sequence(i), FinishReason::kError, errors[i]);
  }
}

sched::RowResult EngineLoop::take_samples(OpenRequest& open, const sched::PlanRow& row,
                                          std::span<ops::SampleResult> samples) {
  auto prompt = open.scores.take(row, samples.first(row.scores.size()));
  if (!prompt) {
    return fail_row(row.sequence,
                    fault("the model's output for the prompt of this request is not a number",
                          "numeric_fault"));
  }
  if (!prompt->tokens.empty()) events_.push_back({open.request.sink, std::move(*prompt)});
  if (!row.wants_logits) return {};
  if (max_generated(open.request, parts_.config) > 0) {
    return take_sample(open, row.sequence, samples.back());
  }
  finish(row.sequence, FinishReason::kLength);
  return {.token = samples.back().token, .finished = true};
}

sched::RowResult EngineLoop::fail_row(RequestHandle handle, Error error) {
  finish(handle, FinishReason::kError, std::move(error));
  return {.failed = true};
}

sched::RowResult EngineLoop::take_sample(OpenRequest& open, RequestHandle handle,
                                         ops::SampleResult& sample) {
  const bool drawn = !sample.numeric_fault && sample.token >= 0;
  const Accepted accepted = drawn ? open.sampler.accept(sample.token) : Accepted::kRefused;
  if (open.sampler.grammar_is_too_slow()) {
    return fail_row(
        handle, invalid_argument("the grammar of this request is too ambiguous to be followed", {},
                                 "grammar_too_complex"));
  }
  if (!drawn) {
    return fail_row(handle, fault("the model's output for this request is not a number, or every "
                                  "token is banned",
                                  "numeric_fault"));
  }
  if (accepted == Accepted::kRefused) {
    return fail_row(handle,
                    fault("the grammar of this request contradicts itself", "grammar_fault"));
  }
  RequestStats& stats = open.stats;
  if (stats.generated_tokens == 0) stats.first_token = counters_.last_step;
  const bool stop = accepted == Accepted::kStops;
  ++stats.generated_tokens;
  ++counters_.generated_tokens;
  events_.push_back({open.request.sink, TokenEvent{.token = sample.token,
                                                   .logprob = sample.logprob,
                                                   .top = std::move(sample.top),
                                                   .is_stop = stop}});
  sched::RowResult result{.token = sample.token};
  if (stop || stats.generated_tokens == max_generated(open.request, parts_.config)) {
    result.finished = true;
    finish(handle, stop ? FinishReason::kStop : FinishReason::kLength);
  }
  return result;
}

void EngineLoop::handle(Fault& message) {
  if (!healthy_) return;
  give_up(fmt::format("rank {} failed: {}", message.rank, message.what), "device_fault");
}

void EngineLoop::give_up(const std::string& reason, const char* code) {
  healthy_ = false;
  log::error("{}", reason);
  const Error error = fault(reason, code);
  while (!open_.empty()) finish(open_.begin()->first, FinishReason::kError, error);
  for (const auto& rank : parts_.ranks) rank->abort_collectives();
  while (!in_flight_.empty()) {
    sched::Scheduler::abandon(std::move(in_flight_.front().reservation));
    in_flight_.pop_front();
  }
  publish_stats();
  std::function<void()> tell_process;
  if (!gave_up_ && parts_.config.on_fatal) {
    tell_process = [on_fatal = parts_.config.on_fatal, reason] { on_fatal(reason); };
  }
  dispatcher_.deliver(events_, std::move(tell_process));
  gave_up_ = true;
}

void EngineLoop::handle(Stop&) {
  stopping_ = true;
  end_all();
}

void EngineLoop::expire_deadlines() {
  while (!deadlines_.empty() && deadlines_.begin()->first <= Clock::now()) {
    const RequestHandle handle = deadlines_.begin()->second;
    end_early(handle, FinishReason::kError, deadline_exceeded());
  }
}

void EngineLoop::watch_ranks() {
  const auto now = Clock::now();
  const auto period = watch_period(parts_.config.time_limits);
  if (in_flight_.empty() || !period || now < next_watch_) return;
  // A process that was stopped for a while has not waited for its ranks.
  if (now - next_watch_ > std::chrono::seconds(1)) watched_since_ = now;
  next_watch_ = now + *period;
  std::vector<RankProgress> progress;
  for (const auto& rank : parts_.ranks) progress.push_back(rank->progress());
  const StepInFlight& oldest = in_flight_.front();
  const auto began = std::max({oldest.launched, counters_.last_step, watched_since_});
  StepTimeLimits limits = parts_.config.time_limits;
  limits.step += limits.token * oldest.reservation.plan().total_tokens;
  if (auto hang = find_hang(progress, began, limits, now)) {
    Fault fault{hang->rank, std::move(hang->what)};
    handle(fault);
  }
}

void EngineLoop::launch_steps() {
  while (static_cast<int>(in_flight_.size()) < parts_.config.steps_in_flight) {
    sched::StepPlan plan = scheduler_.plan();
    if (hold_back(plan)) continue;
    if (plan.empty()) return;
    if (plan.rows.empty() && !in_flight_.empty()) return;
    auto reservation = scheduler_.reserve(std::move(plan));
    CHECK(reservation.has_value(), "the planner promised more blocks than there are");
    note_admissions(reservation->plan());
    log_progress(reservation->plan());
    if (reservation->plan().rows.empty()) {  // nothing but preemptions: no work for the model
      scheduler_.commit(std::move(*reservation), {});
      continue;
    }
    const BatchInputs* before = in_flight_.empty() ? nullptr : in_flight_.back().batch.get();
    BatchInputs inputs = build_batch(
        reservation->plan(), parts_.scheduler.block_size, before, [this](sched::SequenceId id) {
          OpenRequest& open = *open_.at(id);
          return BatchSource{scheduler_.find(id), &open.request.prompt, &open.sampler};
        });
    encoder_cache_.place(inputs.media);  // every rank runs this step, so what it says comes true
    std::promise<std::vector<SampleSpec>> late;
    if (!inputs.late.empty()) inputs.late_samples = late.get_future().share();
    auto batch = std::make_shared<const BatchInputs>(std::move(inputs));
    in_flight_.push_back({std::move(*reservation), batch, std::move(late), Clock::now()});
    start_on_ranks(std::move(batch));
  }
}

void EngineLoop::note_admissions(const sched::StepPlan& plan) {
  for (const sched::SequenceId id : plan.preempted) ++open_.at(id)->stats.preemptions;
  for (const sched::Admission& admission : plan.admissions) {
    OpenRequest& open = *open_.at(admission.sequence);
    if (open.admitted) continue;  // it comes back; what it computed before counts already
    open.admitted = true;
    const auto& in_queue = open.request.queue_deadline;
    if (in_queue && in_queue != open.request.deadline) {
      deadlines_.erase({*in_queue, admission.sequence});
    }
    open.stats.scheduled = Clock::now();
    open.stats.cached_tokens = scheduler_.find(admission.sequence)->hit_tokens;
    counters_.prompt_tokens += open.stats.prompt_tokens;
    counters_.cached_tokens += open.stats.cached_tokens;
    open.place = {};
    ++admitted_open_;
  }
}

void EngineLoop::log_progress(const sched::StepPlan& plan) {
  constexpr auto kEvery = std::chrono::seconds(5);
  const auto now = Clock::now();
  if (now < next_progress_) return;
  next_progress_ = now + kEvery;
  for (const sched::PlanRow& row : plan.rows) {
    const OpenRequest& open = *open_.at(row.sequence);
    const auto length = static_cast<int32_t>(open.request.prompt->tokens.size());
    if (row.end() >= length || now - open.stats.scheduled < kEvery) continue;
    log::info("request {}: {} of the prompt's {} tokens are computed", open.request.id,
              row.first_token, length);
    return;
  }
}

void EngineLoop::start_on_ranks(std::shared_ptr<const BatchInputs> batch) {
  // With one step in flight only rank 0 draws; with two, every rank needs the tokens for the next
  // step, and draws the same ones.
  const bool all_sample = parts_.config.steps_in_flight > 1;
  for (size_t index = 0; index < parts_.ranks.size(); ++index) {
    const bool leads = index == 0;
    parts_.ranks[index]->post([this, batch, leads, all_sample, index](RankWorker::Rank& rank) {
      if (!rank.runner) return;  // it failed in the step before
      try {
        auto samples = rank.runner->start(*batch, leads || all_sample);
        if (leads) report(std::move(samples));
      } catch (const std::exception& e) {
        rank.runner.reset();
        inbox_.push(Fault{static_cast<int>(index), e.what()});
      }
    });
  }
}

void EngineLoop::report(std::shared_ptr<ops::PendingSamples> samples) {
  if (samples->immediate()) {
    finish_step(*samples);
  } else {
    pending_.push(std::move(samples));
  }
}

void EngineLoop::finish_step(ops::PendingSamples& samples) {
  std::vector<ops::SampleResult> results = samples.wait();
  // A rank that gave up sends on what means nothing, so rank 0's results need all the ranks.
  for (const auto& rank : parts_.ranks) rank->check_collectives();
  inbox_.push(StepDone{std::move(results)});
}

void EngineLoop::wait_for_device() {
  set_thread_name("ernie-wait");
  while (auto samples = pending_.pop()) {
    try {
      finish_step(**samples);
    } catch (const std::exception& e) {
      inbox_.push(Fault{0, e.what()});
    }
  }
}

void EngineLoop::tell_end(RequestHandle handle, OpenRequest& open, FinishReason reason,
                          const std::optional<Error>& error) {
  open.stats.finished = Clock::now();
  events_.push_back({open.request.sink, EventDispatcher::Finish{reason, open.stats, error}});
  for (const auto& limit : {open.request.deadline, open.request.queue_deadline}) {
    if (limit) deadlines_.erase({*limit, handle});
  }
}

void EngineLoop::finish(RequestHandle handle, FinishReason reason,
                        const std::optional<Error>& error) {
  const auto it = open_.find(handle);
  tell_end(handle, *it->second, reason, error);
  if (it->second->admitted) --admitted_open_;
  open_.erase(it);
}

void EngineLoop::end_early(RequestHandle handle, FinishReason reason,
                           const std::optional<Error>& error) {
  if (scheduler_.find(handle)) scheduler_.remove(handle);
  finish(handle, reason, error);
}

void EngineLoop::end_all() {
  while (!open_.empty()) end_early(open_.begin()->first, FinishReason::kCancelled);
}

void EngineLoop::publish_stats() {
  if (!healthy_) {
    counters_.running = counters_.waiting = 0;
    std::lock_guard lock(mutex_);
    shared_stats_ = counters_;
    return;
  }
  counters_.running = scheduler_.running();
  counters_.waiting = admitted_open_ - counters_.running;
  counters_.total_blocks = parts_.scheduler.num_blocks;
  counters_.free_blocks = scheduler_.blocks().pool().free_count();
  counters_.available_blocks = scheduler_.blocks().available();
  counters_.preemptions = scheduler_.preemptions();
  counters_.encoder_cache_queries = encoder_cache_.queries();
  counters_.encoder_cache_hits = encoder_cache_.hits();
  std::lock_guard lock(mutex_);
  shared_stats_ = counters_;
}

}  // namespace ernie::engine
