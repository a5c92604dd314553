#include <vector>

#include "kernels/attention/vision_attention.h"
#include "kernels/testing/bench.h"

namespace ernie::kernels {
namespace {

void measure(int segments, int patches) {
  constexpr int kHeads = 16;
  constexpr int kHeadDim = 80;
  std::vector<int32_t> starts;
  for (int s = 0; s <= segments; ++s) starts.push_back(s * patches);
  const size_t rows = static_cast<size_t>(segments) * patches;
  void* qkv = bench::allocate_random(rows * 3 * kHeads * kHeadDim * 2, true);
  void* out = bench::allocate_zeroed(rows * kHeads * kHeadDim * 2);
  void* device_starts = bench::allocate_and_copy(starts.data(), starts.size() * sizeof(int32_t));
  VisionAttentionParams p;
  p.qkv = qkv;
  p.out = out;
  p.segment_start = static_cast<const int32_t*>(device_starts);
  p.segments = segments;
  p.max_segment = patches;
  p.heads = kHeads;
  p.head_dim = kHeadDim;
  const double time = bench::time_launches(
      [&](cudaStream_t stream, int) { return launch_vision_attention(p, stream); });
  bench::report(std::to_string(segments) + " x " + std::to_string(patches) + " patches", time, 0,
                4.0 * kHeadDim * kHeads * segments * patches * patches);
  for (void* memory : {qkv, out, device_starts}) bench::check(cudaFree(memory), "free");
}

KERNEL_BENCH(vision_attention) {
  measure(1, 1024);
  measure(1, 5476);
  measure(4, 5476);
  measure(1, 16384);
}

}  // namespace
}  // namespace ernie::kernels
