#include "model_costs.h"

#include <gtest/gtest.h>

namespace ernie::app {
namespace {

const model::ModelConfig k424b = *model::builtin_config("ERNIE-4.5-VL-424B-A47B");
constexpr WeightWidths kBF16{2, 2, 2};
constexpr WeightWidths kWInt8{1, 1, 2};
constexpr WeightWidths kWInt4{1, 0.5, 2};  // int4 experts, int8 dense, bfloat16 head

double weight_gb(const WeightWidths& widths, int batch, int ranks = 1) {
  return text_step_cost(k424b, widths, 2, ranks, batch, 1, 0).weight_bytes * 1e-9;
}

// Without these the floors that figures are held against could drift from the arithmetic done by
// hand: 35.9e9 weights of hit experts, 8.15e9 of attention, 2.1e9 of dense layers, 0.85e9 of head.
TEST(ModelCosts, AQuantisedWeightTakesItsBitsAndItsShareOfAScale) {
  EXPECT_EQ(weight_width({WeightType::kF32}), 4);
  EXPECT_EQ(weight_width({WeightType::kBF16}), 2);
  EXPECT_EQ(weight_width({WeightType::kInt8}), 1);
  EXPECT_EQ(weight_width({WeightType::kInt4, 64}), 0.5 + 2.0 / 64);
}

TEST(ModelCosts, WeightsReadByADecodeStepOf424B) {
  EXPECT_NEAR(weight_gb(kBF16, 1), 94.2, 0.05);
  EXPECT_NEAR(weight_gb(kBF16, 8), 399.8, 0.05);
  EXPECT_NEAR(weight_gb(kBF16, 64), 597.2, 0.05);
  EXPECT_NEAR(weight_gb(kWInt8, 1), 48.0, 0.05);
  EXPECT_NEAR(weight_gb(kWInt8, 64), 299.5, 0.1);
  EXPECT_NEAR(weight_gb(kWInt4, 1), 30.0, 0.1);
  EXPECT_NEAR(weight_gb(kWInt4, 64), 155.8, 0.1);
}

TEST(ModelCosts, RanksShareAllButRouters) {
  const double routers = 51 * 64 * 8192 * 4 * 1e-9;
  EXPECT_NEAR(8 * (weight_gb(kBF16, 64, 8) - routers) + routers, weight_gb(kBF16, 64), 1e-6);
}

TEST(ModelCosts, KeysAndValuesOf424B) {
  const StepCost one = text_step_cost(k424b, kBF16, 2, 1, 1, 1, 1);
  EXPECT_EQ(one.kv_bytes, 221184);
  EXPECT_EQ(text_step_cost(k424b, kBF16, 2, 8, 4, 1, 1000).kv_bytes, 4 * 1000 * 221184 / 8);
  // More ranks than heads: each rank keeps a whole head.
  EXPECT_EQ(text_step_cost(k424b, kBF16, 2, 16, 1, 1, 1).kv_bytes, 221184 / 8);
}

TEST(ModelCosts, FlopsOf424B) {
  const double head = 2.0 * k424b.vocab_size * k424b.hidden_size;
  const auto per_token = [&](int tokens) {
    return (text_step_cost(k424b, kBF16, 2, 1, 1, tokens, 0).flops - head) / tokens * 1e-9;
  };
  EXPECT_NEAR(per_token(1), 92.4, 0.1);
  EXPECT_NEAR(per_token(4096) - per_token(1), 3.6, 0.05);  // causal attention
}

// The tower alone takes 11.4 TFLOP for a picture of 5328 patches.
TEST(ModelCosts, FlopsOfAPicture) {
  model::ModelConfig no_decoder = k424b;
  no_decoder.num_layers = 0;
  EXPECT_NEAR(image_cost(no_decoder, kBF16, 1, 5328).flops * 1e-12, 11.4 + 0.37, 0.1);
  EXPECT_GT(image_cost(k424b, kBF16, 1, 5328).flops,
            image_cost(k424b, kBF16, 8, 5328).flops);  // ranks share the decoder
}

TEST(ModelCosts, ExpertsHitByABatch) {
  EXPECT_NEAR(expected_experts(64, 8, 1), 8.0, 1e-9);
  EXPECT_NEAR(expected_experts(64, 8, 8), 42.0, 0.05);
  EXPECT_NEAR(expected_experts(64, 8, 1000), 64.0, 1e-9);
  EXPECT_EQ(expected_experts(0, 0, 8), 0);
}

// A dense model reads the same weights at every batch.
TEST(ModelCosts, DenseModel) {
  const model::ModelConfig dense = *model::builtin_config("ERNIE-4.5-0.3B");
  const auto bytes = [&](int batch) {
    return text_step_cost(dense, kBF16, 2, 1, batch, 1, 0).weight_bytes;
  };
  EXPECT_EQ(bytes(1), bytes(64));
  EXPECT_NEAR(bytes(1) * 1e-9, 2 * 0.361, 0.01);
}

}  // namespace
}  // namespace ernie::app
