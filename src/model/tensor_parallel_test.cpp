#include "model/tensor_parallel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backend/cpu/cpu_backend.h"
#include "model/model.h"

namespace ernie::model {
namespace {

using ::testing::HasSubstr;

TEST(TensorParallel, SizesMustDivide) {
  const ModelConfig vl28 = *builtin_config("ERNIE-4.5-VL-28B-A3B");
  for (const int size : {1, 2, 4}) EXPECT_TRUE(check_tensor_parallel(vl28, size).ok()) << size;
  EXPECT_THAT(check_tensor_parallel(vl28, 8).error().message,
              ::testing::AllOf(HasSubstr("attention heads (20)"), HasSubstr("found 8")));
  EXPECT_FALSE(check_tensor_parallel(vl28, 0).ok());
  EXPECT_FALSE(check_tensor_parallel(vl28, 5).ok());  // 4 key/value heads
  const ModelConfig vl424 = *builtin_config("ERNIE-4.5-VL-424B-A47B");
  for (const int size : {8, 16}) EXPECT_TRUE(check_tensor_parallel(vl424, size).ok()) << size;
}

TEST(TensorParallel, RanksCoverAllRowsAndShareKvHeads) {
  ModelConfig config = *builtin_config("ERNIE-4.5-0.3B");  // 16 heads, 2 key/value heads
  EXPECT_EQ(kv_heads_per_rank(config, 1), 2);
  EXPECT_EQ(kv_heads_per_rank(config, 8), 1);
  const TensorSpec k{"k", TensorRole::kLinear, 2 * 128, 1024};
  for (int rank = 0; rank < 8; ++rank) {
    const Slice slice = Shard{rank, 8}.kv_rows(k, config);
    EXPECT_EQ(slice.row, rank / 4 * 128);  // query heads 2 rank and 2 rank + 1 read this one
    EXPECT_EQ(slice.rows, 128);
  }
  const TensorSpec o{"o", TensorRole::kLinear, 1024, 2048};
  EXPECT_EQ((Shard{3, 4}.by_cols(o).col), 1536);
  EXPECT_EQ((Shard{3, 4}.by_rows(o).row), 768);
}

// The totals are those of the public checkpoints' geometries, computed from their shapes.
TEST(Plan, BuiltinGeometriesHaveTheirPublishedSizes) {
  const std::pair<const char*, int64_t> sizes[] = {
      {"ERNIE-4.5-0.3B", 360'748'032},
      {"ERNIE-4.5-21B-A3B", 21'825'437'888},
      {"ERNIE-4.5-300B-A47B", 299'484'163'264},
      {"ERNIE-4.5-VL-28B-A3B", 29'399'294'336},
      {"ERNIE-4.5-VL-424B-A47B", 423'526'285'184},
  };
  ASSERT_EQ(builtin_config_names().size(), std::size(sizes));
  for (const auto& [name, parameters] : sizes) {
    const auto config = builtin_config(name);
    ASSERT_TRUE(config.has_value()) << name;
    EXPECT_EQ(count_parameters(*config), parameters) << name;
  }
  EXPECT_FALSE(builtin_config("ERNIE-5").has_value());
}

TEST(Plan, ShardsOfTheLargestModelAddUp) {
  const ModelConfig config = *builtin_config("ERNIE-4.5-VL-424B-A47B");
  LoadOptions options;
  options.limits = {8192, 64, 4 * 6177};
  const auto one = plan_memory(config, options, 1, cpu::cpu_sizing());
  const auto eight = plan_memory(config, options, 8, cpu::cpu_sizing());
  ASSERT_TRUE(one.ok() && eight.ok());
  const auto kv_bytes_per_token = [&](int ranks) {
    return static_cast<size_t>(config.num_layers) *
           kv_layout(config, KvType::kBF16, ranks, 64).block_bytes() / 64;
  };
  EXPECT_EQ(kv_bytes_per_token(1), 221'184u);
  EXPECT_EQ(kv_bytes_per_token(8), 221'184u / 8);
  EXPECT_NEAR(static_cast<double>(one->weight_bytes), 847.16e9, 4e9);
  EXPECT_NEAR(static_cast<double>(eight->weight_bytes), 100.11 * (1 << 30), 1e9);
  EXPECT_GT(one->workspace_bytes, eight->workspace_bytes);
  EXPECT_FALSE(plan_memory(config, options, 3, cpu::cpu_sizing()).ok());
}

}  // namespace
}  // namespace ernie::model
