#include <algorithm>
#include <cmath>
#include <string>

#include "backend/cpu/cpu_ops.h"
#include "backend/cpu/weight_panels.h"
#include "base/check.h"
#include "tensor/bf16.h"

namespace ernie::cpu {
namespace {

constexpr int kTileColumns = 4 * kPanel;
// Tokens are handled in chunks whose packed rows stay below this.
constexpr size_t kPackedBytesPerChunk = size_t{64} << 20;

// Softmax over the experts of one token, then the top k of (probability + bias), smaller id first
// on a tie.
void route_token(std::vector<float>& p, const float* bias, int top_k, float norm_min, bool bf16,
                 int32_t first_expert, int32_t* ids, float* weights) {
  const float top = *std::max_element(p.begin(), p.end());
  float sum = 0;
  for (float& v : p) sum += v = std::exp(v - top);
  for (float& v : p) v /= sum;
  float chosen_sum = 0;
  for (int k = 0; k < top_k; ++k) {
    int best = -1;
    float best_score = 0;
    for (int e = 0; e < static_cast<int>(p.size()); ++e) {
      if (std::find(ids, ids + k, first_expert + e) != ids + k) continue;
      const float score = p[static_cast<size_t>(e)] + (bias ? bias[e] : 0.0f);
      if (best < 0 || score > best_score) {
        best = e;
        best_score = score;
      }
    }
    ids[k] = first_expert + best;
    weights[k] = p[static_cast<size_t>(best)];
    chosen_sum += weights[k];
  }
  for (int k = 0; k < top_k; ++k) {
    weights[k] /= std::max(chosen_sum, norm_min);
    if (bf16) weights[k] = to_float(to_bf16(weights[k]));
  }
}

}  // namespace

void CpuBackend::do_moe_route(const ops::MoeRouteArgs& a) {
  const TypedKernels& kernels = typed(a.x.dtype);
  const int64_t tokens = a.x.rows();
  const int64_t width = a.x.cols();
  const int64_t first_experts = a.groups[0].weight.rows();
  const size_t row_bytes = static_cast<size_t>(width) * dtype_bytes(a.x.dtype);
  const int64_t grain = std::max<int64_t>(1, 65536 / std::max<int64_t>(1, width * first_experts));
  for_ranges(tokens, grain, [&](int64_t first, int64_t count) {
    std::vector<float> scores;
    for (int64_t t = first; t < first + count; ++t) {
      const size_t g = a.first_group_only ? 0 : a.token_group.as<const uint8_t>()[t];
      CHECK(g < a.groups.size(), "moe_route: token " + std::to_string(t) + " is of group " +
                                     std::to_string(g) + " of " + std::to_string(a.groups.size()));
      const ops::RouterGroup& group = a.groups[g];
      scores.resize(static_cast<size_t>(group.weight.rows()));
      kernels.router(a.x.as<char>() + static_cast<size_t>(t) * row_bytes,
                     group.weight.as<const float>(), group.weight.rows(), width, scores.data());
      int64_t first_expert = 0;
      for (size_t before = 0; before < g; ++before) first_expert += a.groups[before].weight.rows();
      route_token(scores, group.bias.as<const float>(), a.top_k, a.norm_min,
                  a.x.dtype == DType::kBF16, static_cast<int32_t>(first_expert),
                  a.expert_ids.as<int32_t>() + t * a.top_k,
                  a.expert_weights.as<float>() + t * a.top_k);
    }
  });
}

// The rows of a chunk of tokens, grouped by expert in rising order of expert and token; the shared
// expert comes last, with every token at weight 1. Each expert's rows start at a multiple of the
// kernel's row step; `token` is 0 in the gaps.
struct CpuBackend::MoeRows {
  struct Group {
    WeightPanels gate_up;
    WeightPanels down;
    int64_t begin;
    int64_t count;
  };
  std::vector<Group> groups;
  std::vector<int32_t> token;
  std::vector<float> weight;

  MoeRows(const ops::MoeExpertsArgs& a, int64_t first, int64_t tokens,
          const TypedKernels& kernels) {
    const int64_t top_k = a.expert_ids.cols();
    const int32_t* ids = a.expert_ids.as<const int32_t>() + first * top_k;
    const float* weights = a.expert_weights.as<const float>() + first * top_k;
    const bool shared = a.experts->shared_width() > 0;
    const std::span<const GatedMlp* const> mlps = a.experts->mlps();
    std::vector<int64_t> next(mlps.size() - (shared ? 1 : 0));
    for (int64_t i = 0; i < tokens * top_k; ++i) {
      CHECK(ids[i] >= 0 && static_cast<size_t>(ids[i]) < next.size(),
            "moe_experts: expert " + std::to_string(ids[i]) + " of " + std::to_string(next.size()));
      ++next[static_cast<size_t>(ids[i])];
    }
    for (size_t e = 0; e < next.size(); ++e) {
      const int64_t count = next[e];
      next[e] = total();
      if (count > 0) add_group(*mlps[e], count, kernels);
    }
    if (shared) {
      const int64_t begin = total();
      add_group(*mlps.back(), tokens, kernels);
      for (int64_t t = 0; t < tokens; ++t) {
        token[static_cast<size_t>(begin + t)] = static_cast<int32_t>(t);
        weight[static_cast<size_t>(begin + t)] = 1.0f;
      }
    }
    for (int64_t i = 0; i < tokens * top_k; ++i) {
      const size_t at = static_cast<size_t>(next[static_cast<size_t>(ids[i])]++);
      token[at] = static_cast<int32_t>(i / top_k);
      weight[at] = weights[i];
    }
  }
  int64_t total() const { return static_cast<int64_t>(token.size()); }

 private:
  void add_group(const GatedMlp& mlp, int64_t count, const TypedKernels& kernels) {
    const WeightPanels gate_up(*mlp.gate_up, kernels);
    const WeightPanels down(*mlp.down, kernels);
    groups.push_back({gate_up, down, total(), count});
    const int64_t step = kernels.gemm_row_step;
    const size_t rows = static_cast<size_t>(total() + (count + step - 1) / step * step);
    token.resize(rows);
    weight.resize(rows);
  }
};

void CpuBackend::moe_chunk(const ops::MoeExpertsArgs& a, int64_t first, int64_t tokens) {
  const TypedKernels& kernels = typed(a.x.dtype);
  const int64_t hidden = a.x.cols();
  const size_t size = dtype_bytes(a.x.dtype);
  const MoeRows rows(a, first, tokens, kernels);
  const int64_t tile_rows = kernels.gemm_tile_rows;
  int64_t width = 0;  // of the widest expert: text and vision experts differ
  for (const MoeRows::Group& g : rows.groups) width = std::max(width, g.down.in_features());

  char* packed_x = static_cast<char*>(packed_.get(kernels.packed_rows_bytes(rows.total(), hidden)));
  pool_.parallel_for(static_cast<int64_t>(rows.groups.size()), [&](int64_t i, int) {
    const MoeRows::Group& g = rows.groups[static_cast<size_t>(i)];
    kernels.pack_rows({a.x.as<char>() + static_cast<size_t>(first * hidden) * size, hidden,
                       rows.token.data(), hidden, g.begin, g.count, packed_x});
  });

  // Hidden activations: swiglu of the gate and up halves. Experts of another width have their own
  // row length.
  char* hidden_rows =
      static_cast<char*>(hidden_.get(static_cast<size_t>(rows.total() * width) * size));
  struct Tile {
    int32_t group;
    int32_t column;
    int64_t row;
  };
  std::vector<Tile> tiles;
  for (size_t i = 0; i < rows.groups.size(); ++i) {
    const MoeRows::Group& g = rows.groups[i];
    for (int64_t c = 0; c < g.down.in_features(); c += kTileColumns) {
      for (int64_t r = 0; r < g.count; r += tile_rows) {
        tiles.push_back({static_cast<int32_t>(i), static_cast<int32_t>(c), r});
      }
    }
  }
  constexpr int64_t kLdc = int64_t{kTilePanels} * kPanel;
  const int64_t most_rows = std::min(tile_rows, rows.total());
  int parts = 1;
  size_t product_bytes = 0;
  for (const MoeRows::Group& g : rows.groups) {
    parts = std::max(parts, g.down.sum_parts());
    const int64_t most = std::min(tile_rows, g.count);
    product_bytes =
        std::max({product_bytes, g.gate_up.scratch_bytes(most), g.down.scratch_bytes(most)});
  }
  const size_t sums_bytes =
      static_cast<size_t>(
          std::max(2 * most_rows * kLdc, (most_rows + parts * tokens) * int64_t{kTileColumns})) *
      sizeof(float);
  size_t stride = 0;
  char* scratch = thread_scratch(sums_bytes + product_bytes, stride);
  pool_.parallel_for(static_cast<int64_t>(tiles.size()), [&](int64_t i, int thread) {
    const Tile& tile = tiles[static_cast<size_t>(i)];
    const MoeRows::Group& g = rows.groups[static_cast<size_t>(tile.group)];
    const int64_t expert_width = g.down.in_features();
    const int64_t columns = std::min<int64_t>(kTileColumns, expert_width - tile.column);
    const int count = static_cast<int>(std::min(tile_rows, g.count - tile.row));
    char* const sums = scratch + stride * static_cast<size_t>(thread);
    float* const c = reinterpret_cast<float*>(sums);
    SwiGluTile s;
    for (int half = 0; half < 2; ++half) {
      const int64_t column = half * expert_width + tile.column;
      const int64_t offset = column % kPanel;
      GemmTile gemm;
      gemm.a = packed_x;
      gemm.row = g.begin + tile.row;
      gemm.rows = count;
      gemm.panels = static_cast<int>((offset + columns + kPanel - 1) / kPanel);
      gemm.k = gemm.k_end = hidden;
      gemm.c = c + half * most_rows * kLdc;
      gemm.ldc = kLdc;
      g.gate_up.multiply(gemm, column / kPanel, sums + sums_bytes);
      g.gate_up.finish(gemm, column / kPanel);
      (half == 0 ? s.gate : s.up) = gemm.c + offset;
    }
    s.ldc = kLdc;
    s.rows = count;
    s.cols = static_cast<int>(columns);
    s.out = hidden_rows +
            static_cast<size_t>(g.begin * width + tile.row * expert_width + tile.column) * size;
    s.out_stride = expert_width;
    kernels.swiglu_tile(s);
  });

  std::vector<size_t> packed_at;
  size_t packed_bytes = 0;
  for (const MoeRows::Group& g : rows.groups) {
    packed_at.push_back(packed_bytes);
    packed_bytes += (kernels.packed_rows_bytes(g.count, g.down.in_features()) + 63) / 64 * 64;
  }
  char* packed_hidden = static_cast<char*>(packed_hidden_.get(packed_bytes));
  pool_.parallel_for(static_cast<int64_t>(rows.groups.size()), [&](int64_t i, int) {
    const MoeRows::Group& g = rows.groups[static_cast<size_t>(i)];
    const int64_t expert_width = g.down.in_features();
    kernels.pack_rows({hidden_rows + static_cast<size_t>(g.begin * width) * size, expert_width,
                       nullptr, expert_width, 0, g.count,
                       packed_hidden + packed_at[static_cast<size_t>(i)]});
  });

  // Each task owns some columns of the output and adds up all experts there, in rising order, once
  // for each part of the sums.
  pool_.parallel_for((hidden + kTileColumns - 1) / kTileColumns, [&](int64_t i, int thread) {
    const int64_t column = i * kTileColumns;
    const int64_t columns = std::min<int64_t>(kTileColumns, hidden - column);
    char* const own = scratch + stride * static_cast<size_t>(thread);
    float* const c = reinterpret_cast<float*>(own);
    float* const sums = c + most_rows * kTileColumns;
    std::fill(sums, sums + parts * tokens * kTileColumns, 0.0f);
    for (size_t e = 0; e < rows.groups.size(); ++e) {
      const MoeRows::Group& g = rows.groups[e];
      const int64_t k = g.down.in_features();
      const int expert_parts = g.down.sum_parts();
      for (int64_t row = 0; row < g.count; row += tile_rows) {
        const int count = static_cast<int>(std::min(tile_rows, g.count - row));
        for (int part = 0; part < expert_parts; ++part) {
          GemmTile gemm;
          gemm.a = packed_hidden + packed_at[e];
          gemm.row = row;
          gemm.rows = count;
          gemm.panels = static_cast<int>((columns + kPanel - 1) / kPanel);
          gemm.k = k;
          gemm.k_begin = k / expert_parts * part;
          gemm.k_end = k / expert_parts * (part + 1);
          gemm.c = c;
          gemm.ldc = kTileColumns;
          g.down.multiply(gemm, column / kPanel, own + sums_bytes);
          g.down.finish(gemm, column / kPanel);
          for (int r = 0; r < count; ++r) {
            const size_t at = static_cast<size_t>(g.begin + row + r);
            kernels.add_scaled(sums + (part * tokens + rows.token[at]) * kTileColumns,
                               c + r * kTileColumns, rows.weight[at], columns);
          }
        }
      }
    }
    for (int part = 1; part < parts; ++part) {
      kernels.add_scaled(sums, sums + part * tokens * kTileColumns, 1.0f, tokens * kTileColumns);
    }
    StoreTile s;
    s.c = sums;
    s.ldc = kTileColumns;
    s.rows = static_cast<int>(tokens);
    s.cols = static_cast<int>(columns);
    s.out =
        a.out.as<char>() + static_cast<size_t>(first * hidden + column) * dtype_bytes(a.out.dtype);
    s.out_stride = hidden;
    s.out_f32 = a.out.dtype == DType::kF32;
    kernels.store_tile(s);
  });
}

void CpuBackend::do_moe_experts(const ops::MoeExpertsArgs& a) {
  const TypedKernels& kernels = typed(a.x.dtype);
  const int64_t tokens = a.x.rows();
  const size_t token_bytes = kernels.packed_rows_bytes(kernels.gemm_row_step, a.x.cols()) *
                             static_cast<size_t>(a.expert_ids.cols() + 1);
  const int64_t most = std::max<int64_t>(
      1, static_cast<int64_t>(kPackedBytesPerChunk * static_cast<size_t>(kernels.gemm_row_step) /
                              token_bytes));
  for (int64_t first = 0; first < tokens; first += most) {
    moe_chunk(a, first, std::min(most, tokens - first));
  }
}

}  // namespace ernie::cpu
