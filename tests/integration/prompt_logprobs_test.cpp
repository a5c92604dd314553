// The log-probabilities of a prompt's tokens are those of transformers' logits in float32, and the
// same bits whether a prompt is computed at once, in parts or by two ranks.

#include <gtest/gtest.h>

#include <cmath>
#include <future>

#include "engine/engine.h"
#include "golden/golden_run.h"
#include "golden/test_device.h"

namespace ernie {
namespace {

using Scores = std::vector<engine::PromptToken>;

class Collector : public engine::EventSink {
 public:
  void on_prompt(const engine::PromptEvent& event) override {
    scores_.insert(scores_.end(), event.tokens.begin(), event.tokens.end());
  }
  void on_token(const engine::TokenEvent&) override { ADD_FAILURE() << "nothing is generated"; }
  void on_finish(engine::FinishReason reason, const engine::RequestStats&,
                 const std::optional<Error>& error) override {
    EXPECT_EQ(reason, engine::FinishReason::kLength) << (error ? error->message : "");
    done_.set_value(std::move(scores_));
  }
  Scores wait() { return done_.get_future().get(); }

 private:
  Scores scores_;
  std::promise<Scores> done_;
};

class PromptLogprobs : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    cases_ = golden::load_cases(GetParam());
    const std::string folder = golden::folder_of(GetParam());
    config_ = *model::load_config(folder);
    const auto tokenizer = std::make_shared<const text::Tokenizer>(*text::Tokenizer::load(folder));
    if (config_.vision && config_.image_token_id < 0) {
      config_.image_token_id = *tokenizer->id_of("<|IMAGE_PLACEHOLDER|>");
    }
    for (const golden::Case& c : cases_) {
      prompts_.push_back(
          std::make_shared<const model::Prompt>(golden::prompt_of(c, config_, tokenizer)));
    }
  }

  // Of all prompts, with so many draws in a step.
  std::vector<Scores> score(int draws, int ranks = 1) const {
    engine::EngineConfig c;
    c.model_dir = golden::folder_of(GetParam());
    c.dtype = DType::kF32;
    c.tensor_parallel_size = ranks;
    c.max_model_len = golden::kMaxTokens;
    c.max_num_seqs = draws;
    c.max_num_batched_tokens = 4096;
    c.num_gpu_blocks_override = 64;
    c.max_media_tokens = golden::kMaxTokens;
    c.max_encoder_cache = 0;
    c.enable_prefix_caching = false;
    const golden::TestRanks devices = golden::make_test_ranks(ranks);
    const auto engine =
        engine::Engine::start(config_, c, devices.make_backend, devices.make_communicators);
    std::vector<Scores> all;
    for (const auto& prompt : prompts_) {
      engine::SamplingParams params;
      params.max_tokens = 0;
      params.prompt_logprobs = 2;
      const auto sink = std::make_shared<Collector>();
      const auto handle =
          engine->submit({.id = "t", .prompt = prompt, .sampling = params, .sink = sink});
      EXPECT_TRUE(handle.ok()) << (handle.ok() ? "" : handle.error().message);
      all.push_back(sink->wait());
    }
    return all;
  }

  void expect_same(const std::vector<Scores>& actual, const std::vector<Scores>& expected,
                   float tolerance) const {
    for (size_t i = 0; i < expected.size(); ++i) {
      ASSERT_EQ(actual[i].size(), expected[i].size()) << cases_[i].name;
      for (size_t t = 0; t < expected[i].size(); ++t) {
        ASSERT_EQ(actual[i][t].logprob.has_value(), expected[i][t].logprob.has_value());
        ASSERT_NEAR(actual[i][t].logprob.value_or(0), expected[i][t].logprob.value_or(0), tolerance)
            << cases_[i].name << " token " << t;
      }
    }
  }

  model::ModelConfig config_;
  std::vector<golden::Case> cases_;
  std::vector<std::shared_ptr<const model::Prompt>> prompts_;
};

double log_softmax(std::span<const float> logits, int32_t token) {
  const double most = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float v : logits) sum += std::exp(v - most);
  return logits[static_cast<size_t>(token)] - most - std::log(sum);
}

TEST_P(PromptLogprobs, AreThoseOfTheReference) {
  constexpr float kTolerance = 1e-3f;  // as of the logits
  const auto vocab = static_cast<size_t>(config_.vocab_size);
  const std::vector<Scores> scores = score(256);
  size_t compared = 0;
  for (size_t i = 0; i < cases_.size(); ++i) {
    const golden::Case& c = cases_[i];
    SCOPED_TRACE(c.name);
    const Scores& tokens = scores[i];
    ASSERT_EQ(tokens.size(), c.input_ids.size());
    for (size_t t = 0; t < tokens.size(); ++t) {
      EXPECT_EQ(tokens[t].token, c.input_ids[t]);
      const bool placeholder = config_.vision && c.input_ids[t] == config_.image_token_id;
      EXPECT_EQ(tokens[t].logprob.has_value(), t > 0 && !placeholder) << "token " << t;
      if (!tokens[t].logprob) continue;
      const auto& top = tokens[t].top;
      const bool clear = top.at(0).logprob - top.at(1).logprob > kTolerance;
      EXPECT_TRUE(top[0].token == c.argmax[t - 1] || !clear) << "token " << t;
      EXPECT_TRUE((tokens[t].rank == 1) == (tokens[t].token == top[0].token) || !clear);
    }
    for (size_t row = 0; row < c.logit_positions.size(); ++row) {
      const auto next = static_cast<size_t>(c.logit_positions[row]) + 1;
      if (next >= tokens.size() || !tokens[next].logprob) continue;
      const auto logits = std::span(c.logits_f32).subspan(row * vocab, vocab);
      EXPECT_NEAR(*tokens[next].logprob, log_softmax(logits, c.input_ids[next]), kTolerance)
          << "token " << next;
      ++compared;
    }
  }
  EXPECT_GT(compared, 5 * cases_.size());  // the reference's logits are of some positions
}

// At every position; the model's logits are compared with the reference's on their own.
TEST_P(PromptLogprobs, AreThoseOfTheModelsLogits) {
  const auto backend = golden::make_test_backend(0, 2);
  const auto comm = make_single_communicator();
  golden::Loaded loaded(GetParam(), DType::kF32, *backend, *comm);
  const auto vocab = static_cast<size_t>(config_.vocab_size);
  const std::vector<Scores> scores = score(64);
  for (size_t i = 0; i < cases_.size(); ++i) {
    const std::vector<float> logits = loaded.run(cases_[i]).prompt_logits;
    for (size_t t = 1; t < scores[i].size(); ++t) {
      if (!scores[i][t].logprob) continue;
      const auto row = std::span(logits).subspan((t - 1) * vocab, vocab);
      EXPECT_NEAR(*scores[i][t].logprob, log_softmax(row, cases_[i].input_ids[t]), 1e-4)
          << cases_[i].name << " token " << t;
    }
  }
}

TEST_P(PromptLogprobs, AreTheSameBitsInPartsAndByTwoRanks) {
  // Kernels of GPUs differ with the number of rows, and so do last bits.
  const float tolerance = golden::tests_use_cuda() ? 1e-3f : 0;
  const std::vector<Scores> whole = score(golden::kMaxTokens);
  expect_same(score(5), whole, tolerance);
  if (golden::has_devices_for(2) && model::check_tensor_parallel(config_, 2).ok()) {
    expect_same(score(64, 2), whole, tolerance);
  }
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, PromptLogprobs,
                         ::testing::Values("tiny-a", "tiny-b", "tiny-text", "tiny-moe-text"));

}  // namespace
}  // namespace ernie
