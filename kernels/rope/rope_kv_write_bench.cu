#include <cmath>
#include <vector>

#include "kernels/rope/rope_kv_write.h"
#include "kernels/rope/vision_rope.h"
#include "kernels/testing/bench.h"

namespace ernie::kernels {
namespace {

KERNEL_BENCH(rope_kv_write) {
  constexpr int kQHeads = 20;
  constexpr int kKvHeads = 4;
  constexpr int kHeadDim = 128;
  std::vector<float> inv_freq;
  std::vector<uint8_t> axis;
  for (int i = 0; i < kHeadDim / 2; ++i) {
    inv_freq.push_back(static_cast<float>(std::pow(500000.0, -2.0 * i / kHeadDim)));
    axis.push_back(static_cast<uint8_t>(i < 48 ? 1 + i % 2 : 0));
  }
  for (int tokens : {1, 64, 8192}) {
    std::vector<int32_t> positions, slots;
    for (int t = 0; t < tokens; ++t) {
      positions.insert(positions.end(), 3, t);
      slots.push_back(t);
    }
    const size_t row = static_cast<size_t>(kQHeads + 2 * kKvHeads) * kHeadDim * 2;
    const size_t cache = static_cast<size_t>(tokens + 64) * kKvHeads * kHeadDim * 2;
    RopeKvWriteParams p;
    p.qkv = bench::allocate_random(row * static_cast<size_t>(tokens), true);
    p.positions = static_cast<const int32_t*>(
        bench::allocate_and_copy(positions.data(), positions.size() * sizeof(int32_t)));
    p.slots = static_cast<const int32_t*>(
        bench::allocate_and_copy(slots.data(), slots.size() * sizeof(int32_t)));
    p.inv_freq = static_cast<const float*>(
        bench::allocate_and_copy(inv_freq.data(), inv_freq.size() * sizeof(float)));
    p.axis = static_cast<const uint8_t*>(bench::allocate_and_copy(axis.data(), axis.size()));
    p.keys = bench::allocate_zeroed(cache);
    p.values = bench::allocate_zeroed(cache);
    p.tokens = tokens;
    p.q_heads = kQHeads;
    p.kv_heads = kKvHeads;
    p.head_dim = kHeadDim;
    p.block_size = 64;
    // q and k are read and written, v read, k and v written to the cache.
    const double heads = 2.0 * (kQHeads + kKvHeads) + kKvHeads;
    const auto report = [&](const char* name, double cached_heads) {
      bench::report("28B, " + std::to_string(tokens) + " tokens" + name,
                    bench::time_launches(
                        [&](cudaStream_t stream, int) { return launch_rope_kv_write(p, stream); }),
                    (heads + cached_heads) * kHeadDim * 2 * tokens);
    };
    report("", 2.0 * kKvHeads);
    p.scales = bench::allocate_zeroed(static_cast<size_t>(tokens + 64) * kKvHeads * 4);
    p.cache = CacheType::kInt8;
    report(", int8", kKvHeads);
    p.cache = CacheType::kE4m3;
    report(", e4m3", kKvHeads);
  }
}

KERNEL_BENCH(vision_rope) {
  constexpr int kPatches = 5476;
  constexpr int kHeads = 16;
  constexpr int kHeadDim = 80;
  std::vector<int32_t> positions;
  for (int i = 0; i < kPatches; ++i) {
    positions.push_back(i / 74);
    positions.push_back(i % 74);
  }
  VisionRopeParams p;
  p.qkv = bench::allocate_random(size_t{kPatches} * 3 * kHeads * kHeadDim * 2, true);
  p.positions = static_cast<const int32_t*>(
      bench::allocate_and_copy(positions.data(), positions.size() * sizeof(int32_t)));
  p.patches = kPatches;
  p.heads = kHeads;
  p.head_dim = kHeadDim;
  bench::report(
      std::to_string(kPatches) + " patches",
      bench::time_launches([&](cudaStream_t stream, int) { return launch_vision_rope(p, stream); }),
      4.0 * kHeads * kHeadDim * 2 * kPatches);
}

}  // namespace
}  // namespace ernie::kernels
