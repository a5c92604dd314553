#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "model/ernie45_vl/ernie45_vl.h"
#include "model/testing/checkpoint_writer.h"
#include "model/testing/prompt_runner.h"
#include "model/weight_source.h"

namespace ernie::model::testing {

// A vision-language model of a few thousand parameters with every part: a dense layer, an MoE
// layer with vision and shared experts, a tower and a resampler. No two of its sizes that could be
// mixed up are equal.
inline ModelConfig tiny_config() {
  ModelConfig config;
  config.hidden_size = 24;
  config.num_layers = 2;
  config.num_heads = 4;
  config.num_kv_heads = 2;
  config.head_dim = 16;
  config.intermediate_size = 40;
  config.vocab_size = 50;
  config.rope_t_pairs = 2;
  config.image_token_id = 49;
  config.moe = MoeConfig{.text = {4, 12},
                         .vision = {4, 8},
                         .top_k = 2,
                         .num_shared_experts = 2,
                         .first_layer = 1,
                         .last_layer = 1};
  config.vision =
      VisionConfig{.depth = 1, .hidden_size = 16, .num_heads = 2, .intermediate_size = 28};
  return config;
}

inline LoadOptions tiny_options() {
  LoadOptions options;
  options.activation = DType::kF32;
  options.limits = {.max_tokens = 64, .max_seqs = 64, .max_media_patches = 64};
  return options;
}

// Two words, an image of 2 x 3 tokens, two words.
inline Prompt tiny_prompt() {
  auto grid = std::make_shared<PatchGrid>();
  grid->height = 4;
  grid->width = 6;
  for (int i = 0; i < 24 * 588; ++i) grid->pixels.push_back(static_cast<uint8_t>(i * 37 + i / 91));
  Prompt prompt;
  prompt.tokens = {3, 9, 49, 49, 49, 49, 49, 49, 7, 8};
  prompt.is_vision = {0, 0, 1, 1, 1, 1, 1, 1, 0, 0};
  prompt.positions = {{0, 0, 0}, {1, 1, 1}, {2, 2, 2}, {2, 2, 3}, {2, 2, 4},
                      {2, 3, 2}, {2, 3, 3}, {2, 3, 4}, {5, 5, 5}, {6, 6, 6}};
  prompt.next_position = 7;
  prompt.media.push_back({.begin = 2, .length = 6, .patches = std::move(grid)});
  return prompt;
}

// The logits of tiny_prompt() with weights from this source, in float32 on one rank.
inline std::vector<float> tiny_logits(const ModelConfig& config, WeightSource& source,
                                      ops::Backend& backend) {
  const auto comm = make_single_communicator();
  const auto model = ernie45_vl::build(config, tiny_options(), source, backend, *comm);
  return PromptRunner({*model, backend}).run(tiny_prompt());
}

// Passes everything on to another source and keeps a list of what was asked for.
class RecordingSource : public WeightSource {
 public:
  explicit RecordingSource(WeightSource& source) : source_(source) {}
  std::string describe() const override { return source_.describe(); }
  bool has(const TensorSpec& spec) const override { return source_.has(spec); }
  HostMatrix map(const TensorSpec& spec, const Slice& slice) override {
    return source_.map(spec, slice);
  }
  void read(const TensorSpec& spec, const Slice& slice, DType dtype, void* out) override {
    if (names_.insert(spec.name).second) specs_.push_back(spec);
    source_.read(spec, slice, dtype, out);
  }
  void release(const TensorSpec& spec) override { source_.release(spec); }
  void finish() override { source_.finish(); }
  const std::vector<TensorSpec>& specs() const { return specs_; }

 private:
  WeightSource& source_;
  std::set<std::string> names_;
  std::vector<TensorSpec> specs_;
};

// The dummy weights of a configuration as a -PT checkpoint would hold them, rounded to bfloat16
// where `type` says so.
inline TensorMap tiny_pt_tensors(const ModelConfig& config, ops::Backend& backend,
                                 uint64_t seed = 1, const std::string& type = "BF16") {
  const auto dummy = make_dummy_source(config, seed);
  RecordingSource recording(*dummy);
  tiny_logits(config, recording, backend);
  TensorMap tensors;
  for (const TensorSpec& spec : recording.specs()) {
    std::vector<float> values(static_cast<size_t>(spec.rows * spec.cols));
    dummy->read(spec, whole(spec), DType::kF32, values.data());
    NamedTensor tensor{{spec.rows, spec.cols}, values, type};
    if (spec.role == TensorRole::kVector) tensor.shape = {spec.cols};
    if (spec.role == TensorRole::kExpertBias || spec.role == TensorRole::kRouter) {
      tensor.type = "F32";
    }
    tensors[spec.name] = std::move(tensor);
  }
  return tensors;
}

inline NamedTensor transposed(const NamedTensor& tensor) {
  NamedTensor out{{tensor.shape[1], tensor.shape[0]}, tensor.values, tensor.type};
  for (int64_t r = 0; r < tensor.shape[0]; ++r) {
    for (int64_t c = 0; c < tensor.shape[1]; ++c) {
      out.values[c * tensor.shape[0] + r] = tensor.values[r * tensor.shape[1] + c];
    }
  }
  return out;
}

// Rows of b under those of a.
inline NamedTensor stacked(NamedTensor a, const NamedTensor& b) {
  a.shape[0] += b.shape[0];
  a.values.insert(a.values.end(), b.values.begin(), b.values.end());
  return a;
}

}  // namespace ernie::model::testing
