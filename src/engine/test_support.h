#pragma once

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <numeric>
#include <string>
#include <vector>

#include "engine/toy_model.h"

// Requests, sinks and engines for tests over the toy model.
namespace ernie::engine::toy {

struct Answer {
  std::vector<PromptToken> prompt;
  std::vector<int32_t> tokens;
  std::vector<float> logprobs;
  FinishReason reason = FinishReason::kStop;
  RequestStats stats;
  std::optional<Error> error;
};

// Collects what a request produces; wait() returns it when the request has ended.
class Collector : public EventSink {
 public:
  void on_prompt(const PromptEvent& event) override {
    std::lock_guard lock(mutex_);
    CHECK(!finished_ && answer_.tokens.empty(), "a token of the prompt after the answer began");
    answer_.prompt.insert(answer_.prompt.end(), event.tokens.begin(), event.tokens.end());
  }
  void on_token(const TokenEvent& event) override {
    std::lock_guard lock(mutex_);
    CHECK(!finished_, "a token after the end");
    answer_.tokens.push_back(event.token);
    answer_.logprobs.push_back(event.logprob);
    changed_.notify_all();
  }
  void on_finish(FinishReason reason, const RequestStats& stats,
                 const std::optional<Error>& error) override {
    std::lock_guard lock(mutex_);
    CHECK(!finished_, "two ends");
    CHECK(error.has_value() == (reason == FinishReason::kError), "error and reason disagree");
    answer_.reason = reason;
    answer_.stats = stats;
    answer_.error = error;
    finished_ = true;
    changed_.notify_all();
  }
  Answer wait() {
    std::unique_lock lock(mutex_);
    CHECK(changed_.wait_for(lock, std::chrono::seconds(60), [&] { return finished_; }),
          "a request did not end within 60 s");
    return answer_;
  }
  void wait_for_tokens(size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return finished_ || answer_.tokens.size() >= count; });
  }
  bool finished() {
    std::lock_guard lock(mutex_);
    return finished_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  Answer answer_;
  bool finished_ = false;
};

struct Unit {
  int begin = 0;
  int length = 0;
  uint64_t content = 1;
};

// Token ids, with picture placeholders (7) where `units` say; three-axis positions as pictures
// have.
inline std::shared_ptr<const model::Prompt> prompt(std::vector<int32_t> tokens,
                                                   const std::vector<Unit>& units = {}) {
  auto p = std::make_shared<model::Prompt>();
  p->tokens = std::move(tokens);
  p->is_vision.assign(p->tokens.size(), 0);
  int32_t next = 0;  // a picture takes three positions, however many tokens it has
  auto unit = units.begin();
  for (int32_t i = 0; i < static_cast<int32_t>(p->tokens.size()); ++i) {
    if (unit == units.end() || i < unit->begin) {
      p->positions.push_back({next, next, next});
      ++next;
      continue;
    }
    const int32_t offset = i - unit->begin;
    p->tokens[i] = 7;
    p->is_vision[i] = 1;
    p->positions.push_back({next, next + offset / 2, next + offset % 2});
    if (offset + 1 < unit->length) continue;
    auto grid = std::make_shared<model::PatchGrid>();
    grid->height = 2;
    grid->width = 2 * unit->length;
    grid->pixels = {1};
    p->media.push_back({.begin = unit->begin,
                        .length = unit->length,
                        .hash = ContentKey{unit->content, 5},
                        .patches = std::move(grid)});
    next += 3;
    ++unit;
  }
  p->next_position = next;
  return p;
}

inline std::vector<int32_t> counting(int n, int first = 1) {
  std::vector<int32_t> tokens(n);
  for (int i = 0; i < n; ++i) tokens[i] = (first + i) % kVocab;
  return tokens;
}

// The greedy answer, computed without an engine.
inline std::vector<int32_t> expected(const model::Prompt& p, int max_tokens,
                                     const std::vector<int32_t>& stops = {}) {
  std::array<float, kFeatures> sums{};
  int32_t index = 0;
  const auto feed = [&](uint64_t r) {
    const auto f = features_of(r, index++);
    for (int k = 0; k < kFeatures; ++k) sums[k] += f[k];
  };
  for (size_t i = 0; i < p.tokens.size(); ++i) {
    uint64_t feature = 0;
    for (const auto& u : p.media) {
      const int32_t offset = static_cast<int32_t>(i) - u.begin;
      if (offset >= 0 && offset < u.length) feature = feature_of(u.hash, offset);
    }
    feed(record(p.tokens[i], p.positions[i], p.is_vision[i] != 0, feature));
  }
  std::vector<int32_t> out;
  for (int n = 0; n < max_tokens; ++n) {
    int32_t best = 0;
    for (int32_t v = 1; v < kVocab; ++v) {
      if (logit(sums.data(), v) > logit(sums.data(), best)) best = v;
    }
    out.push_back(best);
    if (std::ranges::find(stops, best) != stops.end()) break;
    const int32_t at = p.next_position + n;
    feed(record(best, {at, at, at}, false, 0));
  }
  return out;
}

// What a prompt's tokens are worth: the logit of each, none of the first and of placeholders.
inline std::vector<std::optional<float>> expected_scores(const model::Prompt& p) {
  std::vector<std::optional<float>> scores(p.tokens.size());
  std::array<float, kFeatures> sums{};
  for (size_t i = 0; i < p.tokens.size(); ++i) {
    if (i > 0 && p.is_vision[i] == 0) scores[i] = logit(sums.data(), p.tokens[i]);
    uint64_t feature = 0;
    for (const auto& u : p.media) {
      const int32_t offset = static_cast<int32_t>(i) - u.begin;
      if (offset >= 0 && offset < u.length) feature = feature_of(u.hash, offset);
    }
    const uint64_t r = record(p.tokens[i], p.positions[i], p.is_vision[i] != 0, feature);
    const auto f = features_of(r, static_cast<int32_t>(i));
    for (int k = 0; k < kFeatures; ++k) sums[k] += f[k];
  }
  return scores;
}

// Every token of the prompt once, in order, with its score.
inline void expect_scores(const Answer& answer, const model::Prompt& p) {
  std::vector<int32_t> tokens;
  std::vector<std::optional<float>> scores;
  for (const PromptToken& entry : answer.prompt) {
    tokens.push_back(entry.token);
    scores.push_back(entry.logprob);
    CHECK(entry.logprob.has_value() == (entry.rank > 0), "a rank goes with its log-probability");
  }
  EXPECT_EQ(tokens, p.tokens);
  EXPECT_EQ(scores, expected_scores(p));
}

inline SamplingParams scoring(SamplingParams params, int alternatives = 0) {
  params.prompt_logprobs = alternatives;
  return params;
}

inline SamplingParams greedy(int max_tokens, std::vector<int32_t> stops = {}) {
  SamplingParams params;
  params.options.temperature = 0;
  params.max_tokens = max_tokens;
  params.stop_token_ids = std::move(stops);
  return params;
}

inline EngineConfig small_config() {
  EngineConfig c;
  c.dtype = DType::kF32;
  c.max_model_len = 256;
  c.max_num_seqs = 16;
  c.max_num_batched_tokens = 64;
  c.block_size = 8;
  c.num_gpu_blocks_override = 256;
  c.max_media_tokens = 64;
  return c;
}

// An engine over the toy model whose books are checked after every step.
class ToyEngine {
 public:
  explicit ToyEngine(EngineConfig config) {
    config.check_invariants = true;
    const auto controls = controls_;
    engine_ = start_engine(
        toy::config(), config, [](int) { return std::make_unique<Backend>(size_t{1} << 30); },
        {.plan =
             [](const model::LoadOptions&, const ops::Sizing&) {
               return model::MemoryNeeds{1000, 1000};
             },
         .load = [controls](
                     const model::LoadOptions&, ops::Backend&,
                     Communicator& comm) { return std::make_unique<Model>(comm, controls); }});
  }
  Engine* operator->() { return engine_.get(); }
  Controls& controls() { return *controls_; }
  void stop() { engine_.reset(); }

  struct Running {
    RequestHandle handle = 0;
    std::shared_ptr<Collector> sink;
    Answer wait() const { return sink->wait(); }
  };
  Result<RequestHandle> try_submit(std::shared_ptr<const model::Prompt> prompt,
                                   SamplingParams params, std::shared_ptr<EventSink> sink,
                                   std::optional<Clock::time_point> deadline = {},
                                   ClientId client = 0) {
    return engine_->submit({.id = "id",
                            .prompt = std::move(prompt),
                            .sampling = std::move(params),
                            .client = client,
                            .deadline = deadline,
                            .sink = std::move(sink)});
  }
  Running submit(std::shared_ptr<const model::Prompt> prompt, SamplingParams params,
                 std::optional<Clock::time_point> deadline = {}) {
    auto sink = std::make_shared<Collector>();
    const auto handle = try_submit(std::move(prompt), std::move(params), sink, deadline);
    CHECK(handle.ok(), handle.ok() ? "" : handle.error().message);
    return {*handle, sink};
  }
  Answer run(std::shared_ptr<const model::Prompt> prompt, SamplingParams params) {
    return submit(std::move(prompt), std::move(params)).wait();
  }

 private:
  std::shared_ptr<Controls> controls_ = std::make_shared<Controls>();
  std::unique_ptr<Engine> engine_;
};

}  // namespace ernie::engine::toy
