#include "model/ernie45_vl/weight_parts.h"

#include <memory>
#include <span>
#include <string>

#include "model/ernie45_vl/ernie45_vl.h"
#include "model/weight_loader.h"

namespace ernie::model::ernie45_vl {
namespace {

bool contains(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

// Vision experts are numbered behind the text experts.
WeightPart expert_part(const std::string& name, const ModelConfig& config) {
  const std::string prefix = ".experts.";
  const int expert = std::stoi(name.substr(name.find(prefix) + prefix.size()));
  return expert < config.moe->text.num_experts ? WeightPart::kTextExperts
                                               : WeightPart::kVisionExperts;
}

WeightPart part_of(const std::string& name, const ModelConfig& config) {
  if (name.starts_with("vision_model.") || contains(name, ".resampler_model.")) {
    return WeightPart::kVision;
  }
  if (contains(name, "embed_tokens.") || name.starts_with("lm_head.")) {
    return WeightPart::kEmbeddings;
  }
  if (contains(name, ".self_attn.")) return WeightPart::kAttention;
  if (contains(name, ".shared_experts.")) return WeightPart::kSharedExperts;
  if (contains(name, ".experts.")) return expert_part(name, config);
  return contains(name, "_proj.") ? WeightPart::kDenseMlp : WeightPart::kNormsAndRouters;
}

class PartsLoader : public PlanningLoader {
 public:
  PartsLoader(const ModelConfig& config, const ops::Sizing& sizing)
      : PlanningLoader(config, &sizing), config_(config) {}

  std::unique_ptr<Weight> matrix(std::span<const MatrixPart> parts, WeightFormat format,
                                 ops::MatrixUse use) override {
    PlanningLoader::matrix(parts, format, use);
    count(parts[0].tensor.name);
    return nullptr;
  }
  TensorView tensor(const TensorSpec& spec, DType dtype) override {
    const TensorView view = PlanningLoader::tensor(spec, dtype);
    count(spec.name);
    return view;
  }

  const PartSizes& sizes() const { return sizes_; }

 private:
  // What was added last is of this tensor.
  void count(const std::string& name) {
    PartSize& part = sizes_[static_cast<size_t>(part_of(name, config_))];
    part.bytes += bytes() - counted_.bytes;
    part.parameters += elements() - counted_.parameters;
    counted_ = {elements(), bytes()};
  }

  const ModelConfig& config_;
  PartSizes sizes_;
  PartSize counted_;
};

}  // namespace

PartSizes count_parts(const ModelConfig& config, const LoadOptions& options, const Shard& shard,
                      const ops::Sizing& sizing) {
  PartsLoader loader(config, sizing);
  load_weights(config, options, shard, loader);
  return loader.sizes();
}

}  // namespace ernie::model::ernie45_vl
