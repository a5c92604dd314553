#include <algorithm>
#include <cmath>
#include <string>
#include <type_traits>
#include <vector>

#include "backend/cpu/cpu_ops.h"
#include "base/check.h"
#include "ops/quantize_kv.h"
#include "tensor/bf16.h"

namespace ernie::cpu {
namespace {

// Query rows (query x head) of one task; more rows read the keys less often, fewer fit the cache.
constexpr int kRowsPerTask = 96;

// Writes one key and one value of `d` cells to `offset` of a page of one head, in the layout that
// AttentionTask describes for T.
template <class T, class Cell>
void store_key_value(const Cell* key, const Cell* value, Cell* keys, Cell* values,
                     int64_t page_size, int64_t offset, int64_t d) {
  if (page_size % kPanel != 0 || d % kPanel != 0) {
    std::copy(key, key + d, keys + offset * d);
    std::copy(value, value + d, values + offset * d);
    return;
  }
  constexpr int64_t kGroup = sizeof(T) == 2 ? 2 : 1;  // consecutive k that lie side by side
  Cell* k = keys + offset / kPanel * kPanel * d + offset % kPanel * kGroup;
  for (int64_t e = 0; e < d; ++e) k[e / kGroup * kGroup * kPanel + e % kGroup] = key[e];
  Cell* v = values + offset / kGroup * kGroup * kPanel + offset % kGroup;
  for (int64_t p = 0; p < d; p += kPanel) {
    for (int64_t e = 0; e < kPanel; ++e) v[p * page_size + e * kGroup] = value[p + e];
  }
}

CacheCells cells_of(KvType type) {
  return type == KvType::kInt8  ? CacheCells::kInt8
         : type == KvType::kFp8 ? CacheCells::kE4m3
                                : CacheCells::kPlain;
}

}  // namespace

void CpuBackend::do_rope_kv_write(const ops::RopeKvWriteArgs& a) {
  const int64_t d = a.kv.layout.head_dim;
  const int64_t width = (a.q_heads + 2 * a.kv.layout.kv_heads) * d;
  const int64_t tokens = a.qkv.rows();
  const TypedKernels& kernels = typed(a.qkv.dtype);
  rope_.prepare(a.positions.as<const int32_t>(), tokens, 3, a.rope->inv_freq, a.rope->axis, true);
  const int64_t slot_count = a.kv.keys.shape.elements() / (a.kv.layout.kv_heads * d);
  const ops::KvLayout& layout = a.kv.layout;
  const auto write = [&](auto* qkv, int64_t t, uint8_t* cells) {
    using T = std::remove_pointer_t<decltype(qkv)>;
    T* row = qkv + t * width;
    for (int h = 0; h < a.q_heads + a.kv.layout.kv_heads; ++h) {
      kernels.rotate_pairs(row + h * d, rope_.cos(t), rope_.sin(t), d);
    }
    const int64_t slot = a.slots.as<const int32_t>()[t];
    if (slot < 0) return;
    CHECK(slot < slot_count,
          "rope_kv_write: slot " + std::to_string(slot) + " of " + std::to_string(slot_count));
    const int64_t block = slot / layout.block_size;
    const int64_t offset = slot % layout.block_size;
    for (int h = 0; h < layout.kv_heads; ++h) {
      const int64_t page = block * layout.kv_heads + h;
      const int64_t at = page * layout.block_size * d;
      const T* key = row + (a.q_heads + h) * d;
      const T* value = key + layout.kv_heads * d;
      if (!is_quantized(layout.type)) {
        store_key_value<T>(key, value, a.kv.keys.as<T>() + at, a.kv.values.as<T>() + at,
                           layout.block_size, offset, d);
        continue;
      }
      using Host = std::conditional_t<sizeof(T) == 4, float, BF16>;
      BF16* scales = a.kv.scales.as<BF16>() + (page * layout.block_size + offset) * 2;
      scales[0] = quantize_kv(reinterpret_cast<const Host*>(key), d, layout.type, cells);
      scales[1] = quantize_kv(reinterpret_cast<const Host*>(value), d, layout.type, cells + d);
      store_key_value<T>(cells, cells + d, a.kv.keys.as<uint8_t>() + at,
                         a.kv.values.as<uint8_t>() + at, layout.block_size, offset, d);
    }
  };
  for_ranges(tokens, std::max<int64_t>(1, 8192 / width), [&](int64_t first, int64_t count) {
    std::vector<uint8_t> cells(is_quantized(layout.type) ? static_cast<size_t>(2 * d) : 0);
    for (int64_t t = first; t < first + count; ++t) {
      a.qkv.dtype == DType::kF32 ? write(a.qkv.as<float>(), t, cells.data())
                                 : write(a.qkv.as<Bf16Bits>(), t, cells.data());
    }
  });
}

void CpuBackend::run_attention(const TypedKernels& kernels, std::vector<AttentionTask>& tasks) {
  int64_t floats = 0;
  for (const AttentionTask& t : tasks) {
    floats = std::max(floats, kernels.attention_scratch_floats(t.queries * t.heads, t.head_dim));
  }
  size_t stride = 0;
  char* scratch = thread_scratch(static_cast<size_t>(floats) * sizeof(float), stride);
  pool_.parallel_for(static_cast<int64_t>(tasks.size()), [&](int64_t i, int thread) {
    AttentionTask task = tasks[static_cast<size_t>(i)];
    task.scratch = reinterpret_cast<float*>(scratch + stride * static_cast<size_t>(thread));
    kernels.attention(task);
  });
}

void CpuBackend::do_paged_attention(const ops::PagedAttentionArgs& a) {
  const TypedKernels& kernels = typed(a.qkv.dtype);
  const int64_t d = a.kv.layout.head_dim;
  const size_t size = dtype_bytes(a.qkv.dtype);
  const int group = a.q_heads / a.kv.layout.kv_heads;
  const ops::AttentionBatch& batch = *a.batch;
  const int32_t* query_start = batch.query_start.as<const int32_t>();
  const int64_t max_blocks = batch.block_tables.shape[1];
  // With few sequences the heads of a group are spread over the threads, too.
  int heads = group;
  if (query_start[batch.num_seqs] == batch.num_seqs) {
    while (heads % 2 == 0 && heads > 1 &&
           int64_t{batch.num_seqs} * a.kv.layout.kv_heads * (group / heads) * 2 <=
               pool_.threads()) {
      heads /= 2;
    }
  }
  const int queries_per_task = std::max(1, kRowsPerTask / heads);

  AttentionTask task;
  task.q_stride = a.qkv.cols();
  task.heads = heads;
  task.head_dim = static_cast<int>(d);
  task.page_stride = int64_t{a.kv.layout.kv_heads} * a.kv.layout.block_size * d;
  task.page_size = a.kv.layout.block_size;
  task.cells = cells_of(a.kv.layout.type);
  const size_t cell_bytes = dtype_bytes(a.kv.keys.dtype);
  task.causal = true;
  task.scale = 1.0f / std::sqrt(static_cast<float>(d));
  task.out_stride = int64_t{a.q_heads} * d;
  attention_tasks_.clear();
  for (int s = 0; s < batch.num_seqs; ++s) {
    const int64_t length = query_start[s + 1] - query_start[s];
    const int64_t context = batch.context_len.as<const int32_t>()[s];
    CHECK(context >= length && context <= max_blocks * a.kv.layout.block_size,
          "paged_attention: sequence " + std::to_string(s) + " has " + std::to_string(length) +
              " queries and context " + std::to_string(context) + ", its block table holds " +
              std::to_string(max_blocks * a.kv.layout.block_size));
    task.pages = batch.block_tables.as<const int32_t>() + s * max_blocks;
    // The last queries see the most keys; they go first.
    const int64_t chunks = (length + queries_per_task - 1) / queries_per_task;
    for (int64_t c = chunks - 1; c >= 0; --c) {
      const int64_t first = c * queries_per_task;
      task.queries = static_cast<int>(std::min<int64_t>(queries_per_task, length - first));
      task.visible = context - length + 1 + first;
      for (int h = 0; h < a.q_heads; h += heads) {
        const int64_t row = query_start[s] + first;
        const size_t head = static_cast<size_t>(h * d);
        const int64_t token = int64_t{h / group} * a.kv.layout.block_size;
        const size_t page = static_cast<size_t>(token * d) * cell_bytes;
        task.q = a.qkv.as<char>() + (static_cast<size_t>(row * task.q_stride) + head) * size;
        task.out = a.out.as<char>() + (static_cast<size_t>(row * task.out_stride) + head) * size;
        task.keys = a.kv.keys.as<char>() + page;
        task.values = a.kv.values.as<char>() + page;
        if (task.cells != CacheCells::kPlain) task.scales = a.kv.scales.as<Bf16Bits>() + token * 2;
        attention_tasks_.push_back(task);
      }
    }
  }
  run_attention(kernels, attention_tasks_);
}

void CpuBackend::do_vision_rope(const ops::VisionRopeArgs& a) {
  const TypedKernels& kernels = typed(a.qkv.dtype);
  const int64_t d = a.head_dim;
  const int64_t rows = a.qkv.rows();
  // Half of the angles turn with the row, half with the column.
  std::vector<float> frequency;
  std::vector<uint8_t> axis;
  for (int64_t i = 0; i < d / 2; ++i) {
    const double exponent = -2.0 * static_cast<double>(i % (d / 4)) / (static_cast<double>(d) / 2);
    frequency.push_back(static_cast<float>(std::pow(static_cast<double>(a.theta), exponent)));
    axis.push_back(i < d / 4 ? 0 : 1);
  }
  vision_rope_.prepare(a.positions.as<const int32_t>(), rows, 2, frequency, axis, false);
  const size_t head_bytes = static_cast<size_t>(d) * dtype_bytes(a.qkv.dtype);
  for_ranges(rows, std::max<int64_t>(1, 8192 / a.qkv.cols()), [&](int64_t first, int64_t count) {
    for (int64_t r = first; r < first + count; ++r) {
      char* row = a.qkv.as<char>() + static_cast<size_t>(r * 3 * a.heads) * head_bytes;
      for (int h = 0; h < 2 * a.heads; ++h) {
        kernels.rotate_halves(row + static_cast<size_t>(h) * head_bytes, vision_rope_.cos(r),
                              vision_rope_.sin(r), d / 2);
      }
    }
  });
}

void CpuBackend::do_vision_attention(const ops::VisionAttentionArgs& a) {
  const TypedKernels& kernels = typed(a.qkv.dtype);
  const int64_t d = a.head_dim;
  const int64_t stride = a.qkv.cols();
  const int64_t segments = static_cast<int64_t>(a.segment_start.size()) - 1;
  const size_t size = dtype_bytes(a.qkv.dtype);

  // Each segment and head becomes one page of its own.
  const auto page_of = [&](int64_t s) {
    const int64_t length = a.segment_start[s + 1] - a.segment_start[s];
    return (length + kKeyTile - 1) / kKeyTile * kKeyTile;
  };
  std::vector<int64_t> first_key{0};
  for (int64_t s = 0; s < segments; ++s) first_key.push_back(first_key.back() + page_of(s));
  const size_t bytes = static_cast<size_t>(first_key.back() * a.heads * d) * size;
  char* keys = static_cast<char*>(keys_.get(bytes));
  char* values = static_cast<char*>(values_.get(bytes));
  const auto page_at = [&](int64_t s, int h) {
    return static_cast<size_t>((first_key[static_cast<size_t>(s)] * a.heads + h * page_of(s)) * d);
  };
  pool_.parallel_for(segments * a.heads, [&](int64_t i, int) {
    const int64_t s = i / a.heads;
    const int h = static_cast<int>(i % a.heads);
    const auto copy = [&](auto* qkv) {
      using T = std::remove_pointer_t<decltype(qkv)>;
      for (int64_t r = a.segment_start[s]; r < a.segment_start[s + 1]; ++r) {
        const T* key = qkv + r * stride + (a.heads + h) * d;
        store_key_value<T>(key, key + a.heads * d, reinterpret_cast<T*>(keys) + page_at(s, h),
                           reinterpret_cast<T*>(values) + page_at(s, h), page_of(s),
                           r - a.segment_start[s], d);
      }
    };
    a.qkv.dtype == DType::kF32 ? copy(a.qkv.as<float>()) : copy(a.qkv.as<Bf16Bits>());
  });

  AttentionTask task;
  task.q_stride = stride;
  task.heads = 1;
  task.head_dim = static_cast<int>(d);
  task.scale = 1.0f / std::sqrt(static_cast<float>(d));
  task.out_stride = a.heads * d;
  attention_tasks_.clear();
  for (int64_t s = 0; s < segments; ++s) {
    task.page_size = static_cast<int>(page_of(s));
    task.visible = a.segment_start[s + 1] - a.segment_start[s];
    for (int h = 0; h < a.heads; ++h) {
      task.keys = keys + page_at(s, h) * size;
      task.values = values + page_at(s, h) * size;
      for (int64_t r = a.segment_start[s]; r < a.segment_start[s + 1]; r += kRowsPerTask) {
        task.queries =
            static_cast<int>(std::min<int64_t>(kRowsPerTask, a.segment_start[s + 1] - r));
        task.q = a.qkv.as<char>() + static_cast<size_t>(r * stride + h * d) * size;
        task.out = a.out.as<char>() + static_cast<size_t>(r * task.out_stride + h * d) * size;
        attention_tasks_.push_back(task);
      }
    }
  }
  run_attention(kernels, attention_tasks_);
}

}  // namespace ernie::cpu
