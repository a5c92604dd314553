#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <thread>

#include "backend/cpu/cpu_backend.h"
#include "model/testing/tiny_model.h"

namespace ernie::model {
namespace {

using testing::PromptRunner;
using testing::tiny_config;
using testing::tiny_options;
using testing::tiny_prompt;

std::vector<float> values(WeightSource& source, const TensorSpec& spec, const Slice& slice) {
  std::vector<float> out(static_cast<size_t>(slice.rows * slice.cols));
  source.read(spec, slice, DType::kF32, out.data());
  return out;
}

TEST(DummySource, SlicesArePartsOfTheWhole) {
  const auto source = make_dummy_source(tiny_config(), 5);
  const TensorSpec spec{"w", TensorRole::kLinear, 7, 9};
  const std::vector<float> all = values(*source, spec, whole(spec));
  const Slice slice{2, 3, 4, 5};
  const std::vector<float> part = values(*source, spec, slice);
  for (int r = 0; r < 3; ++r) {
    for (int c = 0; c < 5; ++c) EXPECT_EQ(part[r * 5 + c], all[(r + 2) * 9 + c + 4]);
  }
}

TEST(DummySource, SeedAndNameDecideTheValues) {
  const TensorSpec w{"w", TensorRole::kLinear, 4, 64};
  const TensorSpec v{"v", TensorRole::kLinear, 4, 64};
  const auto one = make_dummy_source(tiny_config(), 1);
  const auto again = make_dummy_source(tiny_config(), 1);
  const auto two = make_dummy_source(tiny_config(), 2);
  EXPECT_EQ(values(*one, w, whole(w)), values(*again, w, whole(w)));
  EXPECT_NE(values(*one, w, whole(w)), values(*two, w, whole(w)));
  EXPECT_NE(values(*one, w, whole(w)), values(*one, v, whole(v)));
}

TEST(DummySource, MatricesKeepTheScaleOfTheirInput) {
  const auto source = make_dummy_source(tiny_config(), 3);
  const TensorSpec w{"w", TensorRole::kLinear, 1000, 256};
  double sum = 0;
  double squares = 0;
  for (const float v : values(*source, w, whole(w))) {
    sum += v;
    squares += static_cast<double>(v) * v;
  }
  EXPECT_NEAR(sum / 256000, 0, 0.001);
  EXPECT_NEAR(std::sqrt(squares / 256000), 1.0 / 16, 0.001);
}

// The experts of a large model are chosen about equally often.
TEST(DummySource, RoutingIsRoughlyUniform) {
  constexpr int64_t kHidden = 1024, kExperts = 64, kTokens = 2000;
  constexpr int kTopK = 6;
  const auto source = make_dummy_source(tiny_config(), 3);
  const TensorSpec router{"model.layers.1.mlp.gate.weight", TensorRole::kRouter, kExperts, kHidden};
  const TensorSpec bias{"model.layers.1.mlp.moe_statics.e_score_correction_bias",
                        TensorRole::kExpertBias, 1, kExperts};
  const TensorSpec inputs{"x", TensorRole::kLinear, kTokens, kHidden};
  const std::vector<float> w = values(*source, router, whole(router));
  const std::vector<float> b = values(*source, bias, whole(bias));
  const std::vector<float> x = values(*source, inputs, whole(inputs));
  std::vector<int> chosen(kExperts, 0);
  for (int64_t t = 0; t < kTokens; ++t) {
    std::vector<std::pair<double, int>> scores;
    double sum = 0;
    for (int e = 0; e < kExperts; ++e) {
      double logit = 0;
      for (int64_t h = 0; h < kHidden; ++h) logit += x[t * kHidden + h] * w[e * kHidden + h];
      scores.push_back({std::exp(logit * std::sqrt(kHidden)), e});  // inputs of deviation 1
      sum += scores.back().first;
    }
    for (auto& [score, e] : scores) score = score / sum + b[e];
    std::partial_sort(scores.begin(), scores.begin() + kTopK, scores.end(), std::greater<>());
    for (int k = 0; k < kTopK; ++k) ++chosen[scores[k].second];
  }
  const double even = static_cast<double>(kTokens * kTopK) / kExperts;
  for (int e = 0; e < kExperts; ++e) {
    EXPECT_GT(chosen[e], 0.6 * even) << e;
    EXPECT_LT(chosen[e], 1.4 * even) << e;
  }
}

std::unique_ptr<Model> load_dummy(const ModelConfig& config, ops::Backend& backend,
                                  Communicator& comm) {
  LoadOptions options = tiny_options();
  options.choice = LoadChoice::kDummy;
  return load_model(config, "", options, backend, comm);
}

TEST(DummyModel, TwoRanksGiveTheLogitsOfOne) {
  const ModelConfig config = tiny_config();
  const auto run = [&](int ranks) {
    auto comms = make_local_communicators(ranks);
    std::vector<std::vector<float>> logits(static_cast<size_t>(ranks));
    std::vector<std::jthread> threads;
    for (int r = 0; r < ranks; ++r) {
      threads.emplace_back([&, r] {
        const auto backend = cpu::make_cpu_backend({.threads = 1});
        const auto model = load_dummy(config, *backend, *comms[r]);
        logits[r] = PromptRunner({*model, *backend, ranks}).run(tiny_prompt());
      });
    }
    threads.clear();
    return logits[0];
  };
  const std::vector<float> one = run(1);
  const std::vector<float> two = run(2);
  ASSERT_EQ(one.size(), two.size());
  for (size_t i = 0; i < one.size(); ++i) EXPECT_NEAR(one[i], two[i], 1e-4) << i;
}

TEST(DummyModel, PlanEqualsWhatIsLoadedAndProgressReachesIt) {
  const ModelConfig config = tiny_config();
  const auto backend = cpu::make_cpu_backend({.threads = 1});
  const auto comm = make_single_communicator();
  LoadOptions options = tiny_options();
  options.choice = LoadChoice::kDummy;
  size_t last = 0;
  size_t total = 0;
  bool first = true;
  options.progress = [&](size_t done, size_t all) {
    if (first) {
      EXPECT_EQ(done, 0u) << "the beginning is told too";
    } else {
      EXPECT_GT(done, last);
    }
    first = false;
    last = done;
    total = all;
  };
  const auto planned = plan_memory(config, options, 1, backend->sizing());
  const auto model = load_model(config, "", options, *backend, *comm);
  EXPECT_EQ(model->weight_bytes(), planned->weight_bytes);
  EXPECT_EQ(model->workspace_bytes(), planned->workspace_bytes);
  EXPECT_EQ(last, planned->weight_bytes);
  EXPECT_EQ(total, planned->weight_bytes);
}

// The image must reach the text behind it, and every layer the one before: a model that ignored
// either would still pass the comparisons with itself.
TEST(DummyModel, LogitsDependOnPixelsRoutingAndPositions) {
  const ModelConfig config = tiny_config();
  const auto backend = cpu::make_cpu_backend({.threads = 1});
  const auto comm = make_single_communicator();
  const auto model = load_dummy(config, *backend, *comm);
  const auto run = [&](const Prompt& prompt) {
    return PromptRunner({*model, *backend}).run(prompt);
  };
  const std::vector<float> plain = run(tiny_prompt());
  EXPECT_EQ(plain, run(tiny_prompt()));

  Prompt pixels = tiny_prompt();
  auto grid = std::make_shared<PatchGrid>(*pixels.media[0].patches);
  grid->pixels[1000] ^= 0xff;
  pixels.media[0].patches = grid;
  EXPECT_NE(plain, run(pixels));
  Prompt routing = tiny_prompt();
  routing.is_vision[3] = 0;
  EXPECT_NE(plain, run(routing));
  Prompt positions = tiny_prompt();
  positions.positions[4][2] += 1;
  EXPECT_NE(plain, run(positions));
}

}  // namespace
}  // namespace ernie::model
