#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "kernels/attention/paged_attention.h"
#include "kernels/testing/testing.h"

namespace ernie::kernels {
namespace {

using testing::DeviceArray;
using testing::Random;

struct Geometry {
  int q_heads;
  int kv_heads;
  int head_dim;
  int block_size;
};

// The last `queries` of `context` tokens. Sequences of one name have the same numbers.
struct Sequence {
  int name;
  int queries;
  int context;
};

using Bf16 = __nv_bfloat16;

constexpr CacheType kCaches[] = {CacheType::kPlain, CacheType::kInt8, CacheType::kE4m3};
constexpr CacheType kQuantised[] = {CacheType::kInt8, CacheType::kE4m3};
constexpr const char* kCacheNames[] = {"plain", "int8", "e4m3"};

// Keys or values [context, kv_heads, head_dim], and what a cache keeps of them.
template <class T>
struct Kept {
  std::vector<T> elements;
  std::vector<uint8_t> cells;
  std::vector<__nv_bfloat16> scales;  // [context, kv_heads]
  std::vector<double> numbers;        // elements, or cells * scales

  void quantise(CacheType cache, int d) {
    numbers.clear();
    if (cache == CacheType::kPlain) {
      for (const T x : elements) numbers.push_back(testing::widen(x));
      return;
    }
    cells.clear();
    scales.clear();
    const float limit = cache == CacheType::kInt8 ? 127.0f : 448.0f;
    for (size_t row = 0; row < elements.size(); row += static_cast<size_t>(d)) {
      float most = 0;
      for (int e = 0; e < d; ++e) {
        most = std::max(most, std::abs(static_cast<float>(elements[row + static_cast<size_t>(e)])));
      }
      scales.push_back(__float2bfloat16_rn(most / limit));
      const float scale = static_cast<float>(scales.back());
      for (int e = 0; e < d; ++e) {
        const float x = static_cast<float>(elements[row + static_cast<size_t>(e)]) / scale;
        if (cache == CacheType::kInt8) {
          const float rounded = std::nearbyint(std::min(std::max(x, -limit), limit));
          cells.push_back(static_cast<uint8_t>(static_cast<int8_t>(rounded)));
          numbers.push_back(double{rounded} * scale);
        } else {
          cells.push_back(__nv_cvt_float_to_fp8(x, __NV_SATFINITE, __NV_E4M3));
          const __half number = __nv_cvt_fp8_to_halfraw(cells.back(), __NV_E4M3);
          numbers.push_back(double{static_cast<float>(number)} * scale);
        }
      }
    }
  }
};

template <class T>
struct Contents {
  std::vector<T> q;  // [context, q_heads, head_dim]
  Kept<T> k;
  Kept<T> v;
};

template <class T>
Contents<T> make_contents(const Geometry& g, int name, int context, CacheType cache) {
  // The numbers of token t do not depend on the context.
  Contents<T> c;
  for (int t = 0; t < context; ++t) {
    Random random(static_cast<uint64_t>(name) * 1000003 + static_cast<uint64_t>(t));
    const auto append = [&](std::vector<T>& to, int heads, double scale) {
      const std::vector<T> row = random.normal<T>(static_cast<size_t>(heads * g.head_dim), scale);
      to.insert(to.end(), row.begin(), row.end());
    };
    append(c.q, g.q_heads, 1.5);
    append(c.k.elements, g.kv_heads, 1.0);
    append(c.v.elements, g.kv_heads, 1.0);
  }
  c.k.quantise(cache, g.head_dim);
  c.v.quantise(cache, g.head_dim);
  return c;
}

template <class T>
class Batch {
 public:
  // `spare_pages`: room for more expanded contexts than one.
  Batch(const Geometry& g, const std::vector<Sequence>& sequences, uint64_t seed = 1,
        CacheType cache = CacheType::kPlain, int spare_pages = 0)
      : g_(g), sequences_(sequences), cache_(cache) {
    int blocks = 1;
    int max_blocks = 1;
    for (const Sequence& s : sequences) {
      const int own = (s.context + g.block_size - 1) / g.block_size;
      blocks += own;
      max_blocks = std::max(max_blocks, own);
      max_query_len_ = std::max(max_query_len_, s.queries);
    }
    // Scattered blocks; a slot that holds no token is NaN, which must not reach a result.
    std::vector<int32_t> order(static_cast<size_t>(blocks));
    for (int i = 0; i < blocks; ++i) order[static_cast<size_t>(i)] = i;
    Random random(seed);
    for (size_t i = order.size() - 1; i > 0; --i) {
      std::swap(order[i], order[static_cast<size_t>(random.integer(0, static_cast<int64_t>(i)))]);
    }
    const size_t cache_size = static_cast<size_t>(blocks) * g.kv_heads * g.block_size * g.head_dim;
    std::vector<T> keys(cache_size, static_cast<T>(NAN)), values = keys;
    std::vector<uint8_t> key_cells(cache_size, 0x7f), value_cells = key_cells;  // NaN in e4m3
    std::vector<__nv_bfloat16> scales(cache_size / g.head_dim * 2, static_cast<Bf16>(NAN));
    const int width = (g.q_heads + 2 * g.kv_heads) * g.head_dim;
    std::vector<T> qkv;
    std::vector<int32_t> query_start{0}, context_len, tables;
    size_t next_block = 0;
    for (const Sequence& s : sequences) {
      if (contents_.count(s.name) == 0 ||
          contents_[s.name].k.elements.size() <
              static_cast<size_t>(s.context) * g.kv_heads * g.head_dim) {
        contents_[s.name] = make_contents<T>(g, s.name, s.context, cache);
      }
      const Contents<T>& c = contents_[s.name];
      const size_t table_at = tables.size();
      tables.resize(table_at + static_cast<size_t>(max_blocks), 0);
      for (int t = 0; t < s.context; ++t) {
        if (t % g.block_size == 0) {
          tables[table_at + static_cast<size_t>(t / g.block_size)] = order[next_block++];
        }
        const int block = tables[table_at + static_cast<size_t>(t / g.block_size)];
        for (int h = 0; h < g.kv_heads; ++h) {
          const size_t from = (static_cast<size_t>(t) * g.kv_heads + h) * g.head_dim;
          const size_t to = ((static_cast<size_t>(block) * g.kv_heads + h) * g.block_size +
                             static_cast<size_t>(t % g.block_size)) *
                            g.head_dim;
          const auto copy = [&](const auto& source, auto& destination) {
            std::copy_n(source.begin() + static_cast<int64_t>(from), g.head_dim,
                        destination.begin() + static_cast<int64_t>(to));
          };
          if (cache == CacheType::kPlain) {
            copy(c.k.elements, keys);
            copy(c.v.elements, values);
          } else {
            copy(c.k.cells, key_cells);
            copy(c.v.cells, value_cells);
            const size_t row = to / static_cast<size_t>(g.head_dim) * 2;
            scales[row] = c.k.scales[from / static_cast<size_t>(g.head_dim)];
            scales[row + 1] = c.v.scales[from / static_cast<size_t>(g.head_dim)];
          }
        }
      }
      for (int t = s.context - s.queries; t < s.context; ++t) {
        const size_t at = qkv.size();
        qkv.resize(at + static_cast<size_t>(width), static_cast<T>(NAN));
        if (t < 0) continue;  // padding
        std::copy_n(c.q.begin() + int64_t{t} * g.q_heads * g.head_dim, g.q_heads * g.head_dim,
                    qkv.begin() + static_cast<int64_t>(at));
      }
      query_start.push_back(query_start.back() + s.queries);
      context_len.push_back(s.context);
    }
    tokens_ = query_start.back();
    const DeviceArray<T> device_qkv(qkv), device_keys(keys), device_values(values);
    const DeviceArray<uint8_t> device_key_cells(key_cells), device_value_cells(value_cells);
    const DeviceArray<__nv_bfloat16> device_scales(scales);
    const DeviceArray<int32_t> starts(query_start), lengths(context_len), block_tables(tables);
    const DeviceArray<T> out(static_cast<size_t>(tokens_) * g.q_heads * g.head_dim);
    PagedAttentionParams p;
    p.type = type();
    p.qkv = device_qkv.data();
    p.out = out.data();
    p.cache = cache;
    p.keys = device_keys.data();
    p.values = device_values.data();
    if (cache != CacheType::kPlain) {
      p.keys = device_key_cells.data();
      p.values = device_value_cells.data();
      p.scales = device_scales.data();
    }
    p.host_query_start = query_start.data();
    p.host_context_len = context_len.data();
    p.query_start = starts.data();
    p.context_len = lengths.data();
    p.block_tables = block_tables.data();
    p.max_blocks = max_blocks;
    p.num_seqs = static_cast<int>(sequences.size());
    p.max_query_len = max_query_len_;
    p.tokens = tokens_;
    p.q_heads = g.q_heads;
    p.kv_heads = g.kv_heads;
    p.head_dim = g.head_dim;
    p.block_size = g.block_size;
    p.workspace_bytes = paged_attention_workspace_bytes(p.num_seqs, p.tokens, p.q_heads, p.head_dim,
                                                        int64_t{max_blocks} * g.block_size);
    if (cache != CacheType::kPlain && max_query_len_ > 1) {
      p.expanded_bytes =
          expanded_cache_bytes(p.num_seqs, max_blocks, g.kv_heads, g.head_dim, g.block_size) +
          static_cast<size_t>(spare_pages) *
              attention::expanded_page_bytes(g.kv_heads, g.head_dim, g.block_size);
    }
    const DeviceArray<unsigned char> workspace(p.workspace_bytes);
    p.workspace = workspace.data();
    const DeviceArray<unsigned char> expanded(p.expanded_bytes);
    p.expanded = expanded.data();
    CUDA_OK(cudaMemset(p.workspace, 0, kAttentionCounterBytes));
    // Twice: a launch leaves the counters as it found them.
    testing::run_in_graph([&](cudaStream_t stream) { return launch_paged_attention(p, stream); },
                          2);
    out_ = out.download();
  }

  static constexpr ElementType type() {
    return std::is_same_v<T, float> ? ElementType::kF32 : ElementType::kBF16;
  }

  std::vector<T> rows(size_t sequence) const {
    size_t first = 0;
    for (size_t s = 0; s < sequence; ++s) first += static_cast<size_t>(sequences_[s].queries);
    const int64_t width = int64_t{g_.q_heads} * g_.head_dim;
    const auto begin = out_.begin() + static_cast<int64_t>(first) * width;
    return std::vector<T>(begin, begin + sequences_[sequence].queries * width);
  }

  // Against float64; of long inputs a sample of rows and heads.
  void check(const std::string& name) {
    std::vector<double> actual, expected, magnitude;
    const int group = g_.q_heads / g_.kv_heads, d = g_.head_dim;
    for (size_t s = 0; s < sequences_.size(); ++s) {
      const Sequence& sequence = sequences_[s];
      const std::vector<T> out = rows(s);
      const Contents<T>& c = contents_[sequence.name];
      // Decoding on tensor cores multiplies by scales in float32; all else rounds cell * scale.
      const bool rounds = sequence.queries > 1 || !attention_on_tensor_cores(type(), g_.head_dim);
      const auto number = [&](const Kept<T>& kept, int at) {
        const double x = kept.numbers[static_cast<size_t>(at)];
        return rounds ? testing::widen(static_cast<T>(static_cast<float>(x))) : x;
      };
      const int row_step = 1 + sequence.queries / 9;
      const int head_step = sequence.context > 600 ? std::max(1, g_.q_heads / 3) : 1;
      for (int i = sequence.queries - 1; i >= 0; i -= row_step) {
        const int keys = sequence.context - sequence.queries + i + 1;
        for (int h = i % head_step; h < g_.q_heads; h += head_step) {
          std::vector<double> scores(static_cast<size_t>(std::max(keys, 0)));
          double top = -1e300, total = 0;
          for (int k = 0; k < keys; ++k) {
            double dot = 0;
            for (int e = 0; e < d; ++e) {
              dot +=
                  testing::widen(c.q[static_cast<size_t>(((keys - 1) * g_.q_heads + h) * d + e)]) *
                  number(c.k, (k * g_.kv_heads + h / group) * d + e);
            }
            scores[static_cast<size_t>(k)] = dot / std::sqrt(static_cast<double>(d));
            top = std::max(top, scores[static_cast<size_t>(k)]);
          }
          for (double& x : scores) total += x = std::exp(x - top);
          for (int e = 0; e < d; ++e) {
            double sum = 0, absolute = 0;
            for (int k = 0; k < keys; ++k) {
              const double x = scores[static_cast<size_t>(k)] / total *
                               number(c.v, (k * g_.kv_heads + h / group) * d + e);
              sum += x;
              absolute += std::abs(x);
            }
            actual.push_back(
                testing::widen(out[static_cast<size_t>((i * g_.q_heads + h) * d + e)]));
            expected.push_back(sum);
            magnitude.push_back(absolute);
          }
        }
      }
    }
    // bfloat16 tensor cores round the weights to bfloat16, too.
    const double error = std::is_same_v<T, float> ? 1e-5 : 0.003;
    testing::expect_close_values(
        actual, expected,
        [&](size_t i) {
          return testing::Tolerance{testing::rounding<T>(), error * magnitude[i]};
        },
        name + ", " + testing::type_name<T>() + ", " + kCacheNames[static_cast<int>(cache_)] +
            " cache, " + std::to_string(g_.q_heads) + "/" + std::to_string(g_.kv_heads) +
            " heads of " + std::to_string(g_.head_dim) + ", block " +
            std::to_string(g_.block_size));
  }

 private:
  Geometry g_;
  std::vector<Sequence> sequences_;
  CacheType cache_;
  std::map<int, Contents<T>> contents_;
  std::vector<T> out_;
  int tokens_ = 0;
  int max_query_len_ = 1;
};

const Geometry kGeometries[] = {{4, 4, 64, 16},   {8, 4, 128, 64},  {16, 4, 64, 64},
                                {20, 4, 128, 64}, {16, 2, 128, 16}, {20, 1, 64, 5}};

std::vector<Sequence> decode_of(std::initializer_list<int> contexts) {
  std::vector<Sequence> sequences;
  for (int c : contexts) sequences.push_back({c, 1, c});
  return sequences;
}

KERNEL_TEST(DecodeMatchesFloat64) {
  for (const CacheType cache : kCaches) {
    for (const Geometry& g : kGeometries) {
      Batch<Bf16>(g, decode_of({1, 15, 16, 17, 63, 64, 65, 255, 256, 257, 300}), 1, cache)
          .check("decode");
    }
  }
}

KERNEL_TEST(DecodeOfLongContextsMatchesFloat64) {
  Batch<Bf16>({20, 4, 128, 64}, decode_of({4096})).check("one");
  Batch<Bf16>({8, 1, 128, 64}, decode_of({16384, 16385, 5000, 20000})).check("many splits");
  std::vector<Sequence> many;
  for (int i = 0; i < 64; ++i) many.push_back({i, 1, 1 + i * 79 % 5000});
  Batch<Bf16>({10, 2, 128, 16}, many).check("64 sequences");
  for (const CacheType cache : kQuantised) {
    Batch<Bf16>({20, 4, 128, 64}, decode_of({4096}), 1, cache).check("one");
    Batch<Bf16>({8, 1, 64, 16}, decode_of({16385, 5000}), 1, cache).check("many splits");
  }
}

KERNEL_TEST(PrefillMatchesFloat64) {
  const std::vector<Sequence> sequences = {{1, 2, 2},    {2, 63, 63},  {3, 64, 64},
                                           {4, 65, 130}, {5, 17, 300}, {6, 129, 129}};
  for (const CacheType cache : kCaches) {
    for (const Geometry& g : kGeometries) {
      Batch<Bf16>(g, sequences, 1, cache).check("prefill");
    }
  }
}

KERNEL_TEST(LongPrefillMatchesFloat64) {
  Batch<Bf16>({20, 4, 128, 64}, {{1, 2000, 2000}, {2, 500, 3000}}).check("long prefill");
  Batch<Bf16>({8, 2, 64, 16}, {{1, 1537, 1537}, {2, 3, 2049}}).check("long prefill");
}

KERNEL_TEST(MixedStepsMatchFloat64) {
  for (const CacheType cache : kCaches) {
    for (const Geometry& g : {Geometry{8, 2, 128, 64}, Geometry{5, 1, 64, 16}}) {
      Batch<Bf16>(g, {{1, 1, 300}, {2, 70, 200}, {3, 1, 1}, {4, 2, 65}, {5, 1, 700}}, 1, cache)
          .check("mixed step");
    }
  }
}

KERNEL_TEST(FallbackMatchesFloat64) {
  const std::vector<Sequence> sequences = {{1, 1, 300}, {2, 70, 100}, {3, 1, 1}, {4, 33, 33}};
  for (const CacheType cache : kCaches) {
    for (const Geometry& g :
         {Geometry{4, 2, 64, 16}, Geometry{8, 1, 128, 64}, Geometry{3, 1, 16, 16},
          Geometry{4, 1, 32, 5}, Geometry{2, 1, 80, 64}}) {
      Batch<float>(g, sequences, 1, cache).check("fallback");
      Batch<Bf16>(g, sequences, 1, cache).check("fallback");
    }
  }
}

KERNEL_TEST(RowsDoNotDependOnTheBatch) {
  const Geometry g{20, 4, 128, 64};
  std::vector<Sequence> all = {{1, 1, 900}, {2, 200, 400}, {3, 1, 5}, {4, 1, 2700}, {5, 2, 90}};
  for (int i = 6; i < 40; ++i) all.push_back({i, 1, 10 * i});
  for (const CacheType cache : kCaches) {
    const Batch<Bf16> together(g, all, 1, cache);
    for (size_t s = 0; s < 8; ++s) {
      testing::expect_same_bits(Batch<Bf16>(g, {all[s]}, 7, cache).rows(0), together.rows(s),
                                "alone, sequence " + std::to_string(s));
    }
  }
}

// Contexts are expanded one after the other, or together.
KERNEL_TEST(RoomForMoreContextsDoesNotChangeTheBits) {
  const Geometry g{8, 2, 128, 16};
  const std::vector<Sequence> sequences = {{1, 90, 200}, {2, 1, 77}, {3, 40, 40}, {4, 2, 190}};
  for (const CacheType cache : kQuantised) {
    const Batch<Bf16> reference(g, sequences, 1, cache);
    for (const int pages : {3, 1000}) {
      const Batch<Bf16> other(g, sequences, 1, cache, pages);
      for (size_t s = 0; s < sequences.size(); ++s) {
        testing::expect_same_bits(other.rows(s), reference.rows(s), std::to_string(pages));
      }
    }
  }
}

KERNEL_TEST(BlockSizeDoesNotChangeTheBits) {
  const std::vector<Sequence> sequences = {{1, 1, 900}, {2, 100, 300}};
  for (const CacheType cache : kCaches) {
    const Batch<Bf16> reference({8, 2, 128, 64}, sequences, 1, cache);
    for (int block_size : {16, 5, 256}) {
      const Batch<Bf16> other({8, 2, 128, block_size}, sequences, 3, cache);
      for (size_t s = 0; s < 2; ++s) {
        testing::expect_same_bits(other.rows(s), reference.rows(s), std::to_string(block_size));
      }
    }
  }
}

KERNEL_TEST(ChunksGiveTheBitsOfTheWhole) {
  for (const CacheType cache : kCaches) {
    for (const Geometry& g : {Geometry{8, 2, 128, 64}, Geometry{6, 2, 64, 16}}) {
      const std::vector<Bf16> whole = Batch<Bf16>(g, {{1, 450, 450}}, 1, cache).rows(0);
      int first = 0;
      for (int end : {130, 132, 261, 450}) {
        const std::vector<Bf16> part = Batch<Bf16>(g, {{1, end - first, end}}, 1, cache).rows(0);
        const auto begin = whole.begin() + int64_t{first} * g.q_heads * g.head_dim;
        testing::expect_same_bits(
            part, std::vector<Bf16>(begin, begin + static_cast<int64_t>(part.size())),
            "rows " + std::to_string(first) + " to " + std::to_string(end));
        first = end;
      }
    }
  }
}

KERNEL_TEST(PaddingGivesZeros) {
  const Geometry g{8, 2, 128, 64};
  for (const CacheType cache : kCaches) {
    const Batch<Bf16> batch(g, {{1, 1, 70}, {2, 1, 0}, {3, 1, 0}}, 1, cache);
    for (size_t s : {1, 2}) {
      for (Bf16 x : batch.rows(s)) {
        EXPECT(testing::widen(x) == 0.0, "a padded row holds " + std::to_string(testing::widen(x)));
      }
    }
  }
}

}  // namespace
}  // namespace ernie::kernels
