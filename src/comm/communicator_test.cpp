#include "comm/communicator.h"

#include <gtest/gtest.h>

#include <cmath>
#include <stdexcept>
#include <thread>

#include "tensor/bf16.h"

namespace ernie {
namespace {

// Runs body(communicator) on one thread per rank.
template <class Body>
void on_all_ranks(int size, Body body) {
  auto ranks = make_local_communicators(size);
  std::vector<std::thread> threads;
  for (auto& rank : ranks) threads.emplace_back([&] { body(*rank); });
  for (std::thread& t : threads) t.join();
}

TEST(LocalCommunicator, SumsInRankOrderWithTheSameBitsOnAllRanks) {
  constexpr int kSize = 3;
  constexpr int kCount = 1001;
  std::vector<std::vector<float>> data(kSize, std::vector<float>(kCount));
  const auto value = [](int rank, int i, int round) {
    return std::sin(static_cast<float>(i + round)) * std::pow(10.0f, static_cast<float>(rank));
  };
  on_all_ranks(kSize, [&](Communicator& comm) {
    std::vector<float>& mine = data[static_cast<size_t>(comm.rank())];
    for (int round = 0; round < 200; ++round) {
      for (int i = 0; i < kCount; ++i) mine[static_cast<size_t>(i)] = value(comm.rank(), i, round);
      comm.all_reduce_sum({mine.data(), DType::kF32, {kCount}});
      for (int i = 0; i < kCount; ++i) {
        const float expected = (value(0, i, round) + value(1, i, round)) + value(2, i, round);
        ASSERT_EQ(mine[static_cast<size_t>(i)], expected) << "round " << round << ", " << i;
      }
    }
  });
}

TEST(LocalCommunicator, SumsBfloat16InFloat32AndRoundsOnce) {
  constexpr int kSize = 4;
  // 256 + 4 * 0.5 would stay 256 if every addition were rounded to bfloat16.
  on_all_ranks(kSize, [&](Communicator& comm) {
    BF16 x[2] = {to_bf16(comm.rank() == 0 ? 256.0f : 1.0f), to_bf16(1.5f)};
    comm.all_reduce_sum({x, DType::kBF16, {2}});
    EXPECT_EQ(to_float(x[0]), to_float(to_bf16(259.0f)));
    EXPECT_EQ(to_float(x[1]), 6.0f);
  });
}

TEST(LocalCommunicator, GathersColumnsRankZeroLeftmost) {
  on_all_ranks(2, [](Communicator& comm) {
    const int r = comm.rank();
    std::vector<float> part = {10.0f * r, 10.0f * r + 1, 10.0f * r + 2, 10.0f * r + 3};
    std::vector<float> out(8, -1.0f);
    for (int round = 0; round < 100; ++round) {
      comm.all_gather_columns({part.data(), DType::kF32, {2, 2}},
                              {out.data(), DType::kF32, {2, 4}});
      ASSERT_EQ(out, (std::vector<float>{0, 1, 10, 11, 2, 3, 12, 13}));
    }
  });
}

TEST(LocalCommunicator, BroadcastsFromAnyRank) {
  on_all_ranks(3, [](Communicator& comm) {
    for (int round = 0; round < 100; ++round) {
      for (int root = 0; root < comm.size(); ++root) {
        std::vector<float> x = {10.0f * comm.rank(), -0.0f, static_cast<float>(round)};
        comm.broadcast({x.data(), DType::kF32, {1, 3}}, root);
        ASSERT_EQ(x, (std::vector<float>{10.0f * root, 0, static_cast<float>(round)}));
      }
    }
  });
}

TEST(LocalCommunicator, AbortEndsTheWaitOfTheOthers) {
  on_all_ranks(3, [](Communicator& comm) {
    if (comm.rank() == 1) return comm.abort();
    EXPECT_THROW(comm.barrier(), std::runtime_error);
    EXPECT_THROW(comm.barrier(), std::runtime_error);
  });
}

TEST(SingleCommunicator, IsTheIdentity) {
  auto comm = make_single_communicator();
  std::vector<float> x = {1, 2};
  std::vector<float> out(2);
  comm->all_reduce_sum({x.data(), DType::kF32, {1, 2}});
  comm->all_gather_columns({x.data(), DType::kF32, {1, 2}}, {out.data(), DType::kF32, {1, 2}});
  comm->barrier();
  EXPECT_EQ(comm->size(), 1);
  EXPECT_EQ(out, (std::vector<float>{1, 2}));
}

}  // namespace
}  // namespace ernie
