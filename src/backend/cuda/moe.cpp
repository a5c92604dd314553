#include <algorithm>
#include <string>

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/expert_table.h"
#include "base/check.h"
#include "kernels/moe/experts.h"
#include "kernels/moe/router.h"

namespace ernie::cuda {
namespace {

int experts_of(TensorView router) {
  return router.data == nullptr ? 0 : static_cast<int>(router.rows());
}

// [2 * width, hidden] and [hidden, width] of dtype.
void check_expert(const Weight& gate_up, const Weight& down, int64_t hidden, int64_t width,
                  DType dtype) {
  CHECK(device_weight(gate_up).dtype() == dtype && device_weight(down).dtype() == dtype &&
            gate_up.in_features() == hidden && gate_up.out_features() == 2 * width &&
            down.out_features() == hidden && down.in_features() == width,
        "moe_experts: gate_up [" + std::to_string(gate_up.out_features()) + ", " +
            std::to_string(gate_up.in_features()) + "], down [" +
            std::to_string(down.out_features()) + ", " + std::to_string(down.in_features()) +
            "], hidden " + std::to_string(hidden));
}

}  // namespace

void CudaBackend::moe_route(const ops::MoeRouteArgs& a) {
  const int tokens = static_cast<int>(a.x.rows());
  const int experts[2] = {experts_of(a.router[0]), experts_of(a.router[1])};
  CHECK(a.x.cols() == a.router[0].cols() && a.router[0].dtype == DType::kF32 &&
            (experts[1] == 0 || a.router[1].cols() == a.x.cols()) &&
            (!a.any_vision || experts[1] > 0) && a.expert_ids.dtype == DType::kI32 &&
            a.expert_weights.dtype == DType::kF32 &&
            a.expert_ids.shape == Shape({a.x.rows(), a.top_k}) &&
            a.expert_weights.shape == a.expert_ids.shape,
        "moe_route: x " + a.x.shape.to_string() + ", router " + a.router[0].shape.to_string() +
            ", expert_ids " + a.expert_ids.shape.to_string());
  const int tiles = (tokens + kernels::kRouterTokenTile - 1) / kernels::kRouterTokenTile;
  check(kernels::launch_moe_router(
            {.type = element_type(a.x.dtype),
             .x = a.x.data,
             .is_vision = a.is_vision.as<const uint8_t>(),
             .any_vision = a.any_vision,
             .router = {a.router[0].as<const float>(), a.router[1].as<const float>()},
             .bias = {a.bias[0].as<const float>(), a.bias[1].as<const float>()},
             .experts = {experts[0], experts[1]},
             .tokens = tokens,
             .hidden = static_cast<int>(a.x.cols()),
             .top_k = a.top_k,
             .norm_min = a.norm_min,
             .logits = router_logits_.get_array<float>(int64_t{tokens} *
                                                       std::max(experts[0], experts[1])),
             .arrivals = router_arrivals_.get_array<uint32_t>(tiles),
             .expert_ids = a.expert_ids.as<int32_t>(),
             .expert_weights = a.expert_weights.as<float>()},
            stream()),
        "launch of moe_route");
}

const CudaBackend::ExpertTable& CudaBackend::expert_table(const ops::MoeExpertsArgs& a,
                                                          DType dtype) {
  if (*weights_freed_ != tables_cleared_at_) {
    // A new weight may have the host address of one that is gone, but other device memory.
    expert_tables_.clear();
    tables_cleared_at_ = *weights_freed_;
  }
  std::vector<const Weight*> weights(a.gate_up.begin(), a.gate_up.end());
  weights.insert(weights.end(), a.down.begin(), a.down.end());
  weights.push_back(a.shared_gate_up);
  weights.push_back(a.shared_down);
  std::unique_ptr<ExpertTable>& slot = expert_tables_[a.gate_up.data()];
  if (slot != nullptr && slot->weights == weights) return *slot;

  CHECK(!a.gate_up.empty() && a.gate_up.size() == a.down.size() &&
            (a.shared_gate_up == nullptr) == (a.shared_down == nullptr),
        "moe_experts: " + std::to_string(a.gate_up.size()) + " gate_up and " +
            std::to_string(a.down.size()) + " down matrices");
  auto table = std::make_unique<ExpertTable>();
  table->weights = std::move(weights);
  const int64_t hidden = a.x.cols();
  // Text experts come first; the vision experts behind them have another width or none exist.
  const int64_t text_width = a.down[0]->in_features();
  const int64_t last_width = a.down.back()->in_features();
  std::vector<const void*> gate_up, down;
  std::vector<kernels::MoeWeightMap> maps;
  bool mapped = dtype == DType::kBF16;
  const auto add = [&](const Weight& g, const Weight& d, int64_t width) {
    check_expert(g, d, hidden, width, dtype);
    gate_up.push_back(device_weight(g).data());
    down.push_back(device_weight(d).data());
    maps.resize(maps.size() + 2);
    mapped = mapped &&
             kernels::encode_moe_weight_map(gate_up.back(), 2 * width, hidden,
                                            &maps[maps.size() - 2]) == cudaSuccess &&
             kernels::encode_moe_weight_map(down.back(), hidden, width, &maps[maps.size() - 1]) ==
                 cudaSuccess;
  };
  for (size_t e = 0; e < a.gate_up.size(); ++e) {
    const bool text = a.down[e]->in_features() == text_width && table->vision_experts == 0;
    ++(text ? table->text_experts : table->vision_experts);
    add(*a.gate_up[e], *a.down[e], text ? text_width : last_width);
  }
  table->text_width = static_cast<int>(text_width);
  table->vision_width = table->vision_experts > 0 ? static_cast<int>(last_width) : 0;
  if (a.shared_gate_up != nullptr) {
    table->shared_width = static_cast<int>(a.shared_down->in_features());
    add(*a.shared_gate_up, *a.shared_down, table->shared_width);
  }
  const auto to_device = [&](const auto& values) {
    const size_t bytes = values.size() * sizeof(values[0]);
    Buffer buffer = allocate_device(bytes);
    upload(buffer.data(), values.data(), bytes);
    return buffer;
  };
  table->gate_up = to_device(gate_up);
  table->down = to_device(down);
  if (mapped) table->maps = to_device(maps);
  slot = std::move(table);
  return *slot;
}

void CudaBackend::moe_experts(const ops::MoeExpertsArgs& a) {
  CHECK(a.out.shape == a.x.shape && (a.out.dtype == a.x.dtype || a.out.dtype == DType::kF32) &&
            a.expert_ids.dtype == DType::kI32 && a.expert_weights.dtype == DType::kF32 &&
            a.expert_ids.rows() == a.x.rows() && a.expert_ids.shape == a.expert_weights.shape,
        "moe_experts: x " + a.x.shape.to_string() + ", expert_ids " +
            a.expert_ids.shape.to_string() + ", out " + a.out.shape.to_string());
  const ExpertTable& table = expert_table(a, a.x.dtype);
  kernels::MoeExpertsParams params{
      .type = element_type(a.x.dtype),
      .x = a.x.data,
      .expert_ids = a.expert_ids.as<const int32_t>(),
      .expert_weights = a.expert_weights.as<const float>(),
      .tokens = static_cast<int>(a.x.rows()),
      .hidden = static_cast<int>(a.x.cols()),
      .top_k = static_cast<int>(a.expert_ids.cols()),
      .text_experts = table.text_experts,
      .vision_experts = table.vision_experts,
      .text_width = table.text_width,
      .vision_width = table.vision_width,
      .shared_width = table.shared_width,
      .gate_up = static_cast<const void* const*>(table.gate_up.data()),
      .down = static_cast<const void* const*>(table.down.data()),
      .weight_maps = static_cast<const kernels::MoeWeightMap*>(table.maps.data()),
      .out = a.out.data,
      .out_type = element_type(a.out.dtype)};
  params.workspace = experts_.get(kernels::moe_experts_workspace_bytes(params));
  check(kernels::launch_moe_experts(params, stream()), "launch of moe_experts");
}

}  // namespace ernie::cuda
