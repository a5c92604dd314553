#include "backend/cpu/ceilings/ceilings.h"

#include <emmintrin.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <vector>

#include "backend/cpu/memory.h"
#include "base/thread_pool.h"

namespace ernie::cpu {
namespace {

double best_rate(int passes, const std::function<double()>& pass) {
  using Clock = std::chrono::steady_clock;
  double best = 0;
  for (int i = 0; i < passes; ++i) {
    const auto start = Clock::now();
    const double work = pass();
    best = std::max(best, work / std::chrono::duration<double>(Clock::now() - start).count());
  }
  return best;
}

// Four streams at once: one alone does not keep the memory busy.
void read_range(const char* p, size_t bytes) {
  const size_t part = bytes / 4;
  __m128i sum[4] = {};
  for (size_t i = 0; i < part; i += 64) {
#pragma GCC unroll 4
    for (size_t s = 0; s < 4; ++s) {
      const auto* line = reinterpret_cast<const __m128i*>(p + s * part + i);
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) sum[s] = _mm_xor_si128(sum[s], _mm_load_si128(line + j));
    }
  }
  for (__m128i& s : sum) asm volatile("" ::"x"(s));
}

}  // namespace

double read_bandwidth(int threads) {
  constexpr size_t kBytes = size_t{512} << 20;
  constexpr size_t kTask = size_t{256} << 10;
  const Buffer buffer = cpu::allocate_host(kBytes);
  char* data = static_cast<char*>(buffer.data());
  for (size_t i = 0; i < kBytes; i += 4096) data[i] = 1;
  ThreadPool pool(threads);
  return best_rate(8, [&] {
    pool.parallel_for(kBytes / kTask, [&](int64_t task, int) {
      read_range(data + static_cast<size_t>(task) * kTask, kTask);
    });
    return static_cast<double>(kBytes);
  });
}

double fma_peak(cpu::Isa isa, int threads) {
  const auto loop = [isa] {
    switch (isa) {
      case cpu::Isa::kGeneric:
        break;
      case cpu::Isa::kAvx2:
        return run_peak_avx2;
      case cpu::Isa::kAvx512:
        return run_peak_avx512;
      case cpu::Isa::kAvx512Bf16:
        return run_peak_avx512_bf16;
      case cpu::Isa::kAmx:
        return run_peak_amx;
    }
    return run_peak_generic;
  }();
  ThreadPool pool(threads);
  const int64_t tasks = int64_t{threads} * 16;
  return best_rate(10, [&] {
    double work = 0;
    pool.parallel_for(tasks, [&](int64_t task, int) {
      const double done = loop(100000);
      if (task == 0) work = done * static_cast<double>(tasks);
    });
    return work;
  });
}

}  // namespace ernie::cpu
