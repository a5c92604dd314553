#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "golden_files.h"
#include "model/model.h"
#include "model/processor.h"
#include "model/prompt_builder.h"
#include "model/testing/decoded_media.h"
#include "model/testing/prompt_runner.h"
#include "model/weight_source.h"
#include "text/tokenizer.h"

// Runs the cases of the golden files through the model alone.
namespace ernie::golden {

constexpr int kMaxTokens = 1024;

// A prompt straight from the golden ids and positions, so that this file tests the model alone.
inline model::Prompt prompt_of(const Case& c, const model::ModelConfig& config,
                               const std::shared_ptr<const text::Tokenizer>& tokenizer) {
  model::Prompt prompt;
  prompt.tokens = c.input_ids;
  prompt.positions = c.positions;
  prompt.is_vision = c.is_vision;
  prompt.next_position = c.next_position;
  size_t at = 0;
  for (const golden::MediaCase& m : c.media) {
    const auto processor = model::Processor::create(config, tokenizer, m.limits);
    const auto prepared = model::testing::prepare(**processor, m.is_video, m.frames);
    if (!prepared) throw std::runtime_error(prepared.error().message);
    for (const auto& unit : prepared->units) {
      while (prompt.tokens[at] != config.image_token_id) ++at;
      prompt.media.push_back({.begin = static_cast<int32_t>(at),
                              .length = unit->tokens(),
                              .is_video = m.is_video,
                              .patches = unit});
      at += static_cast<size_t>(unit->tokens());
    }
  }
  return prompt;
}

// What one case gives: logits of every prompt token, then of each golden greedy token fed back.
struct Outcome {
  std::vector<float> prompt_logits;
  std::vector<std::vector<float>> step_logits;
};

class Loaded {
 public:
  // Makes a model of the checkpoint's tensors in a way of its own.
  using Build = std::function<std::unique_ptr<model::Model>(
      const model::ModelConfig&, model::LoadOptions, model::WeightSource&)>;

  Loaded(const std::string& checkpoint, DType dtype, ops::Backend& backend, Communicator& comm,
         const Build& build = {})
      : folder_(golden::folder_of(checkpoint)),
        dtype_(dtype),
        backend_(backend),
        config_(*model::load_config(folder_)),
        ranks_(comm.size()) {
    tokenizer_ = std::make_shared<const text::Tokenizer>(*text::Tokenizer::load(folder_));
    if (config_.vision && config_.image_token_id < 0) {
      config_.image_token_id = *tokenizer_->id_of("<|IMAGE_PLACEHOLDER|>");
    }
    model::LoadOptions options;
    options.activation = dtype;
    options.limits = {kMaxTokens, kMaxTokens, 4 * kMaxTokens};
    if (build) {
      const auto source = model::open_checkpoint_source(config_, folder_);
      model_ = build(config_, options, *source);
    } else {
      model_ = model::load_model(config_, folder_, options, backend, comm);
    }
  }

  const model::ModelConfig& config() const { return config_; }
  model::Model& model() { return *model_; }
  model::Prompt prompt(const Case& c) const { return prompt_of(c, config_, tokenizer_); }

  Outcome run(const Case& c, std::optional<KvType> kv_cache = {}) {
    model::testing::PromptRunner runner({.model = *model_,
                                         .backend = backend_,
                                         .tensor_parallel_size = ranks_,
                                         .dtype = dtype_,
                                         .max_tokens = kMaxTokens,
                                         .kv_cache = kv_cache});
    Outcome outcome;
    outcome.prompt_logits = runner.run(prompt(c));
    for (size_t i = 0; i + 1 < c.greedy_ids.size(); ++i) {
      outcome.step_logits.push_back(
          runner.decode(c.greedy_ids[i], c.next_position + static_cast<int32_t>(i)));
    }
    return outcome;
  }

 private:
  std::string folder_;
  DType dtype_;
  ops::Backend& backend_;
  model::ModelConfig config_;
  int ranks_;
  std::shared_ptr<const text::Tokenizer> tokenizer_;
  std::unique_ptr<model::Model> model_;
};

inline int32_t best(std::span<const float> logits) {
  return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

inline float margin(std::span<const float> logits) {
  const int32_t top = best(logits);
  float second = -INFINITY;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (static_cast<int32_t>(i) != top) second = std::max(second, logits[i]);
  }
  return logits[top] - second;
}

inline float max_difference(std::span<const float> a, std::span<const float> b) {
  float worst = a.size() == b.size() ? 0.0f : INFINITY;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    const float difference = std::abs(a[i] - b[i]);
    if (!(difference <= worst)) worst = difference;
  }
  return worst;
}

// The rows of `logits` that a golden array holds.
inline std::vector<float> picked_rows(const std::vector<float>& logits, const Case& c, int vocab) {
  std::vector<float> rows;
  for (const int32_t position : c.logit_positions) {
    const auto row = logits.begin() + static_cast<long>(position) * vocab;
    rows.insert(rows.end(), row, row + vocab);
  }
  return rows;
}

// The token chosen at greedy step i.
inline int32_t greedy_choice(const Outcome& outcome, size_t i, int vocab) {
  if (i > 0) return best(outcome.step_logits[i - 1]);
  return best(std::span(outcome.prompt_logits).last(static_cast<size_t>(vocab)));
}

}  // namespace ernie::golden
