#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "kernels/all_reduce/all_reduce.h"
#include "kernels/all_reduce/rank_group.h"
#include "kernels/common/vector.cuh"
#include "kernels/testing/testing.h"

namespace ernie::kernels {
namespace {

using testing::Random;
using Rank = RankGroup::Rank;

template <class T>
constexpr ElementType kType = sizeof(T) == 4 ? ElementType::kF32 : ElementType::kBF16;

// Groups of 2, 4 and 8 ranks that share the first GPU, and of as many as there are GPUs.
void for_each_group(const RankGroup::Options& base,
                    const std::function<void(RankGroup&, const std::string&)>& body) {
  int devices = 0;
  CUDA_OK(cudaGetDeviceCount(&devices));
  const auto sizes =
      testing::is_sanitized() ? std::vector<int>{2, 3} : std::vector<int>{2, 3, 4, 8};
  for (int size : sizes) {
    for (bool one_gpu : {true, false}) {
      if (!one_gpu && size > devices) continue;
      RankGroup::Options options = base;
      options.size = size;
      options.one_gpu = one_gpu;
      if (testing::is_sanitized()) options.time_limit_ms = 300'000;
      const auto group = RankGroup::make(options);
      EXPECT(group != nullptr, "no group");
      if (group == nullptr) continue;
      body(*group, std::to_string(size) + (one_gpu ? " ranks on one GPU" : " GPUs"));
      for (int r = 0; r < size; ++r) {
        EXPECT(group->fault(r) == 0, "a wait gave up on rank " + std::to_string(r));
      }
    }
  }
}

template <class T>
T* allocate(Rank& rank, size_t count) {
  void* p = nullptr;
  CUDA_OK(rank.allocate(&p, count * sizeof(T)));
  return static_cast<T*>(p);
}
template <class T>
T* upload(Rank& rank, const std::vector<T>& values) {
  T* p = allocate<T>(rank, values.size());
  CUDA_OK(cudaMemcpy(p, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice));
  return p;
}
template <class T>
std::vector<T> download(const Rank& rank, const T* p, size_t count) {
  std::vector<T> values(count);
  CUDA_OK(cudaSetDevice(rank.device));
  CUDA_OK(cudaMemcpy(values.data(), p, count * sizeof(T), cudaMemcpyDeviceToHost));
  return values;
}

// Rank r's data, of widely differing sizes, so that the order of additions shows.
template <class T>
std::vector<T> rank_data(Random& random, int rank, size_t count) {
  return random.normal<T>(count, std::pow(8.0, rank % 4));
}

// In float32 in rank order, rounded once.
template <class Out, class T>
std::vector<Out> exact_sum(const std::vector<std::vector<T>>& data) {
  std::vector<Out> sum(data[0].size());
  for (size_t i = 0; i < sum.size(); ++i) {
    float s = 0;
    for (const std::vector<T>& d : data) s += to_float(d[i]);
    sum[i] = from_float<Out>(s);
  }
  return sum;
}

// A series of calls of many sizes without a pause between them; where the types are the same, every
// other one in place.
template <class T, class Out = T>
void check_sums(RankGroup& group, const std::string& what) {
  const size_t unit = 16 / sizeof(T);
  const std::vector<size_t> counts = {
      unit,   3 * unit, 1024,   8192, 8192 + unit,       40000, 65536, 100000,
      300000, 8192,     262144, 1024, 131072 + 5 * unit, unit,  8192};
  Random random(3);
  const int size = group.size();
  std::vector<std::vector<T*>> in(static_cast<size_t>(size));
  std::vector<std::vector<Out*>> out(static_cast<size_t>(size));
  std::vector<std::vector<Out>> expected;
  for (size_t c = 0; c < counts.size(); ++c) {
    std::vector<std::vector<T>> data;
    for (int r = 0; r < size; ++r) {
      data.push_back(rank_data<T>(random, r, counts[c]));
      T* p = upload(group.rank(r), data.back());
      in[static_cast<size_t>(r)].push_back(p);
      const bool in_place = sizeof(T) == sizeof(Out) && c % 2 == 1;
      out[static_cast<size_t>(r)].push_back(in_place ? reinterpret_cast<Out*>(p)
                                                     : allocate<Out>(group.rank(r), counts[c]));
    }
    expected.push_back(exact_sum<Out>(data));
  }
  CUDA_OK(group.on_all([&](Rank& rank) {
    const size_t r = static_cast<size_t>(rank.setup.rank);
    for (size_t c = 0; c < counts.size(); ++c) {
      const cudaError_t error = launch_all_reduce(
          rank.setup, {in[r][c], out[r][c], kType<T>, kType<Out>, static_cast<int64_t>(counts[c])},
          rank.stream);
      if (error != cudaSuccess) return error;
    }
    return cudaSuccess;
  }));
  for (int r = 0; r < size; ++r) {
    for (size_t c = 0; c < counts.size(); ++c) {
      testing::expect_same_bits(
          download(group.rank(r), out[static_cast<size_t>(r)][c], counts[c]), expected[c],
          what + ", rank " + std::to_string(r) + ", " + std::to_string(counts[c]) + " elements");
    }
  }
}

KERNEL_TEST(SumsInRankOrderWithTheSameBitsOnAllRanks) {
  // The default and 64 KB: other sizes in two shots.
  for (size_t one_shot : {size_t{0}, size_t{1} << 16}) {
    for_each_group({.one_shot_bytes = one_shot}, [](RankGroup& group, const std::string& what) {
      check_sums<float>(group, what + ", float32");
      check_sums<__nv_bfloat16>(group, what + ", bfloat16");
      check_sums<float, __nv_bfloat16>(group, what + ", float32 to bfloat16");
    });
  }
}

// T of the data, R of the residual.
template <class T, class R>
void check_norm(RankGroup& group, int64_t rows, int width, const std::string& what) {
  Random random(static_cast<uint64_t>(rows * width));
  const size_t count = static_cast<size_t>(rows * width);
  const int size = group.size();
  const float eps = 1e-5f;
  std::vector<std::vector<T>> data;
  const auto residual = random.normal<R>(count);
  const auto weight = random.normal<R>(static_cast<size_t>(width), 0.5, 1.0);
  struct Pointers {
    T* in;
    R* residual;
    R* weight;
    R* out;
  };
  std::vector<Pointers> pointers;
  for (int r = 0; r < size; ++r) {
    Rank& rank = group.rank(r);
    data.push_back(random.normal<T>(count));
    pointers.push_back({upload(rank, data.back()), upload(rank, residual), upload(rank, weight),
                        allocate<R>(rank, count)});
  }
  CUDA_OK(group.on_all([&](Rank& rank) {
    const Pointers& p = pointers[static_cast<size_t>(rank.setup.rank)];
    return launch_all_reduce_norm(rank.setup,
                                  {.in = p.in,
                                   .type = kType<T>,
                                   .norm_type = kType<R>,
                                   .residual = p.residual,
                                   .weight = p.weight,
                                   .out = p.out,
                                   .eps = eps,
                                   .rows = rows,
                                   .width = width},
                                  rank.stream);
  }));
  std::vector<R> new_residual(count);
  std::vector<double> out(count);
  for (int64_t row = 0; row < rows; ++row) {
    double squares = 0;
    for (int64_t i = row * width; i < (row + 1) * width; ++i) {
      const size_t at = static_cast<size_t>(i);
      float s = 0;
      for (const auto& d : data) s += to_float(d[at]);
      new_residual[at] = from_float<R>(to_float(residual[at]) + to_float(from_float<R>(s)));
      const double x = to_float(new_residual[at]);
      squares += x * x;
    }
    const double scale = 1.0 / std::sqrt(squares / width + eps);
    for (int64_t i = row * width; i < (row + 1) * width; ++i) {
      const size_t at = static_cast<size_t>(i);
      out[at] =
          to_float(new_residual[at]) * scale * to_float(weight[at % static_cast<size_t>(width)]);
    }
  }
  std::vector<R> first;
  for (int r = 0; r < size; ++r) {
    const std::string where = what + ", rank " + std::to_string(r) + ", " + std::to_string(rows) +
                              " rows of " + std::to_string(width);
    const Pointers& p = pointers[static_cast<size_t>(r)];
    testing::expect_same_bits(download(group.rank(r), p.residual, count), new_residual,
                              where + ": residual");
    const auto actual = download(group.rank(r), p.out, count);
    testing::expect_close(actual, out, {testing::rounding<R>(), 2e-6}, where + ": norm");
    if (r == 0) first = actual;
    testing::expect_same_bits(actual, first, where + ": norm, against rank 0");
  }
}

KERNEL_TEST(AddsTheSumToTheResidualAndNormalises) {
  for_each_group(
      {.one_shot_bytes = size_t{1} << 16}, [](RankGroup& group, const std::string& what) {
        using B = __nv_bfloat16;
        for (const auto& [rows, width] : std::vector<std::pair<int64_t, int>>{
                 {1, 8192}, {3, 2560}, {7, 32}, {5, 1056}, {1, 12288}, {37, 2560}, {64, 1024}}) {
          check_norm<B, B>(group, rows, width, what + ", bfloat16");
          check_norm<float, B>(group, rows, width, what + ", float32 to bfloat16");
          check_norm<float, float>(group, rows, width, what + ", float32");
        }
      });
}

// A row has the same bits alone and among others, of which some go in a launch before or after.
KERNEL_TEST(ARowAloneHasTheBitsItHasAmongOthers) {
  for_each_group({.one_shot_bytes = size_t{1} << 16},
                 [](RankGroup& group, const std::string& what) {
                   using B = __nv_bfloat16;
                   constexpr int64_t kRows = 24;
                   constexpr int kWidth = 2560;
                   constexpr size_t kCount = kRows * kWidth;
                   Random random(7);
                   const auto residual = random.normal<B>(kCount);
                   const auto weight = random.normal<B>(kWidth, 0.5, 1.0);
                   std::vector<AllReduceNormParams> params;
                   for (int r = 0; r < group.size(); ++r) {
                     Rank& rank = group.rank(r);
                     params.push_back({.in = upload(rank, random.normal<float>(kCount)),
                                       .norm_type = ElementType::kBF16,
                                       .weight = upload(rank, weight),
                                       .out = allocate<B>(rank, kCount),
                                       .width = kWidth});
                   }
                   const auto normed = [&](int64_t rows) {
                     for (int r = 0; r < group.size(); ++r) {
                       AllReduceNormParams& p = params[static_cast<size_t>(r)];
                       p.residual = upload(group.rank(r), residual);
                       p.rows = rows;
                     }
                     CUDA_OK(group.on_all([&](Rank& rank) {
                       return launch_all_reduce_norm(
                           rank.setup, params[static_cast<size_t>(rank.setup.rank)], rank.stream);
                     }));
                     return download(group.rank(0), static_cast<const B*>(params[0].out), kWidth);
                   };
                   const auto among_others = normed(kRows);
                   testing::expect_same_bits(normed(1), among_others, what);
                 });
}

KERNEL_TEST(ReplaysInGraphs) {
  for_each_group({.one_shot_bytes = size_t{1} << 15}, [](RankGroup& group,
                                                         const std::string& what) {
    // Sums of equal powers of the size are exact.
    constexpr int kReplays = 10;
    const std::vector<size_t> counts = {1024, 8192, 65536};
    std::vector<std::vector<float*>> x(static_cast<size_t>(group.size()));
    for (int r = 0; r < group.size(); ++r) {
      for (size_t count : counts) {
        x[static_cast<size_t>(r)].push_back(upload(group.rank(r), std::vector<float>(count, 1.0f)));
      }
    }
    // All are instantiated before the first is launched: that takes memory, for which the device
    // may have to be idle.
    std::vector<cudaGraphExec_t> executables(static_cast<size_t>(group.size()), nullptr);
    CUDA_OK(group.on_all([&](Rank& rank) {
      cudaGraph_t graph = nullptr;
      cudaError_t error = cudaStreamBeginCapture(rank.stream, cudaStreamCaptureModeThreadLocal);
      for (size_t c = 0; c < counts.size() && error == cudaSuccess; ++c) {
        float* p = x[static_cast<size_t>(rank.setup.rank)][c];
        error = launch_all_reduce(
            rank.setup,
            {p, p, ElementType::kF32, ElementType::kF32, static_cast<int64_t>(counts[c])},
            rank.stream);
      }
      const cudaError_t ended = cudaStreamEndCapture(rank.stream, &graph);
      if (error == cudaSuccess) error = ended;
      auto& executable = executables[static_cast<size_t>(rank.setup.rank)];
      if (error == cudaSuccess) error = cudaGraphInstantiate(&executable, graph, 0);
      if (error == cudaSuccess) error = cudaGraphUpload(executable, rank.stream);
      cudaGraphDestroy(graph);
      return error;
    }));
    CUDA_OK(group.on_all([&](Rank& rank) {
      const auto executable = executables[static_cast<size_t>(rank.setup.rank)];
      cudaError_t error = cudaSuccess;
      for (int i = 0; i < kReplays && error == cudaSuccess; ++i) {
        error = cudaGraphLaunch(executable, rank.stream);
      }
      return error;
    }));
    for (cudaGraphExec_t executable : executables) CUDA_OK(cudaGraphExecDestroy(executable));
    const float expected = std::pow(static_cast<float>(group.size()), static_cast<float>(kReplays));
    for (int r = 0; r < group.size(); ++r) {
      for (size_t c = 0; c < counts.size(); ++c) {
        const auto values = download(group.rank(r), x[static_cast<size_t>(r)][c], counts[c]);
        const auto wrong =
            std::count_if(values.begin(), values.end(), [&](float v) { return v != expected; });
        EXPECT(wrong == 0, what + ", rank " + std::to_string(r) + ": " + std::to_string(wrong) +
                               " of " + std::to_string(counts[c]) + " are wrong");
      }
    }
  });
}

KERNEL_TEST(LongMessagesGoInPieces) {
  for_each_group({.max_bytes = size_t{96} << 10, .one_shot_bytes = size_t{1} << 14},
                 [](RankGroup& group, const std::string& what) {
                   check_sums<float>(group, what + ", pieces of 96 KB");
                   check_sums<float, __nv_bfloat16>(group, what + ", pieces, to bfloat16");
                   check_norm<float, __nv_bfloat16>(group, 37, 2560, what + ", pieces of 96 KB");
                 });
}

KERNEL_TEST(GathersColumnsRankZeroLeftmost) {
  for_each_group({.max_bytes = size_t{512} << 10}, [](RankGroup& group, const std::string& what) {
    const auto size = static_cast<size_t>(group.size());
    for (const auto& [rows, cols] : std::vector<std::pair<size_t, size_t>>{
             {1, 4}, {3, 12}, {1, 12928}, {40, 12928}, {9, 20}}) {
      std::vector<float*> parts;
      std::vector<float*> outs;
      std::vector<float> expected(rows * cols * size);
      for (size_t r = 0; r < size; ++r) {
        std::vector<float> part(rows * cols);
        for (size_t i = 0; i < part.size(); ++i) {
          part[i] = static_cast<float>(r * part.size() + i);
          expected[(i / cols * size + r) * cols + i % cols] = part[i];
        }
        parts.push_back(upload(group.rank(static_cast<int>(r)), part));
        outs.push_back(allocate<float>(group.rank(static_cast<int>(r)), expected.size()));
      }
      CUDA_OK(group.on_all([&](Rank& rank) {
        const auto r = static_cast<size_t>(rank.setup.rank);
        cudaError_t error = cudaSuccess;
        for (int i = 0; i < 3 && error == cudaSuccess; ++i) {
          error = launch_all_gather_columns(
              rank.setup,
              {parts[r], outs[r], static_cast<int64_t>(rows), static_cast<int64_t>(cols * 4)},
              rank.stream);
        }
        return error;
      }));
      for (size_t r = 0; r < size; ++r) {
        testing::expect_same_bits(
            download(group.rank(static_cast<int>(r)), outs[r], expected.size()), expected,
            what + ", rank " + std::to_string(r) + ", " + std::to_string(rows) + " rows of " +
                std::to_string(cols));
      }
    }
  });
}

// Rank 0 does not come. The others' kernels must end and say so.
void check_missing_rank(bool abort, size_t count) {
  constexpr int kSize = 3;
  const auto group =
      RankGroup::make({.size = kSize, .one_gpu = true, .time_limit_ms = abort ? 60'000u : 100u});
  EXPECT(group != nullptr, "no group");
  if (group == nullptr) return;
  std::vector<float*> x;
  for (int r = 0; r < kSize; ++r) x.push_back(allocate<float>(group->rank(r), count));
  std::thread aborter([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    if (abort) group->abort();
  });
  const auto begin = std::chrono::steady_clock::now();
  const cudaError_t error = group->on_all([&](Rank& rank) {
    cudaError_t launched = cudaSuccess;
    float* p = x[static_cast<size_t>(rank.setup.rank)];
    // The calls after the first must not wait again.
    for (int i = 0; i < 20 && rank.setup.rank != 0 && launched == cudaSuccess; ++i) {
      launched = launch_all_reduce(
          rank.setup, {p, p, ElementType::kF32, ElementType::kF32, static_cast<int64_t>(count)},
          rank.stream);
    }
    return launched;
  });
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  aborter.join();
  CUDA_OK(error);
  const std::string what = abort ? "abort" : "time limit";
  EXPECT(seconds < 1.0 || testing::is_sanitized(),
         what + ": the ranks waited " + std::to_string(seconds) + " s");
  for (int r = 1; r < kSize; ++r) {
    EXPECT(group->fault(r) == 1, what + ": rank " + std::to_string(r) + " does not tell of rank 0");
  }
}

KERNEL_TEST(AMissingRankIsFoundByTheTimeLimit) {
  check_missing_rank(false, 4096);
  check_missing_rank(false, 1 << 20);
}

KERNEL_TEST(AbortEndsTheWait) {
  check_missing_rank(true, 4096);
  check_missing_rank(true, 1 << 20);
}

// A rank that waits asks the host now and then whether to wait on. If all its threads asked, that
// would take longer than they had waited, the other rank's would come to ask too, and so on: these
// calls then take 1.2 ms each, not 5 microseconds.
KERNEL_TEST(ALateRankDoesNotSlowTheCallsAfter) {
  int devices = 0;
  CUDA_OK(cudaGetDeviceCount(&devices));
  // Too few threads wait where ranks share a GPU.
  if (devices < 2 || testing::is_sanitized()) {
    std::printf("  not tested: it takes two GPUs and no sanitizer\n");
    return;
  }
  constexpr size_t kCount = size_t{1} << 18;
  constexpr int kCalls = 200;
  const auto group = RankGroup::make({.size = 2});
  EXPECT(group != nullptr, "no group");
  if (group == nullptr) return;
  __nv_bfloat16* x[2] = {allocate<__nv_bfloat16>(group->rank(0), kCount),
                         allocate<__nv_bfloat16>(group->rank(1), kCount)};
  double seconds = 0;
  CUDA_OK(group->on_all([&](Rank& rank) {
    __nv_bfloat16* p = x[rank.setup.rank];
    if (rank.setup.rank == 1) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    const auto begin = std::chrono::steady_clock::now();
    cudaError_t error = cudaSuccess;
    for (int i = 0; i < kCalls && error == cudaSuccess; ++i) {
      error = launch_all_reduce(rank.setup, {p, p, ElementType::kBF16, ElementType::kBF16, kCount},
                                rank.stream);
    }
    if (error == cudaSuccess) error = cudaStreamSynchronize(rank.stream);
    if (rank.setup.rank == 1) {
      seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    }
    return error;
  }));
  EXPECT(seconds < 0.05, "the calls took " + std::to_string(seconds) + " s");
}

KERNEL_TEST(WhatCannotBeSentIsRefused) {
  const auto group = RankGroup::make({.size = 2, .one_gpu = true, .max_bytes = 1 << 20});
  EXPECT(group != nullptr, "no group");
  if (group == nullptr) return;
  Rank& rank = group->rank(0);
  auto* p = allocate<float>(rank, 1024);
  const auto launched = [&](const void* in, int64_t count) {
    return launch_all_reduce(rank.setup, {in, p, ElementType::kF32, ElementType::kF32, count},
                             rank.stream);
  };
  EXPECT(launched(p, 3) == cudaErrorInvalidValue, "12 bytes");
  EXPECT(launched(p + 1, 4) == cudaErrorInvalidValue, "not aligned");
  EXPECT(launched(p, 0) == cudaSuccess, "nothing");
  const auto converted = [&](ElementType from, ElementType to, void* out) {
    return launch_all_reduce(rank.setup, {p, out, from, to, 8}, rank.stream);
  };
  EXPECT(converted(ElementType::kBF16, ElementType::kF32, p + 512) == cudaErrorInvalidValue,
         "a wider sum");
  EXPECT(converted(ElementType::kF32, ElementType::kBF16, p) == cudaErrorInvalidValue,
         "another type in place");
}

}  // namespace
}  // namespace ernie::kernels
