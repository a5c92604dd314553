#include "comm/solo_shard.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace ernie {
namespace {

// Without this a share's logits would be partly memory that nobody wrote.
TEST(SoloShard, GatherFillsTheWholeRowWithTheOnePart) {
  const auto comm = make_solo_shard(3, [](TensorView part, TensorView out) {
    const int64_t times = out.rows() / part.rows();
    for (int64_t row = 0; row < out.rows(); ++row)
      std::copy_n(part.as<float>() + row / times * part.cols(), part.cols(),
                  out.as<float>() + row * out.cols());
  });
  std::vector<float> part = {1, 2, 3, 4};
  std::vector<float> out(12);
  comm->all_gather_columns({part.data(), DType::kF32, {2, 2}}, {out.data(), DType::kF32, {2, 6}});
  EXPECT_EQ(out, (std::vector<float>{1, 2, 1, 2, 1, 2, 3, 4, 3, 4, 3, 4}));
}

TEST(SoloShard, SaysItIsOneOfMany) {
  const auto comm = make_solo_shard(8, nullptr);
  EXPECT_EQ(comm->rank(), 0);
  EXPECT_EQ(comm->size(), 8);
  std::vector<float> sum = {1, 2};
  comm->all_reduce_sum({sum.data(), DType::kF32, {1, 2}});
  comm->barrier();
  EXPECT_EQ(sum, (std::vector<float>{1, 2}));
}

}  // namespace
}  // namespace ernie
