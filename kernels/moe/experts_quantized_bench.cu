#include <algorithm>
#include <string>
#include <vector>

#include "kernels/moe/experts.h"
#include "kernels/quantized/quantized.h"
#include "kernels/testing/bench.h"

// The expert MLP with quantised weights and many tokens: all of a layer, and how much of it are the
// products, against the bfloat16 layer of the same shape.
namespace ernie::kernels {
namespace {

constexpr WeightFormat kInt4{WeightType::kInt4, 0};
constexpr WeightFormat kInt8{WeightType::kInt8, 0};
constexpr WeightFormat kInt4Groups{WeightType::kInt4, 64};

struct Geometry {
  const char* name;
  int hidden;
  int experts;
  int width;
  int shared_width;
  int top_k;
};
constexpr Geometry kGeometries[] = {
    {"28B", 2560, 64, 1536, 3072, 6},
    {"424B / 2", 8192, 64, 1792, 0, 8},
    {"424B / 4", 8192, 64, 896, 0, 8},
};

// Nearly normal numbers of the width of the weights of a model, as power draw depends on the data.
__global__ void fill_quantized(uint32_t* words, size_t count, bool int4) {
  for (size_t i = blockIdx.x * size_t{blockDim.x} + threadIdx.x; i < count;
       i += size_t{gridDim.x} * blockDim.x) {
    uint32_t x = static_cast<uint32_t>(i) * 0x9e3779b9u + 12345;
    uint32_t word = 0;
    for (int at = 0; at < 32; at += int4 ? 4 : 8) {
      x = (x ^ (x >> 16)) * 0x85ebca6bu;
      x = (x ^ (x >> 13)) * 0xc2b2ae35u + 1;
      if (int4) {
        const uint32_t q = (x & 3) + (x >> 2 & 3) + (x >> 4 & 3) + (x >> 6 & 3) + 2;
        word |= q << at;
      } else {
        const uint32_t q = (x & 63) + (x >> 6 & 63) + (x >> 12 & 63) + (x >> 18 & 63) - 126;
        word |= (q & 255) << at;
      }
    }
    words[i] = word;
  }
}

void* allocate_values(size_t bytes, bool int4) {
  void* values = bench::allocate_zeroed(bytes);
  fill_quantized<<<1024, 256>>>(static_cast<uint32_t*>(values), bytes / 4, int4);
  bench::check(cudaDeviceSynchronize(), "fill");
  return values;
}

template <class T>
T* upload(const std::vector<T>& values) {
  return static_cast<T*>(bench::allocate_and_copy(values.data(), values.size() * sizeof(T)));
}

std::vector<int32_t> route(const Geometry& g, int tokens) {
  std::vector<int32_t> ids;
  uint64_t state = 1;
  for (int t = 0; t < tokens; ++t) {
    const size_t first = ids.size();
    while (ids.size() < first + static_cast<size_t>(g.top_k)) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      const auto e = static_cast<int32_t>((state >> 33) % static_cast<uint64_t>(g.experts));
      if (std::find(ids.begin() + static_cast<std::ptrdiff_t>(first), ids.end(), e) == ids.end()) {
        ids.push_back(e);
      }
    }
  }
  return ids;
}

void measure(const Geometry& g, const char* format_name, WeightFormat format,
             WeightFormat shared_format, const std::vector<int>& token_counts) {
  const bool native = format.type == WeightType::kNative;
  std::vector<void*> owned;
  std::vector<const void*> values[2], scales[2];  // of gate_up, of down
  std::vector<MoeWeightMap> maps(static_cast<size_t>(2 * g.experts + 2));
  for (int e = 0; e <= g.experts; ++e) {
    const int width = e < g.experts ? g.width : g.shared_width;
    const WeightFormat& f = e < g.experts ? format : shared_format;
    for (const int i : {0, 1}) {
      const RowOrder order = i == 0 ? RowOrder::kGateUp : RowOrder::kPlain;
      const int rows = i == 0 ? 2 * width : g.hidden;
      const int cols = i == 0 ? g.hidden : width;
      values[i].push_back(nullptr);
      scales[i].push_back(nullptr);
      if (width == 0) continue;
      if (native) {
        owned.push_back(bench::allocate_random(size_t{2} * rows * cols, true, 0.05f));
        values[i].back() = owned.back();
        bench::check(
            encode_moe_weight_map(owned.back(), rows, cols, &maps[static_cast<size_t>(2 * e + i)]),
            "weight map");
        continue;
      }
      owned.push_back(allocate_values(quantized_value_bytes(rows, cols, f, order),
                                      f.type == WeightType::kInt4));
      values[i].back() = owned.back();
      owned.push_back(
          bench::allocate_random(quantized_scale_bytes(rows, cols, f, order), true, 0.01f));
      scales[i].back() = owned.back();
    }
  }
  MoeExpertsParams p;
  p.hidden = g.hidden;
  p.top_k = g.top_k;
  p.text_experts = g.experts;
  p.text_width = g.width;
  p.shared_width = g.shared_width;
  p.text_format = format;
  p.shared_format = g.shared_width > 0 ? shared_format : WeightFormat{};
  p.path = MoePath::kHopper;
  const auto pointers = [&](const std::vector<const void*>& host) {
    const void** device = upload(host);
    owned.push_back(device);
    return device;
  };
  p.gate_up = pointers(values[0]);
  p.down = pointers(values[1]);
  p.gate_up_scales = pointers(scales[0]);
  p.down_scales = pointers(scales[1]);
  if (native) {
    MoeWeightMap* device = upload(maps);
    owned.push_back(device);
    p.weight_maps = device;
  }
  for (const int tokens : token_counts) {
    p.tokens = tokens;
    const std::vector<int32_t> ids = route(g, tokens);
    std::vector<void*> batch{bench::allocate_random(size_t{2} * g.hidden * tokens, true),
                             upload(ids),
                             bench::allocate_random(size_t{4} * ids.size(), false, 0.2f),
                             bench::allocate_zeroed(size_t{2} * g.hidden * tokens),
                             bench::allocate_zeroed(moe_experts_workspace_bytes(p))};
    p.x = batch[0];
    p.expert_ids = static_cast<const int32_t*>(batch[1]);
    p.expert_weights = static_cast<const float*>(batch[2]);
    p.out = batch[3];
    p.workspace = batch[4];
    const double flops = 6.0 * tokens * g.hidden * (double{1} * g.top_k * g.width + g.shared_width);
    const double time = bench::time_launches(
        [&](cudaStream_t stream, int) { return launch_moe_experts(p, stream); },
        {.launches_per_graph = 4, .replays = 7});
    bench::report(std::string(g.name) + ", " + format_name + ", " + std::to_string(tokens), time, 0,
                  flops);
    for (void* memory : batch) cudaFree(memory);
  }
  for (void* memory : owned) cudaFree(memory);
}

KERNEL_BENCH(Layers) {
  const std::vector<int> all{128, 1024, 2048, 8192};
  for (const Geometry& g : kGeometries) {
    measure(g, "int4", kInt4, kInt4, all);
    measure(g, "int8", kInt8, kInt8, {1024, 8192});
    measure(g, "bf16", {}, {}, {1024, 8192});
    if (g.shared_width > 0) measure(g, "wint4", kInt4, kInt8, {1024, 8192});
    if (g.shared_width > 0) measure(g, "int4 / 64", kInt4Groups, kInt4Groups, {1024, 8192});
  }
}

}  // namespace
}  // namespace ernie::kernels
