#include "comm/cuda/cuda_communicator.h"

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <stdexcept>
#include <thread>

#include "tensor/bf16.h"

namespace ernie {
namespace {

// Two ranks: on two GPUs, or on one that both share. Messages are small, so that on one GPU the
// kernels that wait for each other are resident together.
// As in kernels/all_reduce/rank_group.h: before the first CUDA call, for ranks that share a GPU.
const bool environment = setenv("CUDA_MODULE_LOADING", "EAGER", 0) == 0 &&
                         setenv("CUDA_DEVICE_MAX_CONNECTIONS", "32", 0) == 0;

class CudaCommunicatorTest : public testing::Test {
 protected:
  static constexpr int kSize = 2;

  void SetUp() override {
    ASSERT_TRUE(environment);
    int devices = 0;
    if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) GTEST_SKIP() << "no GPU";
    for (int r = 0; r < kSize; ++r) {
      devices_.push_back(devices >= kSize ? r : 0);
      ASSERT_EQ(cudaSetDevice(devices_.back()), cudaSuccess);
      ASSERT_EQ(cudaStreamCreateWithFlags(&streams_[r], cudaStreamNonBlocking), cudaSuccess);
      ASSERT_EQ(cudaMalloc(&memory_[r], kBytes), cudaSuccess);
    }
    ranks_ = make_cuda_communicators(
        {.devices = devices_, .stream_of = [this](int rank) { return streams_[rank]; }});
    // Where ranks share a GPU, the first launch in a stream may wait for the device, on which the
    // other rank's kernel would already wait for it.
    on_all_ranks([this](Communicator& comm) {
      comm.set_rehearsal(true);
      comm.all_reduce_sum({memory_[comm.rank()], DType::kF32, {64}});
      comm.set_rehearsal(false);
    });
    ranks_[0]->set_time_limit(std::chrono::milliseconds(300));
  }
  void TearDown() override {
    ranks_.clear();
    for (int r = 0; r < kSize; ++r) {
      if (streams_[r] != nullptr) cudaStreamDestroy(streams_[r]);
      cudaFree(memory_[r]);
    }
  }

  template <class Body>
  void on_all_ranks(Body body) {
    std::vector<std::thread> threads;
    for (auto& rank : ranks_) {
      threads.emplace_back([&] {
        ASSERT_EQ(cudaSetDevice(devices_[static_cast<size_t>(rank->rank())]), cudaSuccess);
        body(*rank);
      });
    }
    for (std::thread& t : threads) t.join();
  }
  template <class T>
  T* upload(int rank, const std::vector<T>& values, size_t offset = 0) {
    char* p = static_cast<char*>(memory_[rank]) + offset;
    EXPECT_EQ(cudaMemcpy(p, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice),
              cudaSuccess);
    // A copy from pageable memory may return before it has arrived.
    EXPECT_EQ(cudaStreamSynchronize(nullptr), cudaSuccess);
    return reinterpret_cast<T*>(p);
  }
  template <class T>
  std::vector<T> download(const T* p, size_t count) {
    std::vector<T> values(count);
    EXPECT_EQ(cudaMemcpy(values.data(), p, count * sizeof(T), cudaMemcpyDeviceToHost), cudaSuccess);
    return values;
  }

  static constexpr size_t kBytes = size_t{8} << 20;
  std::vector<int> devices_;
  cudaStream_t streams_[kSize] = {};
  void* memory_[kSize] = {};
  std::vector<std::unique_ptr<Communicator>> ranks_;
};

TEST_F(CudaCommunicatorTest, SumsInRankOrderWithTheSameBitsOnAllRanks) {
  constexpr int kCount = 4096;
  const auto value = [](int rank, int i) {
    return std::sin(static_cast<float>(i)) * std::pow(10.0f, static_cast<float>(rank));
  };
  on_all_ranks([&](Communicator& comm) {
    std::vector<float> mine;
    for (int i = 0; i < kCount; ++i) mine.push_back(value(comm.rank(), i));
    float* x = upload(comm.rank(), mine);
    comm.all_reduce_sum({x, DType::kF32, {kCount}});
    comm.barrier();
    const auto sum = download(x, kCount);
    for (int i = 0; i < kCount; ++i) {
      ASSERT_EQ(sum[static_cast<size_t>(i)], value(0, i) + value(1, i)) << i;
    }
  });
}

TEST_F(CudaCommunicatorTest, SumsBfloat16AndRoundsOnce) {
  on_all_ranks([&](Communicator& comm) {
    std::vector<BF16> mine(8, to_bf16(comm.rank() == 0 ? 256.0f : 1.0f));
    BF16* x = upload(comm.rank(), mine);
    comm.all_reduce_sum({x, DType::kBF16, {8}});
    comm.barrier();
    for (BF16 v : download(x, 8)) EXPECT_EQ(to_float(v), to_float(to_bf16(257.0f)));
  });
}

TEST_F(CudaCommunicatorTest, SumsFloat32IntoBfloat16AndRoundsOnce) {
  constexpr int kCount = 4096;
  on_all_ranks([&](Communicator& comm) {
    // 257.5 rounded to bfloat16 is 258, which would make 260 of the sum.
    std::vector<float> mine(kCount, comm.rank() == 0 ? 257.5f : 1.25f);
    float* x = upload(comm.rank(), mine);
    BF16* out = upload(comm.rank(), std::vector<BF16>(kCount), kCount * sizeof(float));
    ASSERT_TRUE(
        comm.all_reduce_sum_rounded({x, DType::kF32, {kCount}}, {out, DType::kBF16, {kCount}}));
    comm.barrier();
    for (BF16 v : download(out, kCount)) ASSERT_EQ(to_float(v), 258.0f);
  });
}

// Against the steps one by one; and a row alone has the bits that it has among others.
TEST_F(CudaCommunicatorTest, AddsTheSumToTheResidualAndNormalises) {
  constexpr int kRows = 20;
  constexpr int kWidth = 2560;
  const auto partial = [](int rank, int i) {
    return std::sin(static_cast<float>(i)) + 0.25f * static_cast<float>(rank);
  };
  on_all_ranks([&](Communicator& comm) {
    std::vector<float> x;
    std::vector<BF16> residual;
    std::vector<BF16> weight;
    for (int i = 0; i < kRows * kWidth; ++i) {
      x.push_back(partial(comm.rank(), i));
      residual.push_back(to_bf16(std::cos(static_cast<float>(i))));
    }
    for (int i = 0; i < kWidth; ++i) weight.push_back(to_bf16(1.0f + 0.001f * i));
    const size_t bf16_bytes = residual.size() * sizeof(BF16);
    float* device_x = upload(comm.rank(), x);
    BF16* device_weight = upload(comm.rank(), weight, x.size() * sizeof(float));
    const size_t offset = x.size() * sizeof(float) + kWidth * sizeof(BF16);
    const auto normed = [&](int rows) {
      BF16* device_residual = upload(comm.rank(), residual, offset);
      BF16* out = upload(comm.rank(), residual, offset + bf16_bytes);
      EXPECT_TRUE(
          comm.all_reduce_residual_rms_norm({{device_x, DType::kF32, {rows, kWidth}},
                                             {device_residual, DType::kBF16, {rows, kWidth}},
                                             {device_weight, DType::kBF16, {kWidth}},
                                             1e-5f,
                                             {out, DType::kBF16, {rows, kWidth}}}));
      comm.barrier();
      auto values = download(device_residual, static_cast<size_t>(rows * kWidth));
      for (BF16 v : download(out, static_cast<size_t>(rows * kWidth))) values.push_back(v);
      return values;
    };
    const std::vector<BF16> all = normed(kRows);
    for (int row = 0; row < kRows; row += 7) {
      double squares = 0;
      for (int i = row * kWidth; i < (row + 1) * kWidth; ++i) {
        const auto at = static_cast<size_t>(i);
        const BF16 sum = to_bf16(partial(0, i) + partial(1, i));
        const BF16 expected = to_bf16(to_float(residual[at]) + to_float(sum));
        ASSERT_EQ(to_float(all[at]), to_float(expected)) << i;
        squares += static_cast<double>(to_float(expected)) * to_float(expected);
      }
      const double scale = 1 / std::sqrt(squares / kWidth + 1e-5);
      for (int i = 0; i < kWidth; ++i) {
        const auto at = static_cast<size_t>(row * kWidth + i);
        const double expected =
            to_float(all[at]) * scale * to_float(weight[static_cast<size_t>(i)]);
        ASSERT_NEAR(to_float(all[at + residual.size()]), expected,
                    0.008 * std::abs(expected) + 1e-6);
      }
    }
    // Where it would not pay it does nothing.
    const Shape large{10000, kWidth};
    EXPECT_FALSE(comm.all_reduce_residual_rms_norm({{nullptr, DType::kF32, large},
                                                    {nullptr, DType::kBF16, large},
                                                    {nullptr, DType::kBF16, {kWidth}},
                                                    1e-5f,
                                                    {nullptr, DType::kBF16, large}}));
    const std::vector<BF16> one = normed(1);
    for (size_t i = 0; i < kWidth; ++i) {
      ASSERT_EQ(to_float(one[i]), to_float(all[i])) << i;
      ASSERT_EQ(to_float(one[kWidth + i]), to_float(all[residual.size() + i])) << i;
    }
  });
}

TEST_F(CudaCommunicatorTest, GathersColumnsRankZeroLeftmost) {
  on_all_ranks([&](Communicator& comm) {
    const float r = static_cast<float>(comm.rank());
    std::vector<float> part;
    for (int i = 0; i < 8; ++i) part.push_back(10 * r + static_cast<float>(i));
    float* device_part = upload(comm.rank(), part);
    float* out = upload(comm.rank(), std::vector<float>(16, -1.0f), 1024);
    comm.all_gather_columns({device_part, DType::kF32, {2, 4}}, {out, DType::kF32, {2, 8}});
    comm.barrier();
    EXPECT_EQ(download(out, 16),
              (std::vector<float>{0, 1, 2, 3, 10, 11, 12, 13, 4, 5, 6, 7, 14, 15, 16, 17}));
  });
}

TEST_F(CudaCommunicatorTest, BroadcastsFromAnyRank) {
  on_all_ranks([&](Communicator& comm) {
    for (int root = 0; root < comm.size(); ++root) {
      float* x = upload(comm.rank(), std::vector<float>(64, 1.0f + comm.rank()));
      comm.broadcast({x, DType::kF32, {4, 16}}, root);
      comm.barrier();
      EXPECT_EQ(download(x, 64), std::vector<float>(64, 1.0f + root));
    }
  });
}

TEST_F(CudaCommunicatorTest, NobodyWaitsInARehearsalAndSumsAreRightAfterIt) {
  std::atomic<bool> first_has_ended{false};
  on_all_ranks([&](Communicator& comm) {
    const int64_t counts[] = {64, 1 << 20, 64};  // in one shot and in two
    float* x = upload(comm.rank(), std::vector<float>(1 << 20, 1.0f));
    comm.set_rehearsal(true);
    while (comm.rank() == 1 && !first_has_ended) std::this_thread::yield();
    for (const int64_t count : counts) comm.all_reduce_sum({x, DType::kF32, {count}});
    EXPECT_EQ(cudaStreamSynchronize(streams_[comm.rank()]), cudaSuccess);
    if (comm.rank() == 0) first_has_ended = true;
    comm.set_rehearsal(false);
    for (const int64_t count : counts) {
      upload(comm.rank(), std::vector<float>(static_cast<size_t>(count), 1.0f + comm.rank()));
      comm.all_reduce_sum({x, DType::kF32, {count}});
      comm.barrier();
      EXPECT_EQ(download(x, static_cast<size_t>(count)),
                std::vector<float>(static_cast<size_t>(count), 3.0f));
    }
  });
}

TEST_F(CudaCommunicatorTest, AbortEndsTheWaitOfTheOthers) {
  on_all_ranks([&](Communicator& comm) {
    if (comm.rank() == 1) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      return comm.abort();
    }
    float* x = upload(comm.rank(), std::vector<float>(64, 1.0f));
    EXPECT_THROW(
        {
          comm.all_reduce_sum({x, DType::kF32, {64}});
          comm.barrier();
        },
        std::runtime_error);
    EXPECT_THROW(comm.barrier(), std::runtime_error);
  });
}

TEST_F(CudaCommunicatorTest, AMissingRankIsFoundByTheTimeLimit) {
  std::atomic<bool> over{false};
  on_all_ranks([&](Communicator& comm) {
    if (comm.rank() == 1) {
      while (!over) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      return comm.abort();
    }
    float* x = upload(comm.rank(), std::vector<float>(64, 1.0f));
    const auto begin = std::chrono::steady_clock::now();
    comm.all_reduce_sum({x, DType::kF32, {64}});
    EXPECT_EQ(cudaStreamSynchronize(streams_[comm.rank()]), cudaSuccess);
    EXPECT_THROW(comm.check(), std::runtime_error);
    EXPECT_THROW(comm.all_reduce_sum({x, DType::kF32, {64}}), std::runtime_error);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(2));
    over = true;
  });
}

}  // namespace
}  // namespace ernie
