#include "backend/cuda_sizing/cuda_sizing.h"

#include <gtest/gtest.h>

namespace ernie::cuda {
namespace {

constexpr WeightFormat kInt4{WeightType::kInt4};
constexpr WeightFormat kInt8{WeightType::kInt8};

// Values and scales each at a multiple of 256 bytes, rows and columns padded to 64.
TEST(CudaSizing, PackedMatricesHaveTheKernelsLayout) {
  const ops::Sizing& sizing = cuda_sizing();
  EXPECT_EQ(sizing.packed_bytes(100, 100, {unquantized(DType::kBF16)}), 20224u);
  EXPECT_EQ(sizing.packed_bytes(100, 100, {unquantized(DType::kF32)}), 40192u);
  EXPECT_EQ(sizing.packed_bytes(128, 256, {kInt8}), 128u * 256 + 256);
  EXPECT_EQ(sizing.packed_bytes(100, 200, {kInt8}), 128u * 256 + 256);
  EXPECT_EQ(sizing.packed_bytes(128, 256, {kInt4}), 128u * 256 / 2 + 256);
  EXPECT_EQ(sizing.packed_bytes(128, 256, {{WeightType::kInt4, 32}}),
            128u * 256 / 2 + 128u * 8 * 2);
  // Gate rows and up rows are padded on their own, to 32.
  EXPECT_EQ(sizing.packed_bytes(192, 64, {kInt4, ops::MatrixUse::kExpertGateUp}),
            192u * 64 / 2 + 512);
}

ops::WorkShape shape() {
  return {.max_tokens = 8192,
          .max_seqs = 64,
          .max_context = 4096,
          .kv = {KvType::kBF16, 64, 4, 128},
          .vocab = 103424,
          .hidden = 2560,
          .q_heads = 20,
          .top_k = 6,
          .expert_groups = {{64, 1536}, {64, 512}},
          .shared_width = 3072};
}

ops::WorkShape without_experts() {
  ops::WorkShape s = shape();
  s.top_k = 0;
  s.expert_groups.clear();
  s.shared_width = 0;
  return s;
}

TEST(CudaSizing, WorkGrowsWithTheStepAndNoKernelsTakeMoreThanThoseForSm80) {
  const size_t bytes = cuda_sizing(90).work_bytes(shape());
  // The experts' results in float32 and their activations in bfloat16, seven rows a token.
  EXPECT_GT(bytes, size_t{8192} * 7 * (2560 * 4 + 3072 * 2));
  EXPECT_GT(cuda_sizing(80).work_bytes(shape()), bytes);
  ops::WorkShape more = shape();
  more.max_tokens *= 2;
  EXPECT_GT(cuda_sizing(90).work_bytes(more), bytes + bytes / 2);
  EXPECT_LT(cuda_sizing(90).work_bytes(without_experts()), bytes / 2);
}

// A context of 4096 in bfloat16 and tables for 64 sequences; not where cells are read themselves.
TEST(CudaSizing, AQuantisedCacheTakesRoomForOneContext) {
  for (const KvType type : {KvType::kInt8, KvType::kFp8}) {
    ops::WorkShape quantized = without_experts();
    quantized.kv.type = type;
    EXPECT_EQ(
        cuda_sizing().work_bytes(quantized),
        cuda_sizing().work_bytes(without_experts()) + size_t{4096} * 2 * 4 * 128 * 2 + 64 * 64 * 4);
    ops::WorkShape plain = without_experts();
    quantized.activation = plain.activation = DType::kF32;
    EXPECT_EQ(cuda_sizing().work_bytes(quantized), cuda_sizing().work_bytes(plain));
  }
}

TEST(CudaSizing, ThatRoomIsTheExpertsWhereTheyNeedMore) {
  ops::WorkShape quantized = shape();
  quantized.kv.type = KvType::kInt8;
  EXPECT_EQ(cuda_sizing().work_bytes(quantized), cuda_sizing().work_bytes(shape()));
  quantized.max_tokens = 64;
  ops::WorkShape plain = shape();
  plain.max_tokens = 64;
  EXPECT_GT(cuda_sizing().work_bytes(quantized), cuda_sizing().work_bytes(plain));
}

}  // namespace
}  // namespace ernie::cuda
