#include <algorithm>
#include <iterator>
#include <numeric>
#include <span>

#include "ops/quantize_kv.h"
#include "tests/ops/op_fixture.h"

namespace ernie::op_tests {
namespace {

struct Geometry {
  int q_heads;
  int kv_heads;
  int head_dim;
  int block_size;
};

ops::RopeTable rope_table(int head_dim) {
  ops::RopeTable rope;
  for (int i = 0; i < head_dim / 2; ++i) {
    rope.inv_freq.push_back(std::pow(500000.0f, -2.0f * static_cast<float>(i) / head_dim));
    rope.axis.push_back(static_cast<uint8_t>(i * 8 < head_dim * 3 ? 1 + i % 2 : 0));
  }
  return rope;
}

// A cache with sequences whose blocks are scattered over it. Slots that no token was written to
// hold NaN, which must never reach a result.
class PagedTest : public OpTest {
 protected:
  void make_cache(const Geometry& g, std::vector<int> lengths, KvType type) {
    g_ = g;
    rope_ = rope_table(g.head_dim);
    int blocks = 0;
    max_blocks_ = 0;
    for (int n : lengths) {
      blocks += (n + g.block_size - 1) / g.block_size;
      max_blocks_ = std::max(max_blocks_, (n + g.block_size - 1) / g.block_size);
    }
    const Shape shape{blocks + 1, g.kv_heads, g.block_size, g.head_dim};
    keys_ = std::make_unique<HostTensor>(element_dtype(type), shape);
    values_ = std::make_unique<HostTensor>(element_dtype(type), shape);
    scales_ =
        std::make_unique<HostTensor>(DType::kBF16, Shape{blocks + 1, g.kv_heads, g.block_size, 2});
    const double unwritten = is_quantized(type) ? 0x7f : std::nan("");  // NaN in e4m3
    keys_->fill(unwritten);
    values_->fill(unwritten);
    scales_->fill(std::nan(""));
    std::vector<int32_t> order(static_cast<size_t>(blocks));
    std::iota(order.begin(), order.end(), 1);
    std::shuffle(order.begin(), order.end(), random_);
    tables_.clear();
    for (int n : lengths) {
      const int count = (n + g.block_size - 1) / g.block_size;
      tables_.emplace_back(order.end() - count, order.end());
      order.resize(order.size() - static_cast<size_t>(count));
      tables_.back().resize(static_cast<size_t>(max_blocks_), 0);
    }
    kv_ = {keys_->view(),
           values_->view(),
           is_quantized(type) ? scales_->view() : TensorView{},
           {type, g.block_size, g.kv_heads, g.head_dim}};
    width_ = (g.q_heads + 2 * g.kv_heads) * g.head_dim;
  }

  static std::vector<int32_t> position(int token) { return {token + 3, token % 7 + 1, token % 5}; }

  struct Chunk {
    int sequence;
    int first;
    int count;
  };

  // Writes the chunks' keys and values and attends; qkv rows come from `inputs` [sequence][token].
  HostTensor step(const std::vector<Chunk>& chunks, std::vector<HostTensor>& inputs) {
    int tokens = 0;
    for (const Chunk& c : chunks) tokens += c.count;
    HostTensor qkv = zeros({tokens, width_});
    std::vector<int32_t> positions, slots, query_start{0}, context, tables;
    int row = 0;
    int longest = 0;
    for (const Chunk& c : chunks) {
      const auto& table = tables_[static_cast<size_t>(c.sequence)];
      for (int t = c.first; t < c.first + c.count; ++t, ++row) {
        for (int i = 0; i < width_; ++i) {
          qkv.set(int64_t{row} * width_ + i, inputs[static_cast<size_t>(c.sequence)].at(t, i));
        }
        for (int32_t p : position(t)) positions.push_back(p);
        slots.push_back(table[static_cast<size_t>(t / g_.block_size)] * g_.block_size +
                        t % g_.block_size);
      }
      query_start.push_back(row);
      context.push_back(c.first + c.count);
      tables.insert(tables.end(), table.begin(), table.end());
      longest = std::max(longest, c.count);
    }
    const int64_t n = static_cast<int64_t>(chunks.size());
    HostTensor p = integers(positions, {tokens, 3}), s = integers(slots);
    HostTensor start = integers(query_start), len = integers(context);
    HostTensor table = integers(tables, {n, max_blocks_});
    backend_->rope_kv_write({qkv.view(), p.view(), s.view(), &rope_, g_.q_heads, kv_});
    const ops::AttentionBatch batch{static_cast<int>(n), longest,     start.view(), len.view(),
                                    table.view(),        query_start, context};
    HostTensor out = zeros({tokens, g_.q_heads * g_.head_dim});
    backend_->paged_attention({qkv.view(), &batch, g_.q_heads, kv_, out.view()});
    return out;
  }

  double rotated(const HostTensor& x, int token, int offset, int i) const {
    const size_t pair = static_cast<size_t>(i / 2);
    const float angle =
        static_cast<float>(position(token)[rope_.axis[pair]]) * rope_.inv_freq[pair];
    const double a = x.at(token, offset + i), b = x.at(token, offset + (i ^ 1));
    const double sign = i % 2 == 0 ? -1 : 1;
    const double v = a * std::cos(double{angle}) + sign * b * std::sin(double{angle});
    return bf16() ? to_float(to_bf16(static_cast<float>(v))) : v;
  }

  // What the cache keeps of elements [offset, offset + head_dim) of a token.
  std::vector<double> kept(std::vector<double> elements) const {
    const KvType type = kv_.layout.type;
    if (!is_quantized(type)) return elements;
    const std::vector<float> in(elements.begin(), elements.end());
    std::vector<uint8_t> cells(in.size());
    const float scale = to_float(quantize_kv(in.data(), std::ssize(in), type, cells.data()));
    for (size_t i = 0; i < in.size(); ++i) elements[i] = double{kv_cell(cells[i], type)} * scale;
    return elements;
  }

  void expect_attention(const HostTensor& out, const HostTensor& x, int length) {
    const int d = g_.head_dim, group = g_.q_heads / g_.kv_heads;
    std::vector<double> scores(static_cast<size_t>(length));
    std::vector<std::vector<double>> q(static_cast<size_t>(length)), k = q, v = q;
    for (int h = 0; h < g_.q_heads; ++h) {
      const int key_at = (g_.q_heads + h / group) * d, value_at = key_at + g_.kv_heads * d;
      for (int t = 0; t < length; ++t) {
        auto& qt = q[static_cast<size_t>(t)];
        auto& kt = k[static_cast<size_t>(t)];
        qt.resize(static_cast<size_t>(d));
        kt.resize(static_cast<size_t>(d));
        auto& vt = v[static_cast<size_t>(t)];
        vt.resize(static_cast<size_t>(d));
        for (int i = 0; i < d; ++i) {
          qt[static_cast<size_t>(i)] = rotated(x, t, h * d, i);
          kt[static_cast<size_t>(i)] = rotated(x, t, key_at, i);
          vt[static_cast<size_t>(i)] = x.at(t, value_at + i);
        }
        kt = kept(std::move(kt));
        vt = kept(std::move(vt));
      }
      for (int t = 0; t < length; t += 1 + length / 11) {
        double top = -1e300, sum = 0;
        for (int s = 0; s <= t; ++s) {
          double dot = 0;
          for (size_t i = 0; i < static_cast<size_t>(d); ++i) {
            dot += q[static_cast<size_t>(t)][i] * k[static_cast<size_t>(s)][i];
          }
          scores[static_cast<size_t>(s)] = dot / std::sqrt(static_cast<double>(d));
          top = std::max(top, scores[static_cast<size_t>(s)]);
        }
        for (int s = 0; s <= t; ++s) {
          sum += scores[static_cast<size_t>(s)] = std::exp(scores[static_cast<size_t>(s)] - top);
        }
        for (int i = 0; i < d; ++i) {
          double y = 0;
          for (int s = 0; s <= t; ++s)
            y += scores[static_cast<size_t>(s)] / sum *
                 v[static_cast<size_t>(s)][static_cast<size_t>(i)];
          // A rotated element may fall on the other side of a rounding boundary, of bfloat16 or of
          // a cell.
          const double tolerance =
              (bf16() ? 0.02 : 2e-5) + (is_quantized(kv_.layout.type) ? 0.01 : 0);
          ASSERT_NEAR(out.at(t, h * d + i), y, tolerance) << "head " << h << ", token " << t;
        }
      }
    }
  }

  void match_however_cut(std::span<const Geometry> geometries, KvType type) {
    for (const Geometry& g : geometries) {
      const std::vector<int> lengths = {1, 63, 65, 130, 17};
      make_cache(g, lengths, type);
      std::vector<HostTensor> inputs;
      std::vector<Chunk> whole;
      for (size_t s = 0; s < lengths.size(); ++s) {
        inputs.push_back(random({lengths[s], width_}));
        whole.push_back({static_cast<int>(s), 0, lengths[s]});
      }
      // All prompts at once.
      const HostTensor together = step(whole, inputs);
      // Each prompt alone: in odd chunks, then token by token at the end.
      int row = 0;
      for (size_t s = 0; s < lengths.size(); ++s) {
        const int n = lengths[s];
        HostTensor alone = zeros({n, g.q_heads * g.head_dim});
        for (int first = 0; first < n;) {
          const int count = first + 7 < n * 3 / 4 ? std::min(37, n * 3 / 4 - first) : 1;
          HostTensor part = step({{static_cast<int>(s), first, count}}, inputs);
          for (int i = 0; i < count && promises_.same_bits_however_cut; ++i) {
            ASSERT_EQ(part.row_bits(i), together.row_bits(row + first + i))
                << "sequence of " << n << ", token " << first + i << ", head_dim " << g.head_dim
                << ", block " << g.block_size;
          }
          for (int64_t i = 0; i < part.size(); ++i) {
            alone.set(int64_t{first} * g.q_heads * g.head_dim + i, part.at(i));
          }
          first += count;
        }
        expect_attention(alone, inputs[s], n);
        if (!promises_.same_bits_however_cut) {
          HostTensor at_once = zeros({n, g.q_heads * g.head_dim});
          for (int64_t i = 0; i < at_once.size(); ++i) {
            at_once.set(i, together.at(int64_t{row} * g.q_heads * g.head_dim + i));
          }
          expect_attention(at_once, inputs[s], n);
        }
        row += n;
      }
    }
  }

  Geometry g_{};
  ops::RopeTable rope_;
  std::unique_ptr<HostTensor> keys_, values_, scales_;
  std::vector<std::vector<int32_t>> tables_;
  int max_blocks_ = 0;
  int64_t width_ = 0;
  ops::KvLayer kv_;
};

TEST_P(PagedTest, MatchesFloat64HoweverTheWorkIsCut) {
  const Geometry geometries[] = {{4, 2, 64, 16}, {8, 1, 128, 64}, {3, 3, 80, 32}, {5, 1, 64, 128},
                                 {2, 2, 48, 48}, {2, 1, 24, 16},  {2, 1, 64, 5},  {16, 2, 128, 64}};
  match_however_cut(geometries, kv_type_of(dtype_));
}

TEST_P(PagedTest, AQuantisedCacheMatchesItsValuesInFloat64) {
  const Geometry geometries[] = {{4, 2, 64, 16}, {8, 1, 128, 64}, {3, 3, 80, 32},
                                 {2, 1, 24, 16}, {2, 1, 64, 5},   {16, 2, 128, 64}};
  for (const KvType type : {KvType::kInt8, KvType::kFp8}) match_however_cut(geometries, type);
}

TEST_P(PagedTest, BlockSizeDoesNotChangeTheBits) {
  for (const KvType type : {kv_type_of(dtype_), KvType::kInt8, KvType::kFp8}) {
    std::string bits;
    for (int block : {64, 16, 256, 5}) {
      random_.seed(7);
      make_cache({4, 2, 64, block}, {150}, type);
      random_.seed(8);
      std::vector<HostTensor> inputs;
      inputs.push_back(random({150, width_}));
      const HostTensor out = step({{0, 0, 150}}, inputs);
      if (bits.empty()) bits = out.row_bits(0, 150);
      EXPECT_EQ(out.row_bits(0, 150), bits) << kv_type_name(type) << ", block size " << block;
    }
  }
}

// Backends may lay out a block of a head as they like, but not its scales.
TEST_P(PagedTest, EachTokenAndHeadHasItsScales) {
  for (const KvType type : {KvType::kInt8, KvType::kFp8}) {
    const Geometry g{2, 2, 64, 16};
    make_cache(g, {20}, type);
    std::vector<HostTensor> inputs;
    inputs.push_back(random({20, width_}));
    // Token 3 has a value of zeros in head 0 and a NaN among those of head 1.
    const int64_t values_at = int64_t{g.q_heads + g.kv_heads} * g.head_dim;
    for (int i = 0; i < g.head_dim; ++i) inputs[0].set(3 * width_ + values_at + i, 0);
    inputs[0].set(3 * width_ + values_at + g.head_dim + 5, std::nan(""));
    const HostTensor out = step({{0, 0, 20}}, inputs);
    for (int t = 0; t < 20; ++t) {
      for (int h = 0; h < g.kv_heads; ++h) {
        std::vector<float> value;
        for (int i = 0; i < g.head_dim; ++i) {
          value.push_back(static_cast<float>(inputs[0].at(t, values_at + h * g.head_dim + i)));
        }
        std::vector<uint8_t> cells(value.size());
        const BF16 scale = quantize_kv(value.data(), std::ssize(value), type, cells.data());
        const int64_t block = tables_[0][static_cast<size_t>(t / g.block_size)];
        const int64_t at = ((block * g.kv_heads + h) * g.block_size + t % g.block_size) * 2 + 1;
        if (t == 3 && h == 1) {
          EXPECT_TRUE(std::isnan(scales_->at(at)));
        } else {
          EXPECT_EQ(scales_->at(at), to_float(scale)) << "token " << t << ", head " << h;
        }
      }
      // Who sees the fault has it; the other head does not.
      EXPECT_TRUE(t < 3 || std::isnan(out.at(t, g.head_dim))) << t;
      EXPECT_TRUE(std::isfinite(out.at(t, 0))) << t;
    }
  }
}

TEST_P(PagedTest, ExtremeScoresStayFinite) {
  for (const KvType type : {kv_type_of(dtype_), KvType::kInt8, KvType::kFp8}) {
    make_cache({1, 1, 64, 16}, {70}, type);
    std::vector<HostTensor> inputs;
    inputs.push_back(random({70, width_}, 300.0));
    const HostTensor out = step({{0, 0, 70}}, inputs);
    for (int64_t i = 0; i < out.size(); ++i) {
      ASSERT_TRUE(std::isfinite(out.at(i))) << kv_type_name(type) << ' ' << i;
    }
  }
}

ERNIE_OP_TABLE(PagedTest);

class VisionTest : public OpTest {};

TEST_P(VisionTest, RopeTurnsHalvesByRowAndColumn) {
  for (int d : {80, 64, 16}) {
    const int heads = 3, rows = 11;
    HostTensor qkv = random({rows, 3 * heads * d}), before = qkv;
    HostTensor positions(DType::kI32, {rows, 2});
    for (int i = 0; i < rows * 2; ++i) positions.set(i, i * 5 % 13);
    backend_->vision_rope({qkv.view(), positions.view(), heads, d, 10000.0f});
    expect_close(
        qkv, rounding(),
        [&](int64_t i) {
          const int64_t r = i / (3 * heads * d), c = i % (3 * heads * d), e = c % d;
          if (c >= 2 * heads * d) return std::pair(before.at(i), 0.0);
          const int64_t j = e % (d / 2), quarter = d / 4;
          const double angle = positions.at(r * 2 + (j < quarter ? 0 : 1)) *
                               std::pow(10000.0, -2.0 * static_cast<double>(j % quarter) / (d / 2));
          const double other = before.at(i + (e < d / 2 ? d / 2 : -d / 2));
          const double y =
              before.at(i) * std::cos(angle) + (e < d / 2 ? -other : other) * std::sin(angle);
          return std::pair(y, 5.0);
        },
        "vision_rope " + std::to_string(d));
  }
}

TEST_P(VisionTest, AttendsInsideEachSegment) {
  for (int d : {80, 64, fit(20)}) {
    const int heads = 2;
    const std::vector<int32_t> starts = {0, 4, 4, 104, 245};
    const int rows = starts.back();
    const int width = 3 * heads * d;
    HostTensor qkv = random({rows, width}), out = zeros({rows, heads * d});
    backend_->vision_attention({qkv.view(), starts, heads, d, out.view()});
    for (size_t s = 0; s + 1 < starts.size(); ++s) {
      const int begin = starts[s], end = starts[s + 1];
      if (begin == end) continue;
      // The segment alone has the same bits.
      HostTensor alone = zeros({end - begin, heads * d});
      const std::vector<int32_t> own = {0, end - begin};
      backend_->vision_attention(
          {qkv.view().slice_rows(begin, end - begin), own, heads, d, alone.view()});
      ASSERT_EQ(alone.row_bits(0, end - begin), out.row_bits(begin, end - begin));
      for (int q = begin; q < end; q += 1 + (end - begin) / 5) {
        for (int h = 0; h < heads; ++h) {
          std::vector<double> p;
          double sum = 0;
          for (int k = begin; k < end; ++k) {
            double dot = 0;
            for (int i = 0; i < d; ++i) {
              dot += qkv.at(q, h * d + i) * qkv.at(k, (heads + h) * d + i);
            }
            p.push_back(std::exp(dot / std::sqrt(static_cast<double>(d))));
            sum += p.back();
          }
          for (int i = 0; i < d; ++i) {
            double y = 0;
            for (int k = begin; k < end; ++k) {
              y += p[static_cast<size_t>(k - begin)] / sum * qkv.at(k, (2 * heads + h) * d + i);
            }
            ASSERT_NEAR(out.at(q, h * d + i), y, bf16() ? 0.01 : 1e-5) << d << " " << q;
          }
        }
      }
    }
  }
}

ERNIE_OP_TABLE(VisionTest);

}  // namespace
}  // namespace ernie::op_tests
