// Models with quantised weights against the same models with the values that these stand for.

#include <gtest/gtest.h>

#include <cstring>
#include <thread>

#include "golden_run.h"
#include "model/ernie45_vl/ernie45_vl.h"
#include "test_device.h"
#include "tests/ops/quantized_reference.h"

namespace ernie {
namespace {

using namespace golden;  // NOLINT(google-build-using-namespace)

// Another source's tensors, the decoder's matrices replaced by the values of their quantised form.
class DequantizedSource final : public model::WeightSource {
 public:
  DequantizedSource(model::WeightSource& source, const model::ModelConfig& config,
                    const model::Quantization& quantization)
      : source_(source), config_(config), quantization_(quantization) {}

  std::string describe() const override { return source_.describe(); }
  bool has(const model::TensorSpec& spec) const override { return source_.has(spec); }
  HostMatrix map(const model::TensorSpec&, const model::Slice&) override { return {}; }
  void read(const model::TensorSpec& spec, const model::Slice& slice, DType dtype,
            void* out) override {
    const auto format = format_of(spec);
    if (!format) return source_.read(spec, slice, dtype, out);
    CHECK(dtype == DType::kF32, "the dequantised values are read as float32");
    std::vector<float> values(static_cast<size_t>(spec.rows * spec.cols));
    source_.read(spec, model::whole(spec), DType::kF32, values.data());
    values = op_tests::dequantized(std::move(values), spec.rows, spec.cols, *format);
    for (int64_t r = 0; r < slice.rows; ++r) {
      std::memcpy(static_cast<float*>(out) + r * slice.cols,
                  values.data() + (slice.row + r) * spec.cols + slice.col,
                  static_cast<size_t>(slice.cols) * sizeof(float));
    }
  }
  void release(const model::TensorSpec& spec) override { source_.release(spec); }
  void finish() override { source_.finish(); }

 private:
  std::optional<WeightFormat> format_of(const model::TensorSpec& spec) const {
    if (spec.role != model::TensorRole::kLinear || !spec.name.starts_with("model.layers.")) {
      return {};
    }
    const size_t at = spec.name.find(".experts.");
    if (at == std::string::npos) return quantization_.dense;
    const int expert = std::stoi(spec.name.substr(at + std::strlen(".experts.")));
    return expert < config_.moe->text.num_experts ? quantization_.text_experts
                                                  : quantization_.vision_experts;
  }

  model::WeightSource& source_;
  const model::ModelConfig& config_;
  const model::Quantization& quantization_;
};

struct Quantized {
  const char* checkpoint;
  const char* quantization;
};

class QuantizedGolden : public ::testing::TestWithParam<Quantized> {
 protected:
  QuantizedGolden() {
    cases_ = golden::load_cases(GetParam().checkpoint);
    std::erase_if(cases_, [](const Case& c) { return c.input_ids.size() > 150; });
    if (cases_.size() > 4) cases_.resize(4);
    for (Case& c : cases_) c.greedy_ids.resize(std::min<size_t>(c.greedy_ids.size(), 4));
  }

  // Outcomes of rank 0.
  std::vector<Outcome> run(int ranks, bool dequantized) const {
    const golden::TestRanks devices = golden::make_test_ranks(ranks);
    auto comms = devices.make_communicators(ranks);
    std::vector<Outcome> outcomes;
    std::vector<std::jthread> threads;
    for (int r = 0; r < ranks; ++r) {
      threads.emplace_back([&, r] {
        const auto backend = devices.make_backend(r);
        const model::Quantization quantization =
            *model::parse_quantization(GetParam().quantization);
        Loaded loaded(GetParam().checkpoint, DType::kF32, *backend, *comms[r],
                      [&](const model::ModelConfig& config, model::LoadOptions options,
                          model::WeightSource& source) {
                        if (!dequantized) options.quantization = quantization;
                        DequantizedSource values(source, config, quantization);
                        return model::ernie45_vl::build(
                            config, options,
                            dequantized ? static_cast<model::WeightSource&>(values) : source,
                            *backend, *comms[r]);
                      });
        for (const Case& c : cases_) {
          Outcome outcome = loaded.run(c);
          if (r == 0) outcomes.push_back(std::move(outcome));
        }
      });
    }
    threads.clear();
    return outcomes;
  }

  std::vector<Case> cases_;
};

TEST_P(QuantizedGolden, Float32LogitsEqualThoseOfTheDequantisedValues) {
  const std::vector<Outcome> quantized = run(1, false), values = run(1, true);
  float worst = 0;
  for (size_t i = 0; i < cases_.size(); ++i) {
    worst = std::max(worst, max_difference(quantized[i].prompt_logits, values[i].prompt_logits));
    for (size_t s = 0; s < values[i].step_logits.size(); ++s) {
      worst =
          std::max(worst, max_difference(quantized[i].step_logits[s], values[i].step_logits[s]));
    }
  }
  EXPECT_LE(worst, 1e-3f);
  std::printf("%s, %s: float32 max |difference| %.2e\n", GetParam().checkpoint,
              GetParam().quantization, static_cast<double>(worst));
}

// Scales are taken over whole rows, so that a shard has the values of the whole.
TEST_P(QuantizedGolden, TwoRanksHaveTheLogitsOfOne) {
  if (!golden::has_devices_for(2)) GTEST_SKIP() << "needs 2 GPUs";
  const bool cuts_groups =
      std::string_view(GetParam().quantization).find("-g") != std::string::npos;
  if (cuts_groups || std::string_view(GetParam().checkpoint) == "tiny-b") {
    GTEST_SKIP() << "two ranks would cut groups or heads";
  }
  const std::vector<Outcome> two = run(2, false), one = run(1, false);
  for (size_t i = 0; i < cases_.size(); ++i) {
    EXPECT_LE(max_difference(two[i].prompt_logits, one[i].prompt_logits), 1e-4f) << cases_[i].name;
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, QuantizedGolden,
                         ::testing::Values(Quantized{"tiny-a", "wint8"},
                                           Quantized{"tiny-a", "wint4"},
                                           Quantized{"tiny-b", "wint4"},
                                           Quantized{"tiny-moe-text", "wint4-g32"},
                                           Quantized{"tiny-text", "wint8"}));

}  // namespace
}  // namespace ernie
