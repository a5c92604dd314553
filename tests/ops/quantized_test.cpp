#include <algorithm>
#include <cmath>

#include "tests/ops/op_fixture.h"
#include "tests/ops/quantized_reference.h"

namespace ernie::op_tests {
namespace {

constexpr WeightFormat kFormats[] = {
    {WeightType::kInt8}, {WeightType::kInt4}, {WeightType::kInt8, 32}, {WeightType::kInt4, 64}};

class QuantizedTest : public OpTest {
 protected:
  // A matrix whose values in `reference` are those that the packed weight stands for.
  std::unique_ptr<Weight> pack_as(WeightFormat format, int64_t out, int64_t in, ops::MatrixUse use,
                                  HostTensor& reference) {
    HostTensor w = random(DType::kBF16, {out, in}, 0.2);
    std::vector<float> values(static_cast<size_t>(out * in));
    for (int64_t i = 0; i < w.size(); ++i) values[static_cast<size_t>(i)] = w.at(i);
    values = dequantized(std::move(values), out, in, format);
    for (int64_t i = 0; i < w.size(); ++i) reference.set(i, values[static_cast<size_t>(i)]);
    return backend_->pack({w.view().data, DType::kBF16, out, in}, {.format = format, .use = use});
  }
  // What the sums may miss, as a share of what was added. In bfloat16, kernels may add up q and an
  // offset that they take off at the end, and may multiply groups out and round them.
  double sum_error(WeightFormat format) const {
    if (!bf16()) return 2e-6;
    return format.group > 0 ? 0.004 : 2e-5;
  }
  // For expect_close(), which allows 2e-6 of the magnitude.
  double allowed(double magnitude, WeightFormat format) const {
    return magnitude * sum_error(format) / 2e-6;
  }
};

TEST_P(QuantizedTest, LinearMatchesFloat64AndRowsAreIndependent) {
  for (const WeightFormat format : kFormats) {
    for (const auto& [rows, in, out] : {std::tuple<int64_t, int64_t, int64_t>{1, 64, 64},
                                        {3, 256, 72},
                                        {16, 1152, 96},
                                        {17, 448, 136},
                                        {64, 200, 40},
                                        {96, 640, 136}}) {
      HostTensor w(DType::kF32, {out, in});
      const auto weight = pack_as(format, out, in, ops::MatrixUse::kLinear, w);
      EXPECT_EQ(weight->bytes(), backend_->sizing().packed_bytes(out, in, {format}));
      HostTensor x = random({rows, in});
      HostTensor y(DType::kF32, {rows, out});
      backend_->linear({weight.get(), x.view(), {}, ops::Activation::kNone, y.view()});
      expect_close(
          y, 1e-6,
          [&](int64_t i) {
            double sum = 0, magnitude = 0;
            for (int64_t k = 0; k < in; ++k) {
              const double product = x.at(i / out, k) * w.at(i % out, k);
              sum += product;
              magnitude += std::abs(product);
            }
            return std::pair(sum, allowed(magnitude, format));
          },
          to_string(format) + " [" + std::to_string(out) + ", " + std::to_string(in) + "], " +
              std::to_string(rows) + " rows");
      if (rows > promises_.same_bits_up_to_rows) continue;
      HostTensor one(DType::kF32, {1, out});
      const int64_t row = rows / 2;
      backend_->linear(
          {weight.get(), x.view().slice_rows(row, 1), {}, ops::Activation::kNone, one.view()});
      ASSERT_EQ(one.row_bits(0), y.row_bits(row)) << to_string(format);
    }
  }
}

// Routed experts and the shared one may have different formats.
TEST_P(QuantizedTest, ExpertsMatchFloat64) {
  const int experts = 8, hidden = 128, top_k = 3;
  const auto width_of = [](int e) { return e < 4 ? 96 : e < 8 ? 64 : 192; };
  for (const WeightFormat format : kFormats) {
    std::vector<HostTensor> gate_up, down;
    ExpertWeights weights;
    weights.groups.resize(2);
    for (int e = 0; e <= experts; ++e) {
      const WeightFormat own = e < experts ? format : WeightFormat{WeightType::kInt8};
      const int width = width_of(e);
      gate_up.emplace_back(DType::kF32, Shape{2 * width, hidden});
      down.emplace_back(DType::kF32, Shape{hidden, width});
      GatedMlp mlp;
      mlp.gate_up = pack_as(own, 2 * width, hidden, ops::MatrixUse::kExpertGateUp, gate_up.back());
      mlp.down = pack_as(own, hidden, width, ops::MatrixUse::kLinear, down.back());
      if (e == experts) {
        weights.shared = std::move(mlp);
      } else {
        weights.groups[e < 4 ? 0 : 1].push_back(std::move(mlp));
      }
    }
    const auto set = backend_->make_experts(std::move(weights));
    for (const int tokens : {1, 9, 64, 140}) {
      HostTensor x = random({tokens, hidden});
      HostTensor ids(DType::kI32, {tokens, top_k}), chosen(DType::kF32, {tokens, top_k});
      for (int t = 0; t < tokens; ++t) {
        for (int k = 0; k < top_k; ++k) {
          ids.set(t * top_k + k, (t * t + k * 3 + (t % 5 == 0 ? 1 : 0)) % experts);
          chosen.set(t * top_k + k, 0.5 + 0.1 * k);
        }
      }
      HostTensor out(DType::kF32, {tokens, hidden});
      backend_->moe_experts({x.view(), ids.view(), chosen.view(), set.get(), out.view()});
      for (int t = 0; t < tokens; t += 1 + tokens / 7) {
        std::vector<double> y(hidden, 0.0);
        for (int k = 0; k <= top_k; ++k) {
          const int e = k < top_k ? static_cast<int>(ids.at(t, k)) : experts, n = width_of(e);
          const double weight = k < top_k ? chosen.at(t, k) : 1.0;
          const HostTensor &a = gate_up[static_cast<size_t>(e)], &b = down[static_cast<size_t>(e)];
          for (int j = 0; j < n; ++j) {
            double gate = 0, up = 0;
            for (int i = 0; i < hidden; ++i) {
              gate += x.at(t, i) * a.at(j, i);
              up += x.at(t, i) * a.at(n + j, i);
            }
            double h = gate / (1 + std::exp(-gate)) * up;
            if (bf16()) h = to_float(to_bf16(static_cast<float>(h)));
            for (int i = 0; i < hidden; ++i) y[static_cast<size_t>(i)] += weight * h * b.at(i, j);
          }
        }
        const double most = std::abs(*std::max_element(
            y.begin(), y.end(), [](double p, double q) { return std::abs(p) < std::abs(q); }));
        for (int i = 0; i < hidden; ++i) {
          ASSERT_NEAR(out.at(t, i), y[static_cast<size_t>(i)], (bf16() ? 0.01 : 1e-5) * most + 1e-5)
              << to_string(format) << ", token " << t << " of " << tokens;
        }
      }
    }
  }
}

// A fault of the checkpoint stays visible, and where it is.
TEST_P(QuantizedTest, ARowWithNanHasNoNumbers) {
  for (const WeightFormat format : kFormats) {
    for (const int64_t rows : {1, 17, 96}) {
      constexpr int64_t kIn = 128, kOut = 40, kFaulty = 5;
      HostTensor w = random(DType::kBF16, {kOut, kIn}, 0.2);
      w.set(kFaulty * kIn + 70, std::nan(""));
      const auto weight =
          backend_->pack({w.view().data, DType::kBF16, kOut, kIn}, {.format = format});
      HostTensor x = random({rows, kIn});
      HostTensor y(DType::kF32, {rows, kOut});
      backend_->linear({weight.get(), x.view(), {}, ops::Activation::kNone, y.view()});
      for (int64_t i = 0; i < y.size(); ++i) {
        ASSERT_EQ(std::isnan(y.at(i)), i % kOut == kFaulty)
            << to_string(format) << ", row " << i / kOut << ", column " << i % kOut;
      }
    }
  }
}

TEST_P(QuantizedTest, TakesRowsThatAreQuantisedAlready) {
  constexpr int64_t kRows = 72, kCols = 128;
  for (const WeightFormat format : {WeightFormat{WeightType::kInt4, 32}, {WeightType::kInt8}}) {
    const int per_word = format.type == WeightType::kInt4 ? 8 : 4;
    const int64_t groups = format.group == 0 ? 1 : kCols / format.group;
    std::vector<uint32_t> words(kRows * kCols / per_word);
    for (uint32_t& word : words) word = random_();
    std::vector<BF16> scales(static_cast<size_t>(kRows * groups));
    for (BF16& scale : scales) scale = to_bf16(0.001f * static_cast<float>(random_() % 100 + 1));
    const QuantizedHostMatrix parts[] = {
        {words.data(), kCols / per_word, scales.data(), groups, 40, kCols},
        {words.data() + 40 * kCols / per_word, kCols / per_word, scales.data() + 40 * groups,
         groups, kRows - 40, kCols}};
    const auto weight = backend_->pack_quantized(parts, {format});
    HostTensor x = random({2, kCols});
    HostTensor y(DType::kF32, {2, kRows});
    backend_->linear({weight.get(), x.view(), {}, ops::Activation::kNone, y.view()});
    expect_close(
        y, 1e-6,
        [&](int64_t i) {
          const int64_t r = i % kRows;
          double sum = 0, magnitude = 0;
          for (int64_t k = 0; k < kCols; ++k) {
            const uint32_t word = words[static_cast<size_t>((r * kCols + k) / per_word)];
            const int q = per_word == 8 ? static_cast<int>(word >> (k % 8 * 4) & 15) - 8
                                        : static_cast<int>(word >> (k % 4 * 8) & 255) - 128;
            const int64_t group = format.group == 0 ? 0 : k / format.group;
            const double product =
                x.at(i / kRows, k) * q * to_float(scales[static_cast<size_t>(r * groups + group)]);
            sum += product;
            magnitude += std::abs(product);
          }
          return std::pair(sum, allowed(magnitude, format));
        },
        to_string(format));
  }
}

ERNIE_OP_TABLE(QuantizedTest);

}  // namespace
}  // namespace ernie::op_tests
