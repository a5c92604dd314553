#include <string>

#include "kernels/moe/permute.h"
#include "kernels/testing/testing.h"

namespace ernie::kernels {
namespace {

using testing::DeviceArray;
using testing::Random;

void check_sort(const std::vector<int32_t>& ids, int top_k, int experts, bool shared) {
  const int tokens = static_cast<int>(ids.size()) / top_k;
  const int pairs = tokens * top_k;
  const std::string what = std::to_string(tokens) + " tokens x " + std::to_string(top_k) + " of " +
                           std::to_string(experts) + " experts";
  const DeviceArray<int32_t> device_ids(ids);
  const DeviceArray<int32_t> offsets(static_cast<size_t>(experts) + 1);
  const DeviceArray<int32_t> row_token(static_cast<size_t>(pairs + (shared ? tokens : 0)));
  const DeviceArray<int32_t> pair_row(static_cast<size_t>(pairs));
  testing::run_in_graph(
      [&](cudaStream_t stream) {
        return launch_moe_permute({.expert_ids = device_ids.data(),
                                   .tokens = tokens,
                                   .top_k = top_k,
                                   .experts = experts,
                                   .shared_rows = shared,
                                   .offsets = offsets.data(),
                                   .row_token = row_token.data(),
                                   .pair_row = pair_row.data()},
                                  stream);
      },
      2);
  std::vector<int32_t> expected_offsets{0};
  std::vector<int32_t> expected_token;
  std::vector<int32_t> expected_row(static_cast<size_t>(pairs), -1);
  for (int e = 0; e < experts; ++e) {
    for (int i = 0; i < pairs; ++i) {
      if (ids[static_cast<size_t>(i)] != e) continue;
      expected_row[static_cast<size_t>(i)] = static_cast<int32_t>(expected_token.size());
      expected_token.push_back(i / top_k);
    }
    expected_offsets.push_back(static_cast<int32_t>(expected_token.size()));
  }
  expected_token.resize(static_cast<size_t>(pairs), -1);  // rows that no pair took stay as they are
  for (int t = 0; shared && t < tokens; ++t) expected_token.push_back(t);
  testing::expect_same_bits(offsets.download(), expected_offsets, what + ", offsets");
  testing::expect_same_bits(row_token.download(), expected_token, what + ", tokens of rows");
  testing::expect_same_bits(pair_row.download(), expected_row, what + ", rows of pairs");
}

KERNEL_TEST(PairsAreSortedByExpertAndToken) {
  Random random(11);
  for (const int tokens : {1, 2, 7, 64, 300, 2049, 8192}) {
    for (const int top_k : {1, 6, 8}) {
      for (const int experts : {4, 128, 256}) {
        const auto count = static_cast<size_t>(tokens) * static_cast<size_t>(top_k);
        check_sort(random.integers(count, 0, experts - 1), top_k, experts, tokens % 2 == 0);
      }
    }
  }
}

KERNEL_TEST(AllPairsMayChooseOneExpert) {
  check_sort(std::vector<int32_t>(3000, 5), 1, 64, true);
  check_sort(std::vector<int32_t>(1, 63), 1, 64, false);
}

KERNEL_TEST(IdsOutOfRangeGetNoRow) {
  Random random(12);
  std::vector<int32_t> ids = random.integers(2400, -2, 9);
  check_sort(ids, 6, 8, true);
}

}  // namespace
}  // namespace ernie::kernels
