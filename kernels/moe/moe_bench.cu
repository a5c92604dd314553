#include <algorithm>
#include <string>
#include <vector>

#include "kernels/common/arch.h"
#include "kernels/moe/experts.h"
#include "kernels/moe/router.h"
#include "kernels/quantized/quantized.h"
#include "kernels/testing/bench.h"

namespace ernie::kernels {
namespace {

// One rank's share of the MoE layers of a model. Several layers' weights are held, so that
// successive launches find the L2 cache cold, as in a model.
struct Geometry {
  const char* name;
  int hidden;
  int experts[2];
  int width[2];
  int shared_width;
  int top_k;
  WeightFormat format = {};  // of all but the shared experts, which are in 8 bits if this is in any
};
constexpr Geometry k28B{"28B", 2560, {64, 64}, {1536, 512}, 3072, 6};
constexpr Geometry k424B{"424B, 1 of 4 ranks", 8192, {64, 64}, {896, 384}, 0, 8};
constexpr Geometry k424BHalf{"424B, 1 of 2 ranks", 8192, {64, 64}, {1792, 768}, 0, 8};

Geometry quantized(Geometry g, const char* name, WeightFormat format) {
  g.name = name;
  g.format = format;
  return g;
}
constexpr int kLayers = 3;

uint32_t mixed(uint32_t x) {
  x = (x ^ (x >> 16)) * 0x85ebca6bu;
  x = (x ^ (x >> 13)) * 0xc2b2ae35u;
  return x ^ (x >> 16);
}

template <class T>
T* upload(const std::vector<T>& values) {
  return static_cast<T*>(bench::allocate_and_copy(values.data(), values.size() * sizeof(T)));
}

// top_k different experts of the token's modality, uniformly.
std::vector<int32_t> route(const Geometry& g, int tokens, int vision_percent, int layer) {
  std::vector<int32_t> ids;
  for (int t = 0; t < tokens; ++t) {
    const bool vision = t * 100 < vision_percent * tokens;
    uint32_t draw = mixed(static_cast<uint32_t>(t * 131 + layer * 7 + 1));
    std::vector<int32_t> chosen;
    while (static_cast<int>(chosen.size()) < g.top_k) {
      draw = mixed(draw + 0x9e3779b9u);
      const int32_t e = static_cast<int32_t>(draw % static_cast<uint32_t>(g.experts[vision])) +
                        (vision ? g.experts[0] : 0);
      if (std::find(chosen.begin(), chosen.end(), e) == chosen.end()) chosen.push_back(e);
    }
    ids.insert(ids.end(), chosen.begin(), chosen.end());
  }
  return ids;
}

void measure_experts(const Geometry& g) {
  const bool quantized = g.format.type != WeightType::kNative;
  const WeightFormat shared_format =
      quantized ? WeightFormat{WeightType::kInt8, g.format.group} : WeightFormat{};
  const int all = g.experts[0] + g.experts[1] + 1;
  const auto width_of = [&](int e) {
    return e == all - 1 ? g.shared_width : g.width[e < g.experts[0] ? 0 : 1];
  };
  std::vector<void*> owned;
  std::vector<const void*const*> gate_up, down, gate_up_scales, down_scales;
  std::vector<const MoeWeightMap*> maps;
  for (int layer = 0; layer < kLayers; ++layer) {
    std::vector<const void*> gate_up_pointers, down_pointers, gate_up_scale_pointers,
        down_scale_pointers;
    std::vector<MoeWeightMap> layer_maps(static_cast<size_t>(2 * all));
    for (int e = 0; e < all; ++e) {
      if (quantized) {
        const auto allocate = [&](int64_t rows, int64_t cols, RowOrder order,
                                  std::vector<const void*>& values,
                                  std::vector<const void*>& scales) {
          const WeightFormat format = e == all - 1 ? shared_format : g.format;
          const bool exists = rows > 0 && cols > 0;
          const size_t value_bytes = quantized_value_bytes(rows, cols, format, order);
          const size_t scale_bytes = quantized_scale_bytes(rows, cols, format, order);
          values.push_back(exists ? bench::allocate_random(value_bytes, false) : nullptr);
          scales.push_back(exists ? bench::allocate_random(scale_bytes, true, 0.01f) : nullptr);
          owned.push_back(const_cast<void*>(values.back()));
          owned.push_back(const_cast<void*>(scales.back()));
        };
        allocate(2 * width_of(e), g.hidden, RowOrder::kGateUp, gate_up_pointers,
                 gate_up_scale_pointers);
        allocate(g.hidden, width_of(e), RowOrder::kPlain, down_pointers, down_scale_pointers);
        continue;
      }
      const size_t bytes = size_t{2} * g.hidden * width_of(e);
      void* gate_up_weight = nullptr;
      void* down_weight = nullptr;
      if (bytes > 0) {
        owned.push_back(gate_up_weight = bench::allocate_random(2 * bytes, true, 0.05f));
        owned.push_back(down_weight = bench::allocate_random(bytes, true, 0.05f));
        if (arch() >= 90) {
          const auto at = static_cast<size_t>(2 * e);
          bench::check(
              encode_moe_weight_map(gate_up_weight, 2 * width_of(e), g.hidden, &layer_maps[at]),
              "weight map");
          bench::check(
              encode_moe_weight_map(down_weight, g.hidden, width_of(e), &layer_maps[at + 1]),
              "weight map");
        }
      }
      gate_up_pointers.push_back(gate_up_weight);
      down_pointers.push_back(down_weight);
    }
    gate_up.push_back(upload(gate_up_pointers));
    down.push_back(upload(down_pointers));
    maps.push_back(upload(layer_maps));
    if (quantized) {
      gate_up_scales.push_back(upload(gate_up_scale_pointers));
      down_scales.push_back(upload(down_scale_pointers));
      for (const void* const* scales : {gate_up_scales.back(), down_scales.back()}) {
        owned.push_back(const_cast<void**>(reinterpret_cast<const void* const*>(scales)));
      }
    }
    owned.push_back(const_cast<void**>(reinterpret_cast<const void* const*>(gate_up.back())));
    owned.push_back(const_cast<void**>(reinterpret_cast<const void* const*>(down.back())));
    owned.push_back(const_cast<MoeWeightMap*>(maps.back()));
  }

  struct Run {
    int tokens;
    int vision_percent;
    MoePath path;
    const char* path_name;
  };
  std::vector<Run> runs;
  if (quantized) {
    for (const int tokens : {1, 2, 4, 8, 16, 32, 64, 256}) {
      runs.push_back({tokens, 0, MoePath::kAuto, "auto"});
    }
  }
  if (!quantized) runs.push_back({1, 0, MoePath::kSingle, "single"});
  for (const int tokens : {1, 2, 4, 8, 16, 32, 64}) {
    if (quantized) break;
    runs.push_back({tokens, 0, MoePath::kDecode, "decode"});
    if (arch() >= 90) runs.push_back({tokens, 0, MoePath::kHopper, "hopper"});
  }
  for (const int tokens : {64, 256, 1024, 2048, 8192}) {
    if (quantized) break;
    runs.push_back({tokens, 0, MoePath::kAmpere, "ampere"});
    if (arch() >= 90 && tokens > 64) runs.push_back({tokens, 0, MoePath::kHopper, "hopper"});
  }
  if (!quantized) runs.push_back({8192, 50, MoePath::kAuto, "auto, half vision"});

  for (const Run& run : runs) {
    MoeExpertsParams p;
    p.tokens = run.tokens;
    p.hidden = g.hidden;
    p.top_k = g.top_k;
    p.text_experts = g.experts[0];
    p.vision_experts = g.experts[1];
    p.text_width = g.width[0];
    p.vision_width = g.width[1];
    p.shared_width = g.shared_width;
    p.text_format = p.vision_format = g.format;
    p.shared_format = shared_format;
    p.path = run.path;
    const size_t x_bytes = size_t{2} * g.hidden * run.tokens;
    void* x = bench::allocate_random(x_bytes, true);
    void* out = bench::allocate_zeroed(x_bytes);
    void* weights = bench::allocate_random(size_t{4} * run.tokens * g.top_k, false, 0.2f);
    void* workspace = bench::allocate_zeroed(moe_experts_workspace_bytes(p));
    std::vector<int32_t*> ids;
    double bytes = 0;
    double flops = 0;
    for (int layer = 0; layer < kLayers; ++layer) {
      std::vector<int32_t> routed = route(g, run.tokens, run.vision_percent, layer);
      ids.push_back(upload(routed));
      for (const int32_t e : routed) flops += 6.0 * g.hidden * width_of(e);
      flops += 6.0 * g.hidden * g.shared_width * run.tokens;
      std::sort(routed.begin(), routed.end());
      routed.erase(std::unique(routed.begin(), routed.end()), routed.end());
      const auto element_bytes = [](const WeightFormat& format) {
        return format.type == WeightType::kNative ? 2.0 : bits_of(format.type) / 8.0;
      };
      for (const int32_t e : routed)
        bytes += 3.0 * element_bytes(g.format) * g.hidden * width_of(e);
      bytes += 3.0 * element_bytes(shared_format) * g.hidden * g.shared_width;
    }
    p.x = x;
    p.out = out;
    p.expert_weights = static_cast<const float*>(weights);
    p.workspace = workspace;
    const double time = bench::time_launches(
        [&](cudaStream_t stream, int index) {
          const auto layer = static_cast<size_t>(index % kLayers);
          MoeExpertsParams now = p;
          now.expert_ids = ids[layer];
          now.gate_up = gate_up[layer];
          now.down = down[layer];
          now.weight_maps = maps[layer];
          if (quantized) {
            now.gate_up_scales = gate_up_scales[layer];
            now.down_scales = down_scales[layer];
          }
          return launch_moe_experts(now, stream);
        },
        {.launches_per_graph = run.tokens > 64 ? 6 : 30, .replays = 10});
    bench::report(
        std::string(g.name) + ", " + std::to_string(run.tokens) + " tokens, " + run.path_name, time,
        bytes / kLayers, run.tokens > 64 ? flops / kLayers : 0);
    for (int32_t* p_ids : ids) cudaFree(p_ids);
    for (void* memory : {x, out, weights, workspace}) cudaFree(memory);
  }
  for (void* memory : owned) cudaFree(memory);
}

void measure_router(const Geometry& g) {
  constexpr int kRouters = 64;  // more than fits in L2
  constexpr int kMostTokens = 8192;
  const auto experts = static_cast<size_t>(g.experts[0]);
  const size_t router_elements = experts * static_cast<size_t>(g.hidden);
  auto* routers = static_cast<float*>(
      bench::allocate_random(2 * kRouters * router_elements * sizeof(float), false, 0.05f));
  void* x = bench::allocate_random(size_t{2} * kMostTokens * g.hidden, true);
  std::vector<uint8_t> half(kMostTokens);
  for (size_t i = 0; i < half.size(); ++i) half[i] = i % 512 < 256;
  MoeRouterParams p;
  p.x = x;
  p.is_vision = upload(half);
  p.bias[0] = p.bias[1] =
      static_cast<float*>(bench::allocate_random(experts * sizeof(float), false, 0.01f));
  p.experts[0] = p.experts[1] = g.experts[0];
  p.hidden = g.hidden;
  p.top_k = g.top_k;
  p.logits = static_cast<float*>(bench::allocate_zeroed(experts * kMostTokens * sizeof(float)));
  p.arrivals = static_cast<uint32_t*>(bench::allocate_zeroed(kMostTokens));
  p.expert_ids = static_cast<int32_t*>(
      bench::allocate_zeroed(size_t{kMostTokens} * static_cast<size_t>(g.top_k) * 4));
  p.expert_weights = static_cast<float*>(
      bench::allocate_zeroed(size_t{kMostTokens} * static_cast<size_t>(g.top_k) * 4));
  for (const bool vision : {false, true}) {
    for (const int tokens : {1, 8, 64, 512, 8192}) {
      p.tokens = tokens;
      p.any_vision = vision;
      const double time = bench::time_launches(
          [&](cudaStream_t stream, int index) {
            MoeRouterParams now = p;
            for (int m = 0; m < 2; ++m) {
              now.router[m] =
                  routers + static_cast<size_t>(2 * (index % kRouters) + m) * router_elements;
            }
            return launch_moe_router(now, stream);
          },
          {.launches_per_graph = 40, .replays = 15});
      bench::report(
          std::string(g.name) + ", router, " + std::to_string(tokens) + " tokens" +
              (vision ? ", half vision" : ""),
          time,
          4.0 * static_cast<double>(router_elements) * (vision ? 2 : 1) + 2.0 * tokens * g.hidden);
    }
  }
  for (const void* memory :
       {static_cast<const void*>(routers), static_cast<const void*>(x),
        static_cast<const void*>(p.is_vision), static_cast<const void*>(p.bias[0]),
        static_cast<const void*>(p.logits), static_cast<const void*>(p.arrivals),
        static_cast<const void*>(p.expert_ids), static_cast<const void*>(p.expert_weights)}) {
    cudaFree(const_cast<void*>(memory));
  }
}

KERNEL_BENCH(Router28B) { measure_router(k28B); }
KERNEL_BENCH(Router424B) { measure_router(k424B); }
KERNEL_BENCH(Experts28B) { measure_experts(k28B); }
KERNEL_BENCH(Experts424B) { measure_experts(k424B); }

constexpr WeightFormat kInt4{WeightType::kInt4, 0};
constexpr WeightFormat kInt8{WeightType::kInt8, 0};
constexpr WeightFormat kInt4InGroups{WeightType::kInt4, 64};
KERNEL_BENCH(Quantized28BInt4) { measure_experts(quantized(k28B, "28B int4", kInt4)); }
KERNEL_BENCH(Quantized28BInt8) { measure_experts(quantized(k28B, "28B int8", kInt8)); }
KERNEL_BENCH(Quantized28BGroups) {
  measure_experts(quantized(k28B, "28B int4, groups of 64", kInt4InGroups));
}
KERNEL_BENCH(Quantized424BInt4) {
  measure_experts(quantized(k424BHalf, "424B, 1 of 2 ranks, int4", kInt4));
  measure_experts(quantized(k424B, "424B, 1 of 4 ranks, int4", kInt4));
}
KERNEL_BENCH(Quantized424BInt8) {
  measure_experts(quantized(k424B, "424B, 1 of 4 ranks, int8", kInt8));
}

}  // namespace
}  // namespace ernie::kernels
