#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <set>
#include <thread>
#include <unordered_map>
#include <variant>

#include "base/fair_limiter.h"
#include "base/thread_pool.h"
#include "engine/batch_inputs.h"
#include "engine/encoder_cache.h"
#include "engine/event_dispatcher.h"
#include "engine/prompt_scores.h"
#include "engine/rank_worker.h"
#include "sched/scheduler.h"

namespace ernie::engine {

// The engine at run time: one thread that owns the scheduler and all open requests, fed by one
// queue of messages. It sleeps until a message comes or a deadline passes.
class EngineLoop : public Engine {
 public:
  struct Parts {
    model::ModelConfig model_config;
    EngineConfig config;
    model::StepLimits limits;
    sched::SchedulerConfig scheduler;
    MemoryReport memory;
    ops::SamplerLimits sampler_limits;
    std::vector<std::unique_ptr<RankWorker>> ranks;
  };
  explicit EngineLoop(Parts parts);
  ~EngineLoop() override;

  Result<RequestHandle> submit(GenerationRequest request) override;
  void cancel(RequestHandle handle) override;
  void cancel_all() override;
  bool drain(std::chrono::milliseconds limit) override;
  EngineStats stats() const override;
  const MemoryReport& memory() const override { return parts_.memory; }
  const EngineConfig& config() const override { return parts_.config; }
  ops::SamplerLimits sampler_limits() const override { return parts_.sampler_limits; }

 private:
  struct OpenRequest {
    GenerationRequest request;
    RequestStats stats;
    SequenceSampler sampler;
    PromptScores scores;
    FairLimiter::Share place;  // in the queue, until it is admitted by the scheduler
    bool admitted = false;
  };
  struct Submit {
    RequestHandle handle = 0;
    std::unique_ptr<OpenRequest> request;
  };
  struct Cancel {
    RequestHandle handle = 0;
  };
  struct Decoded {
    RequestHandle handle = 0;
    std::shared_ptr<const model::Prompt> prompt;
  };
  struct CancelAll {};
  struct StepDone {
    std::vector<ops::SampleResult> samples;
  };
  struct Fault {
    int rank = 0;
    std::string what;
  };
  struct Stop {};
  using Message = std::variant<Submit, Cancel, Decoded, CancelAll, StepDone, Fault, Stop>;
  struct StepInFlight {
    sched::Reservation reservation;
    std::shared_ptr<const BatchInputs> batch;
    std::promise<std::vector<SampleSpec>> late_samples;
    Clock::time_point launched;
  };

  void note_delivered();   // on the output thread
  void wait_for_device();  // on the waiter's thread

  // Everything below runs on the engine thread.
  void run();
  void run_round();
  // Ends all requests with this error and tells the process, which must end: neither device nor
  // scheduler are used again.
  void give_up(const std::string& reason, const char* code);
  void wait_and_handle();
  void handle(Submit& message);
  void handle(Cancel& message);
  void handle(Decoded& message);
  void handle(CancelAll& message);
  void handle(StepDone& message);
  void handle(Fault& message);
  void handle(Stop& message);
  void schedule(RequestHandle handle, OpenRequest& open);
  // Whether steps from token `first` on need pixels that the prompt lacks.
  bool lacks_pixels(const OpenRequest& open, int32_t first) const;
  // Takes the request out of all steps until they are there.
  void ask_for_pixels(RequestHandle handle, OpenRequest& open);
  // Does so for those of the plan that lack any. True: there were some, so it must be planned anew.
  bool hold_back(const sched::StepPlan& plan);
  void expire_deadlines();
  void watch_ranks();
  void launch_steps();
  void note_admissions(const sched::StepPlan& plan);
  // Logs every few seconds how far a prompt is that takes long.
  void log_progress(const sched::StepPlan& plan);
  void start_on_ranks(std::shared_ptr<const BatchInputs> batch);
  // On the lead rank's thread: brings the draws to the inbox when the device is done.
  void report(std::shared_ptr<ops::PendingSamples> samples);
  void finish_step(ops::PendingSamples& samples);  // there, or on the waiter's thread
  // Tells the ranks how to draw what depends on the step that has just been committed. A mask of a
  // grammar may take a fifth of a millisecond, so that one thread would hold up a step of many.
  void say_late_samples(StepInFlight& step);
  // `samples` are the row's own draws.
  sched::RowResult take_samples(OpenRequest& open, const sched::PlanRow& row,
                                std::span<ops::SampleResult> samples);
  sched::RowResult take_sample(OpenRequest& open, RequestHandle handle, ops::SampleResult& sample);
  sched::RowResult fail_row(RequestHandle handle, Error error);
  // The last event of a request.
  void tell_end(RequestHandle handle, OpenRequest& open, FinishReason reason,
                const std::optional<Error>& error);
  // Closes a request with it; the step's commit ends its sequence.
  void finish(RequestHandle handle, FinishReason reason, const std::optional<Error>& error = {});
  // The same, and takes its sequence out of the scheduler.
  void end_early(RequestHandle handle, FinishReason reason, const std::optional<Error>& error = {});
  void end_all();  // as cancelled
  void publish_stats();

  Parts parts_;
  sched::Scheduler scheduler_;
  EncoderCache encoder_cache_;
  std::unordered_map<RequestHandle, std::unique_ptr<OpenRequest>> open_;
  std::set<std::pair<Clock::time_point, RequestHandle>> deadlines_;
  std::deque<StepInFlight> in_flight_;
  ThreadPool late_pool_;
  EventDispatcher::Batch events_;  // of the current round
  EngineStats counters_;
  int admitted_open_ = 0;
  bool stopping_ = false;
  bool gave_up_ = false;             // and the process was told
  Clock::time_point next_watch_;     // while a step is in flight
  Clock::time_point watched_since_;  // what was before counts for no limit
  Clock::time_point next_progress_;

  // Shared with callers.
  std::atomic<RequestHandle> next_handle_{1};
  std::atomic<bool> healthy_{true};
  std::atomic<bool> draining_{false};
  const std::shared_ptr<FairLimiter> queue_;
  mutable std::mutex mutex_;
  std::condition_variable all_delivered_;
  int undelivered_ = 0;       // requests whose sink waits for on_finish; under mutex_
  EngineStats shared_stats_;  // under mutex_

  Queue<Message> inbox_;
  Queue<std::shared_ptr<ops::PendingSamples>> pending_;  // steps the device has not finished
  std::thread waiter_;                                   // waits for them, in their order
  EventDispatcher dispatcher_;
  std::thread thread_;
};

}  // namespace ernie::engine
