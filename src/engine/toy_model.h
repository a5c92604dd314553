#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <thread>

#include "base/check.h"
#include "base/content_key.h"
#include "base/hash.h"
#include "engine/model_source.h"

// A model and a device for tests of the engine. The model keeps in each cache slot a record of what
// was written there (token, position, picture) and reads every record of the context back through
// the block table; the next token follows from all of them and their order. So a wrong slot, block
// table, position, context length, picture or stale block changes the tokens that come out.
namespace ernie::engine::toy {

constexpr int kVocab = 64;
constexpr int kFeatures = 4;
constexpr int kRecordWords = 4;  // head_dim in float32

inline model::ModelConfig config(bool with_vision = true) {
  model::ModelConfig c;
  c.architecture = "Toy";
  c.hidden_size = c.head_dim = kRecordWords;
  c.num_layers = c.num_heads = c.num_kv_heads = 1;
  c.vocab_size = kVocab;
  if (with_vision) c.vision = model::VisionConfig{};
  return c;
}

// What a test may do to the device while it runs.
struct Controls {
  std::atomic<int> step_delay_us{0};
  std::atomic<int> fail_on_rank{-1};   // its next forward() throws
  std::atomic<int> hang_on_rank{-1};   // its forward() does not return while this is so
  std::atomic<int32_t> nan_after{-1};  // logits are NaN after this token
  std::atomic<uint64_t> forwards{0};   // on rank 0
  std::atomic<uint64_t> tokens{0};     // computed on rank 0
  std::atomic<int> encoded{0};         // pictures, by rank 0
  std::atomic<int> max_tokens_in_step{0};
};

inline uint64_t mix(std::initializer_list<uint64_t> words) {
  return hash_bytes(words.begin(), words.size() * sizeof(uint64_t)).low;
}

// What encoding a picture gives for one of its tokens.
inline uint64_t feature_of(const ContentKey& unit, int32_t index) {
  return mix({unit.words[0], unit.words[1], static_cast<uint32_t>(index)});
}

// The record of one token: its id, place and picture (0: none).
inline uint64_t record(int32_t token, const std::array<int32_t, 3>& position, bool is_vision,
                       uint64_t feature) {
  return mix({static_cast<uint32_t>(token), static_cast<uint32_t>(position[0]),
              static_cast<uint32_t>(position[1]), static_cast<uint32_t>(position[2]), is_vision,
              feature});
}

// Small integers, so that float sums over ranks are exact.
inline std::array<float, kFeatures> features_of(uint64_t record, int32_t index) {
  std::array<float, kFeatures> f;
  for (int i = 0; i < kFeatures; ++i) {
    f[i] = static_cast<float>(mix({record, static_cast<uint32_t>(index), uint64_t(i)}) % 4096);
  }
  return f;
}

inline float logit(const float* features, int32_t token) {
  uint64_t words[kFeatures + 1] = {static_cast<uint32_t>(token)};
  for (int i = 0; i < kFeatures; ++i) words[i + 1] = static_cast<uint64_t>(features[i]);
  return static_cast<float>(hash_bytes(words, sizeof(words)).low % 100000) / 10000.0f;
}

class Model : public model::Model {
 public:
  Model(Communicator& comm, std::shared_ptr<Controls> controls)
      : config_(toy::config()), comm_(comm), controls_(std::move(controls)) {}

  const model::ModelConfig& config() const override { return config_; }
  size_t weight_bytes() const override { return 1000; }
  size_t workspace_bytes() const override { return 1000; }
  TensorView encode(const model::MediaUnit&) override { return {}; }

  void forward(const model::ModelInput& in, const model::KvCache& cache,
               TensorView logits) override {
    CHECK(in.num_tokens > 0, "a step without tokens reached the model");
    if (comm_.rank() == 0 && in.slots.as<int32_t>()[0] >= 0) {  // not while warming up
      ++controls_->forwards;
      controls_->tokens += in.num_tokens;
      controls_->max_tokens_in_step = std::max(controls_->max_tokens_in_step.load(), in.num_tokens);
    }
    if (const int us = controls_->step_delay_us) {
      std::this_thread::sleep_for(std::chrono::microseconds(us));
    }
    if (controls_->fail_on_rank == comm_.rank()) throw std::runtime_error("the device is on fire");
    while (controls_->hang_on_rank == comm_.rank()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    write(in, cache[0]);
    const auto* wanted = in.logits_rows.as<int32_t>();
    for (int m = 0; m < in.num_logits; ++m) {
      std::array<float, kFeatures> sums = read_context(in, cache[0], wanted[m]);
      comm_.all_reduce_sum({sums.data(), DType::kF32, {1, kFeatures}});
      const bool nan = in.token_ids.as<int32_t>()[wanted[m]] == controls_->nan_after;
      const int columns = kVocab / comm_.size();
      std::vector<float> part(columns);
      for (int i = 0; i < columns; ++i) {
        part[i] = nan ? std::numeric_limits<float>::quiet_NaN()
                      : logit(sums.data(), comm_.rank() * columns + i);
      }
      comm_.all_gather_columns({part.data(), DType::kF32, {1, columns}},
                               {logits.as<float>() + m * kVocab, DType::kF32, {1, kVocab}});
    }
  }

 private:
  void write(const model::ModelInput& in, const ops::KvLayer& kv) {
    const auto* ids = in.token_ids.as<int32_t>();
    const auto* positions = in.positions.as<int32_t>();
    const std::vector<uint64_t> features = features_by_row(in);
    for (int t = 0; t < in.num_tokens; ++t) {
      const uint64_t r =
          record(ids[t], {positions[3 * t], positions[3 * t + 1], positions[3 * t + 2]},
                 in.is_vision.as<uint8_t>()[t] != 0, features[t]);
      const int32_t at = in.slots.as<int32_t>()[t];
      if (at >= 0) std::memcpy(slot(kv, at), &r, sizeof(r));
    }
  }

  // Takes features from the encoder cache, or makes them and puts them there.
  std::vector<uint64_t> features_by_row(const model::ModelInput& in) {
    std::vector<uint64_t> rows(in.num_tokens, 0);
    for (const auto& m : in.media) {
      std::vector<uint64_t> unit(m.unit->length);
      const auto kept = [&](int32_t i) {
        return in.encoder_cache.slice_rows(m.cache_row + i, 1).data;
      };
      if (!m.encoded && comm_.rank() == 0) ++controls_->encoded;
      for (int32_t i = 0; i < m.unit->length; ++i) {
        if (m.encoded) {
          std::memcpy(&unit[i], kept(i), sizeof(unit[i]));
          continue;
        }
        CHECK(!m.unit->patches->pixels.empty(), "a picture without pixels is encoded");
        unit[i] = feature_of(m.unit->hash, i);
        if (m.cache_row >= 0) std::memcpy(kept(i), &unit[i], sizeof(unit[i]));
      }
      std::copy_n(unit.begin() + m.first_feature, m.count, rows.begin() + m.first_row);
    }
    return rows;
  }

  // This rank's share of the sum over the context of the query in `row`.
  std::array<float, kFeatures> read_context(const model::ModelInput& in, const ops::KvLayer& kv,
                                            int32_t row) {
    const auto* starts = in.attention.query_start.as<int32_t>();
    int seq = 0;
    while (starts[seq + 1] <= row) ++seq;
    const int32_t context =
        in.attention.context_len.as<int32_t>()[seq] - (starts[seq + 1] - 1 - row);
    const int64_t max_blocks = in.attention.block_tables.shape[1];
    const auto* table = in.attention.block_tables.as<int32_t>() + seq * max_blocks;
    std::array<float, kFeatures> sums{};
    for (int32_t i = comm_.rank(); i < context; i += comm_.size()) {
      uint64_t r = 0;
      std::memcpy(&r,
                  slot(kv, table[i / kv.layout.block_size] * kv.layout.block_size +
                               i % kv.layout.block_size),
                  sizeof(r));
      const auto f = features_of(r, i);
      for (int k = 0; k < kFeatures; ++k) sums[k] += f[k];
    }
    return sums;
  }

  static float* slot(const ops::KvLayer& kv, int32_t slot) {
    return kv.keys.as<float>() + static_cast<int64_t>(slot) * kRecordWords;
  }

  const model::ModelConfig config_;
  Communicator& comm_;
  const std::shared_ptr<Controls> controls_;
};

// Host memory and a sampler; its operators are never called.
class Backend : public ops::Backend {
 public:
  explicit Backend(size_t free_bytes) : free_bytes_(free_bytes) {}
  std::string name() const override { return "toy"; }
  Buffer allocate(size_t bytes) override {
    return {std::calloc(std::max<size_t>(bytes, 1), 1), bytes, [](void* p) { std::free(p); }};
  }
  void copy_to_device(void* to, const void* from, size_t bytes) override {
    std::memcpy(to, from, bytes);
  }
  void copy_to_host(void* to, const void* from, size_t bytes) override {
    std::memcpy(to, from, bytes);
  }
  void synchronize() override {}
  MemoryInfo memory_info() override { return {free_bytes_, free_bytes_}; }

  void prepare_draw(std::span<const ops::SampleRow> rows) override { rows_ = rows; }
  void draw(TensorView logits, TensorView tokens) override {
    drawn_.clear();
    for (size_t i = 0; i < rows_.size(); ++i) {
      drawn_.push_back(sample_row({logits.as<float>() + i * kVocab, kVocab}, rows_[i]));
      tokens.as<int32_t>()[i] = drawn_.back().token;
    }
  }
  std::shared_ptr<ops::PendingSamples> finish_step(int rows) override {
    drawn_.resize(rows);
    return std::make_shared<ops::ReadySamples>(drawn_);
  }

  // A graph of host code is the code itself.
  bool has_graphs() const override { return true; }
  std::unique_ptr<ops::Graph> capture(const std::function<void()>& issue) override {
    struct Replay final : ops::Graph {
      explicit Replay(std::function<void()> f) : issue(std::move(f)) {}
      void replay() override { issue(); }
      std::function<void()> issue;
    };
    return std::make_unique<Replay>(issue);
  }

  static ops::SampleResult sample_row(std::span<const float> raw, const ops::SampleRow& row) {
    ops::SampleResult result;
    if (std::isnan(raw[0])) return {.numeric_fault = true};
    std::vector<float> logits(raw.begin(), raw.end());
    const ops::SamplingOptions& o = row.options;
    for (const auto& [token, bias] : row.biases) logits[token] += bias;
    for (const auto& [token, in_output] : row.counts) {
      logits[token] /= o.repetition_penalty;
      if (in_output == 0) continue;
      logits[token] -= o.frequency_penalty * static_cast<float>(in_output) + o.presence_penalty;
    }
    for (const int32_t token : row.banned_tokens) logits[token] = -1e30f;
    for (int32_t v = 0; v < kVocab && !row.allowed.empty(); ++v) {
      if ((row.allowed[v / 32] >> (v % 32) & 1) == 0) logits[v] = -1e30f;
    }
    for (int32_t v = 0; v < kVocab; ++v) {
      const double uniform = (mix({o.seed, row.position, uint64_t(v)}) >> 11) * 0x1.0p-53;
      if (o.temperature > 1e-6f) {
        logits[v] = logits[v] / o.temperature - static_cast<float>(std::log(-std::log(uniform)));
      }
    }
    result.token = static_cast<int32_t>(std::ranges::max_element(logits) - logits.begin());
    if (row.forced_token >= 0) result.token = row.forced_token;
    result.logprob = raw[result.token];
    if (row.forced_token >= 0) {
      const auto larger = [&](float v) { return v > result.logprob; };
      result.rank = static_cast<int32_t>(std::ranges::count_if(raw, larger)) + 1;
    }
    return result;
  }

  const ops::Sizing& sizing() const override { return sizing_; }
  std::unique_ptr<Weight> pack_stacked(std::span<const HostMatrix>, const ops::PackSpec&) override {
    return unused();
  }
  std::unique_ptr<Weight> pack_quantized(std::span<const QuantizedHostMatrix>,
                                         const ops::PackSpec&) override {
    return unused();
  }

 private:
  void do_resolve_tokens(const ops::ResolveTokensArgs& a) override {
    for (int64_t i = 0; i < a.ids.shape.elements(); ++i) {
      const int32_t source = a.sources.as<int32_t>()[i];
      if (source >= 0) a.ids.as<int32_t>()[i] = a.drawn.as<int32_t>()[source];
    }
  }
  void do_embed(const ops::EmbedArgs&) override { unused(); }
  void do_linear(const ops::LinearArgs&) override { unused(); }
  void do_rms_norm(const ops::RmsNormArgs&) override { unused(); }
  void do_residual_rms_norm(const ops::ResidualRmsNormArgs&) override { unused(); }
  void do_layer_norm(const ops::LayerNormArgs&) override { unused(); }
  void do_add(const ops::AddArgs&) override { unused(); }
  void do_cast(const ops::CastArgs&) override { unused(); }
  void do_swiglu(const ops::SwiGluArgs&) override { unused(); }
  void do_rope_kv_write(const ops::RopeKvWriteArgs&) override { unused(); }
  void do_paged_attention(const ops::PagedAttentionArgs&) override { unused(); }
  void do_moe_route(const ops::MoeRouteArgs&) override { unused(); }
  void do_moe_experts(const ops::MoeExpertsArgs&) override { unused(); }
  void do_vision_rope(const ops::VisionRopeArgs&) override { unused(); }
  void do_vision_attention(const ops::VisionAttentionArgs&) override { unused(); }
  void do_normalize_patches(const ops::NormalizePatchesArgs&) override { unused(); }
  void do_gather_rows(const ops::GatherRowsArgs&) override { unused(); }

  static std::nullptr_t unused() { throw std::logic_error("the toy model uses no operators"); }
  struct NoSizes final : ops::Sizing {
    size_t packed_bytes(int64_t, int64_t, const ops::PackSpec&) const override { return 0; }
    size_t work_bytes(const ops::WorkShape&) const override { return 0; }
    ops::SamplerLimits sampler_limits() const override { return {20, 1024, 4096}; }
  };
  const NoSizes sizing_;
  const size_t free_bytes_;
  std::span<const ops::SampleRow> rows_;
  std::vector<ops::SampleResult> drawn_;
};

}  // namespace ernie::engine::toy
