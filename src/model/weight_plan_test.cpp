// What the weights of the public models take of devices that cut them out of slabs, for every
// number of ranks: by arithmetic alone, no memory is touched.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

#include "model/ernie45_vl/decoder_weights.h"
#include "model/ernie45_vl/vision_weights.h"
#include "model/model.h"
#include "model/tensor_parallel.h"
#include "model/weight_loader.h"
#include "tensor/slab_arena.h"

namespace ernie::model {
namespace {

// Cuts every matrix out of slabs that have no memory, in the order of loading. Small tensors count
// as they are.
class SlabLoader : public WeightLoader {
 public:
  explicit SlabLoader(bool tied) : tied_(tied) {}

  bool has(const TensorSpec& spec) const override {
    return !(tied_ && spec.name == "lm_head.weight");
  }
  std::unique_ptr<Weight> matrix(std::span<const MatrixPart> parts, WeightFormat,
                                 ops::MatrixUse) override {
    int64_t elements = 0;
    for (const MatrixPart& part : parts) elements += part.slice.rows * part.slice.cols;
    const size_t bytes = static_cast<size_t>(elements) * dtype_bytes(DType::kBF16);
    elements_ += elements;
    planned_ += SlabArena::piece_bytes(bytes);
    pieces_.push_back(arena_.take(bytes));
    return nullptr;
  }
  std::unique_ptr<ExpertSet> experts(ExpertWeights) override { return nullptr; }
  TensorView tensor(const TensorSpec& spec, DType dtype) override {
    const int64_t elements = spec.rows * spec.cols;
    elements_ += elements;
    planned_ += static_cast<size_t>(elements) * dtype_bytes(dtype);
    taken_ += static_cast<size_t>(elements) * dtype_bytes(dtype);
    return {};
  }

  int64_t elements() const { return elements_; }
  size_t planned() const { return planned_; }
  size_t taken() const { return taken_; }
  size_t matrices() const { return pieces_.size(); }
  int allocations() const { return allocations_; }

 private:
  bool tied_;
  int64_t elements_ = 0;
  size_t planned_ = 0;
  size_t taken_ = 0;
  int allocations_ = 0;
  SlabArena arena_{[this](size_t bytes) {
    taken_ += bytes;
    ++allocations_;
    return Buffer(nullptr, bytes, [](void*) {});
  }};
  std::vector<std::shared_ptr<void>> pieces_;
};

class WeightPlan : public ::testing::TestWithParam<const char*> {};

TEST_P(WeightPlan, IsWithinTwoPercentOfWhatIsTakenAndOfTheParameters) {
  const ModelConfig config = *builtin_config(GetParam());
  for (const int ranks : {1, 2, 4, 8}) {
    SCOPED_TRACE(ranks);
    if (!check_tensor_parallel(config, ranks)) continue;
    SlabLoader loader(config.tie_word_embeddings);
    const Shard shard{0, ranks};
    ernie45_vl::load_decoder(config, shard, DType::kBF16, {}, loader);
    if (config.vision) {
      ernie45_vl::load_vision_tower(*config.vision, DType::kBF16, loader);
      ernie45_vl::load_resampler(config, DType::kBF16, loader);
    }
    const double parameters = 2.0 * static_cast<double>(loader.elements());
    const auto planned = static_cast<double>(loader.planned());
    const auto taken = static_cast<double>(loader.taken());
    EXPECT_NEAR(planned / parameters, 1.0, 0.005);
    EXPECT_GE(taken, planned);
    EXPECT_LT(taken, std::max(1.02 * planned, planned + (32 << 20)));
    std::printf(
        "%-24s %d ranks: parameters x 2 %8.3f GB, plan %8.3f, taken %8.3f (%.2f %% more), %zu "
        "matrices in %d slabs\n",
        GetParam(), ranks, parameters * 1e-9, planned * 1e-9, taken * 1e-9,
        (taken / planned - 1) * 100, loader.matrices(), loader.allocations());
  }
}

INSTANTIATE_TEST_SUITE_P(PublicModels, WeightPlan,
                         ::testing::Values("ERNIE-4.5-0.3B", "ERNIE-4.5-21B-A3B",
                                           "ERNIE-4.5-VL-28B-A3B", "ERNIE-4.5-300B-A47B",
                                           "ERNIE-4.5-VL-424B-A47B"));

}  // namespace
}  // namespace ernie::model
