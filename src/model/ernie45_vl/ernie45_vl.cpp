#include "model/ernie45_vl/ernie45_vl.h"

#include <numeric>
#include <optional>
#include <span>
#include <utility>

#include "base/check.h"
#include "model/ernie45_vl/decoder.h"
#include "model/ernie45_vl/vision_encoder.h"

namespace ernie::model::ernie45_vl {
namespace {

struct AllWeights {
  DecoderWeights decoder;
  std::optional<VisionTowerWeights> tower;
  std::optional<ResamplerWeights> resampler;
};

ModelConfig served(const ModelConfig& config, const LoadOptions& options) {
  return options.text_only ? without_vision(config) : config;
}

AllWeights load_all(const ModelConfig& config, const Shard& shard, const LoadOptions& options,
                    WeightLoader& loader) {
  AllWeights weights;
  weights.decoder = load_decoder(config, shard, options.activation,
                                 options.quantization.value_or(config.quantization), loader);
  if (config.vision) {
    weights.tower = load_vision_tower(*config.vision, options.activation, loader);
    weights.resampler = load_resampler(config, options.activation, loader);
  }
  return weights;
}

struct AllBuffers {
  DecoderBuffers decoder;
  std::optional<VisionBuffers> vision;
  // Only with a vision tower.
  TensorView row_numbers;        // [tokens] int32: 0, 1, 2, ...
  TensorView received_features;  // [tokens, hidden] T, from another rank; empty with one rank
};

AllBuffers take_all(const ModelConfig& config, const Shard& shard, const LoadOptions& options,
                    DeviceArena& arena) {
  AllBuffers buffers;
  buffers.decoder = take_decoder_buffers(config, shard, options.activation, options.limits, arena);
  if (config.vision) {
    buffers.vision = take_vision_buffers(config, options.activation, options.limits, arena);
    const int tokens = options.limits.max_media_patches / 4;
    buffers.row_numbers = arena.take(DType::kI32, {tokens});
    buffers.received_features =
        arena.take(options.activation, {shard.size > 1 ? tokens : 0, config.hidden_size});
  }
  return buffers;
}

class Ernie45Vl : public Model {
 public:
  Ernie45Vl(const ModelConfig& config, const LoadOptions& options, WeightSource& source,
            ops::Backend& backend, Communicator& comm)
      : config_(served(config, options)),
        shard_{comm.rank(), comm.size()},
        backend_(backend),
        comm_(comm),
        small_weights_(&backend),
        workspace_(&backend) {
    PackingLoader loader({source, backend, backend, small_weights_, progress(options)});
    AllWeights weights = load_all(config_, shard_, options, loader);
    if (options.text_only) {
      SkippingLoader rest(source);
      load_all(config, shard_, options, rest);
    }
    source.finish();
    weight_bytes_ = loader.bytes();
    AllBuffers buffers = take_all(config_, shard_, options, workspace_);
    decoder_.emplace(Decoder::Args{config_, shard_, options.activation, std::move(weights.decoder),
                                   buffers.decoder, backend, comm});
    if (!config_.vision) return;
    vision_.emplace(VisionEncoder::Args{config_, std::move(*weights.tower),
                                        std::move(*weights.resampler), *buffers.vision, backend,
                                        backend});
    received_features_ = buffers.received_features;
    row_numbers_ = buffers.row_numbers;
    std::vector<int32_t> numbers(static_cast<size_t>(row_numbers_.shape.elements()));
    std::iota(numbers.begin(), numbers.end(), 0);
    backend_.copy_to_device(row_numbers_.data, numbers.data(), row_numbers_.bytes());
  }

  const ModelConfig& config() const override { return config_; }

  void forward(const ModelInput& input, const KvCache& cache, TensorView logits) override {
    const TensorView embeddings = decoder_->embed(input);
    place_media(input, embeddings);
    decoder_->run(input, cache, logits);
  }

  TensorView encode(const MediaUnit& unit) override {
    CHECK(vision_.has_value(), "a text model got an image");
    return vision_->encode(*unit.patches);
  }

  size_t weight_bytes() const override { return weight_bytes_; }
  size_t workspace_bytes() const override { return workspace_.bytes(); }

 private:
  // Of the units that are not in the cache, rank r encodes the r-th of at most as many as there are
  // ranks; all get all features.
  void place_media(const ModelInput& input, TensorView embeddings) {
    const std::span<const ModelInput::Media> media = input.media;
    TensorView own;
    int root = shard_.size;  // whose unit is the next; none is left
    for (size_t i = 0; i < media.size(); ++i) {
      const ModelInput::Media& m = media[i];
      CHECK(m.count > 0 && m.first_feature + m.count <= m.unit->length,
            "media rows outside their unit");
      TensorView kept;
      if (m.cache_row >= 0) kept = input.encoder_cache.slice_rows(m.cache_row, m.unit->length);
      if (m.encoded) {
        copy_rows(kept, m.first_feature, embeddings.slice_rows(m.first_row, m.count));
        continue;
      }
      if (root == shard_.size) {
        own = encode_own(media.subspan(i));
        root = 0;
      }
      const TensorView features =
          root == shard_.rank ? own : received_features_.slice_rows(0, m.unit->length);
      if (shard_.size > 1) comm_.broadcast(features, root);
      ++root;
      if (m.cache_row >= 0) copy_rows(features, 0, kept);
      copy_rows(features, m.first_feature, embeddings.slice_rows(m.first_row, m.count));
    }
  }

  // Encodes this rank's unit among those that come next, if there are so many.
  TensorView encode_own(std::span<const ModelInput::Media> next) {
    int rank = 0;
    for (const ModelInput::Media& m : next) {
      if (!m.encoded && rank++ == shard_.rank) return encode(*m.unit);
    }
    return {};
  }

  void copy_rows(TensorView from, int32_t first, TensorView to) {
    backend_.gather_rows(
        {from, {row_numbers_.as<int32_t>() + first, DType::kI32, {to.rows()}}, to});
  }

  std::function<void(size_t)> progress(const LoadOptions& options) const {
    if (!options.progress || shard_.rank != 0) return {};
    const size_t total = plan(config_, options, shard_, &backend_.sizing()).weight_bytes;
    options.progress(0, total);
    return [report = options.progress, total, done = size_t{0}](size_t bytes) mutable {
      done += bytes;
      report(done, total);
    };
  }

  const ModelConfig config_;
  const Shard shard_;
  ops::Backend& backend_;
  Communicator& comm_;
  DeviceArena small_weights_;
  DeviceArena workspace_;
  size_t weight_bytes_ = 0;
  std::optional<Decoder> decoder_;
  std::optional<VisionEncoder> vision_;
  TensorView row_numbers_;
  TensorView received_features_;
};

}  // namespace

std::unique_ptr<Model> build(const ModelConfig& config, const LoadOptions& options,
                             WeightSource& source, ops::Backend& backend, Communicator& comm) {
  return std::make_unique<Ernie45Vl>(config, options, source, backend, comm);
}

void load_weights(const ModelConfig& config, const LoadOptions& options, const Shard& shard,
                  WeightLoader& loader) {
  load_all(served(config, options), shard, options, loader);
}

Needs plan(const ModelConfig& config, const LoadOptions& options, const Shard& shard,
           const ops::Sizing* sizing) {
  const ModelConfig all = served(config, options);
  PlanningLoader loader(all, sizing);
  load_all(all, shard, options, loader);
  DeviceArena workspace(nullptr);
  take_all(all, shard, options, workspace);
  return {loader.bytes(), workspace.bytes(), loader.elements()};
}

}  // namespace ernie::model::ernie45_vl
