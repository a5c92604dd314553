#include "backend/cpu/quantized_weight.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "backend/cpu/isa.h"
#include "backend/cpu/memory.h"
#include "ops/backend.h"
#include "tensor/bf16.h"

namespace ernie::cpu {
namespace {

using Floats = std::vector<float>;

const WeightFormat kFormats[] = {{WeightType::kInt8, 0},  {WeightType::kInt4, 0},
                                 {WeightType::kInt8, 32}, {WeightType::kInt4, 32},
                                 {WeightType::kInt4, 64}, {WeightType::kInt8, 128},
                                 {WeightType::kInt4, 128}};

std::string format_name(WeightFormat f) {
  return std::string(f.type == WeightType::kInt8 ? "int8" : "int4") + "_group_" +
         std::to_string(f.group);
}

float limit_of(WeightFormat f) { return f.type == WeightType::kInt8 ? 127 : 7; }

int64_t group_of(WeightFormat f, int64_t k) { return f.group == 0 ? k : f.group; }

// Values that bfloat16 holds.
Floats random_values(int64_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  Floats v(static_cast<size_t>(n));
  for (float& x : v) x = to_float(to_bf16(normal(random)));
  return v;
}

// q * scale of every element of w [n, k], with the arithmetic as it is written down.
Floats dequantized(const Floats& w, int64_t n, int64_t k, WeightFormat format) {
  Floats out(w.size());
  const int64_t group = group_of(format, k);
  for (int64_t r = 0; r < n; ++r) {
    for (int64_t first = 0; first < k; first += group) {
      const int64_t last = std::min(k, first + group);
      float absmax = 0;
      for (int64_t i = first; i < last; ++i) {
        absmax = std::max(absmax, std::abs(w[static_cast<size_t>(r * k + i)]));
      }
      const float scale = to_float(to_bf16(absmax / limit_of(format)));
      for (int64_t i = first; i < last; ++i) {
        const auto at = static_cast<size_t>(r * k + i);
        const float scaled = absmax == 0 ? 0 : w[at] / absmax * limit_of(format);
        const float q = std::clamp(std::round(scaled), -limit_of(format), limit_of(format));
        out[at] = q * scale;
      }
    }
  }
  return out;
}

class Quantizer {
 public:
  std::unique_ptr<QuantizedWeight> operator()(std::span<const HostMatrix> parts,
                                              const ops::PackSpec& spec) {
    return std::make_unique<QuantizedWeight>(
        parts, spec,
        allocate_host(
            QuantizedWeight::bytes_for(stacked_rows(parts), parts[0].in_features, spec.format)),
        pool_);
  }
  std::unique_ptr<QuantizedWeight> operator()(const Floats& w, int64_t n, int64_t k,
                                              WeightFormat format, int sum_parts = 1) {
    const HostMatrix matrix{w.data(), DType::kF32, n, k};
    return (*this)({&matrix, 1}, {.format = format, .sum_parts = sum_parts});
  }
  ThreadPool& pool() { return pool_; }

 private:
  ThreadPool pool_{2};
};

Floats values_of(const QuantizedWeight& w) {
  Floats out(static_cast<size_t>(w.out_features() * w.in_features()));
  for (int64_t r = 0; r < w.out_features(); ++r) {
    w.copy_row(r, DType::kF32, out.data() + r * w.in_features());
  }
  return out;
}

TEST(QuantizedWeightTest, HasTheValuesOfTheWrittenArithmetic) {
  Quantizer quantize;
  for (const WeightFormat format : kFormats) {
    for (const auto& [n, k] :
         {std::pair<int64_t, int64_t>{8, 24}, {40, 72}, {17, 200}, {33, 256}}) {
      Floats w = random_values(n * k, 1);
      std::fill_n(w.begin() + 3 * k, k, 0.0f);  // a row of zeros
      // Halves, which are rounded away from zero.
      w[0] = limit_of(format);
      for (int64_t i = 1; i < k; ++i) {
        w[static_cast<size_t>(i)] = static_cast<float>(i % 7) - 2.5f;
      }
      EXPECT_EQ(values_of(*quantize(w, n, k, format)), dequantized(w, n, k, format))
          << format_name(format) << " [" << n << ", " << k << "]";
    }
  }
}

// A fault of the checkpoint stays visible, as it does without quantisation.
TEST(QuantizedWeightTest, ARowWithNanHasNoNumbers) {
  Quantizer quantize;
  for (const WeightFormat format : kFormats) {
    Floats w = random_values(2 * 32, 1);
    w[5] = std::nanf("");
    const Floats values = values_of(*quantize(w, 2, 32, format));
    for (int64_t k = 0; k < 32; ++k) {
      EXPECT_TRUE(std::isnan(values[static_cast<size_t>(k)])) << format_name(format);
      EXPECT_TRUE(std::isfinite(values[static_cast<size_t>(32 + k)]));
    }
  }
}

TEST(QuantizedWeightTest, StacksPartsOfBf16Rows) {
  Quantizer quantize;
  constexpr int64_t kK = 96, kFirst = 5, kSecond = 20, kStride = 128;
  const Floats w = random_values((kFirst + kSecond) * kK, 2);
  std::vector<BF16> rows(static_cast<size_t>((kFirst + kSecond) * kStride));
  for (int64_t i = 0; i < (kFirst + kSecond) * kK; ++i) {
    rows[static_cast<size_t>(i / kK * kStride + i % kK)] = to_bf16(w[static_cast<size_t>(i)]);
  }
  const HostMatrix parts[] = {{rows.data(), DType::kBF16, kFirst, kK, kStride},
                              {rows.data() + kFirst * kStride, DType::kBF16, kSecond, kK, kStride}};
  for (const WeightFormat format : kFormats) {
    const auto weight = quantize(parts, {format});
    const Floats expected = dequantized(w, kFirst + kSecond, kK, format);
    EXPECT_EQ(values_of(*weight), expected);
    std::vector<BF16> row(kK);
    weight->copy_row(7, DType::kBF16, row.data());
    for (size_t i = 0; i < kK; ++i) {
      EXPECT_EQ(to_float(row[i]), to_float(to_bf16(expected[7 * kK + i])));
    }
  }
}

TEST(QuantizedWeightTest, ShardsHaveTheValuesOfTheWhole) {
  Quantizer quantize;
  constexpr int64_t kN = 20, kK = 256, kHalf = kK / 2;
  const Floats w = random_values(kN * kK, 3);
  for (const WeightFormat format : kFormats) {
    const Floats whole = values_of(*quantize(w, kN, kK, format));
    for (int64_t first : {int64_t{0}, kHalf}) {
      const HostMatrix shard{w.data() + first, DType::kF32, kN, kHalf, kK, first, kK};
      const Floats values = values_of(*quantize({&shard, 1}, {format}));
      for (int64_t i = 0; i < kN * kHalf; ++i) {
        ASSERT_EQ(values[static_cast<size_t>(i)],
                  whole[static_cast<size_t>(i / kHalf * kK + first + i % kHalf)])
            << format_name(format);
      }
    }
  }
}

TEST(QuantizedWeightTest, TakesWordsOfCompressedTensors) {
  Quantizer quantize;
  constexpr int64_t kN = 19, kK = 128, kPadding = 3;
  std::mt19937 random(4);
  for (const WeightFormat format : kFormats) {
    const bool int4 = format.type == WeightType::kInt4;
    const int64_t per_word = int4 ? 8 : 4, stride = kK / per_word + kPadding;
    const int64_t group = group_of(format, kK), groups = kK / group;
    std::vector<uint32_t> words(static_cast<size_t>(kN * stride));
    std::vector<BF16> scales(static_cast<size_t>(kN * groups));
    for (uint32_t& word : words) word = random();
    for (BF16& scale : scales) scale = to_bf16(static_cast<float>(random() % 100 + 1) * 0.013f);
    const QuantizedHostMatrix matrix{words.data(), stride, scales.data(), groups, kN, kK};
    const QuantizedWeight weight({&matrix, 1}, {format},
                                 allocate_host(QuantizedWeight::bytes_for(kN, kK, format)),
                                 quantize.pool());
    const Floats values = values_of(weight);
    for (int64_t r = 0; r < kN; ++r) {
      for (int64_t k = 0; k < kK; ++k) {
        const uint32_t word = words[static_cast<size_t>(r * stride + k / per_word)];
        const int q = int4 ? static_cast<int>(word >> (k % 8 * 4) & 15) - 8
                           : static_cast<int>(word >> (k % 4 * 8) & 255) - 128;
        const float scale = to_float(scales[static_cast<size_t>(r * groups + k / group)]);
        ASSERT_EQ(values[static_cast<size_t>(r * kK + k)], static_cast<float>(q) * scale)
            << format_name(format) << " row " << r << ", column " << k;
      }
    }
  }
}

// A host matrix of either activation type.
class Activations {
 public:
  Activations(DType dtype, int64_t rows, int64_t cols)
      : dtype_(dtype),
        rows_(rows),
        cols_(cols),
        bytes_(static_cast<size_t>(rows * cols) * dtype_bytes(dtype) + 1) {}
  Activations(DType dtype, int64_t rows, int64_t cols, const Floats& values)
      : Activations(dtype, rows, cols) {
    for (size_t i = 0; i < values.size(); ++i) {
      if (dtype == DType::kBF16) {
        view().as<BF16>()[i] = to_bf16(values[i]);
      } else {
        view().as<float>()[i] = values[i];
      }
    }
  }
  TensorView view() { return {bytes_.data(), dtype_, {rows_, cols_}}; }
  float at(int64_t row, int64_t col) {
    const int64_t i = row * cols_ + col;
    return dtype_ == DType::kBF16 ? to_float(view().as<BF16>()[i]) : view().as<float>()[i];
  }
  std::string row_bits(int64_t first, int64_t count) const {
    const size_t row = static_cast<size_t>(cols_) * dtype_bytes(dtype_);
    return {bytes_.data() + static_cast<size_t>(first) * row, static_cast<size_t>(count) * row};
  }

 private:
  DType dtype_;
  int64_t rows_, cols_;
  std::vector<char> bytes_;
};

struct ProductCase {
  Isa isa;
  DType dtype;
  WeightFormat format;
};

class QuantizedProductTest : public testing::TestWithParam<ProductCase> {
 protected:
  Isa isa_ = GetParam().isa;
  DType dtype_ = GetParam().dtype;
  WeightFormat format_ = GetParam().format;
  Quantizer quantize_;
  std::unique_ptr<ops::Backend> backend_ = make_cpu_backend({.threads = 2, .isa = isa_});

  void linear(const Weight& w, TensorView x, TensorView out) {
    backend_->linear({&w, x, {}, ops::Activation::kNone, out});
  }
};

TEST_P(QuantizedProductTest, MatchesFloat64OfTheDequantizedWeights) {
  for (const auto& [n, k] :
       {std::pair<int64_t, int64_t>{8, 24}, {40, 72}, {40, 200}, {70, 33}, {150, 1040}}) {
    const auto weight = quantize_(random_values(n * k, 5), n, k, format_);
    const Floats w = values_of(*weight);
    for (int64_t rows : {1, 2, 3, 4, 5, 17, 64, 200}) {
      Activations x(dtype_, rows, k, random_values(rows * k, 6));
      Activations y(DType::kF32, rows, n);
      linear(*weight, x.view(), y.view());
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t c = 0; c < n; ++c) {
          double sum = 0, magnitude = 0;
          for (int64_t i = 0; i < k; ++i) {
            const double term = double{x.at(r, i)} * w[static_cast<size_t>(c * k + i)];
            sum += term;
            magnitude += std::abs(term);
          }
          ASSERT_NEAR(y.at(r, c), sum, 2e-6 * magnitude)
              << "row " << r << " of " << rows << ", output " << c << " of " << n << ", K " << k;
        }
      }
      // The bits of a row must not depend on its company.
      std::vector<std::pair<int64_t, int64_t>> slices = {{rows / 3, rows - rows / 3}};
      for (int64_t r = 0; r < rows; r += 1 + rows / 20) slices.emplace_back(r, 1);
      for (const auto& [first, count] : slices) {
        Activations part(DType::kF32, count, n);
        linear(*weight, x.view().slice_rows(first, count), part.view());
        ASSERT_EQ(part.row_bits(0, count), y.row_bits(first, count))
            << "rows " << first << "+" << count << " of " << rows << ", K " << k << ", N " << n;
      }
    }
  }
}

// A checkpoint may have -128 and -8, which quantising never gives.
TEST_P(QuantizedProductTest, MultipliesByEveryValue) {
  constexpr int64_t kN = 48, kK = 128, kRows = 6;
  const int64_t stride = kK / (format_.type == WeightType::kInt4 ? 8 : 4);
  const int64_t groups = kK / group_of(format_, kK);
  std::mt19937 random(10);
  std::vector<uint32_t> words(static_cast<size_t>(kN * stride));
  for (uint32_t& word : words) word = random();
  words[0] = 0;
  const std::vector<BF16> scales(static_cast<size_t>(kN * groups), to_bf16(1.0f));
  const QuantizedHostMatrix matrix{words.data(), stride, scales.data(), groups, kN, kK};
  const QuantizedWeight weight({&matrix, 1}, {format_},
                               allocate_host(QuantizedWeight::bytes_for(kN, kK, format_)),
                               quantize_.pool());
  const Floats w = values_of(weight);
  // Small integers, whose sums are exact in any order.
  Floats x(static_cast<size_t>(kRows * kK));
  for (float& v : x) v = static_cast<float>(static_cast<int>(random() % 15) - 7);
  for (const int64_t rows : {int64_t{1}, kRows}) {
    Activations y(DType::kF32, rows, kN);
    linear(weight, Activations(dtype_, kRows, kK, x).view().slice_rows(0, rows), y.view());
    for (int64_t i = 0; i < rows * kN; ++i) {
      float sum = 0;
      for (int64_t k = 0; k < kK; ++k) {
        sum += x[static_cast<size_t>(i / kN * kK + k)] * w[static_cast<size_t>(i % kN * kK + k)];
      }
      ASSERT_EQ(y.at(0, i), sum) << "element " << i << " of [" << rows << ", " << kN << "]";
    }
  }
}

TEST_P(QuantizedProductTest, SumsInHalvesHaveTheBitsOfTwoRanks) {
  for (const int64_t half : {128, 384, 1152}) {
    for (const auto& [rows, n] :
         {std::pair<int64_t, int64_t>{1, 70}, {5, 70}, {40, 70}, {240, 96}}) {
      const int64_t k = 2 * half;
      const Floats x = random_values(rows * k, 7), w = random_values(n * k, 8);
      std::vector<Activations> parts;
      for (int64_t first : {int64_t{0}, half}) {
        const HostMatrix shard{w.data() + first, DType::kF32, n, half, k, first, k};
        const auto weight = quantize_({&shard, 1}, {format_});
        Floats columns;
        for (int64_t r = 0; r < rows; ++r) {
          columns.insert(columns.end(), x.begin() + r * k + first,
                         x.begin() + r * k + first + half);
        }
        parts.emplace_back(DType::kF32, rows, n);
        linear(*weight, Activations(dtype_, rows, half, columns).view(), parts.back().view());
      }
      const auto weight = quantize_(w, n, k, format_, 2);
      Activations y(DType::kF32, rows, n);
      linear(*weight, Activations(dtype_, rows, k, x).view(), y.view());
      for (int64_t i = 0; i < rows * n; ++i) {
        ASSERT_EQ(y.at(0, i), parts[0].at(0, i) + parts[1].at(0, i))
            << "element " << i << " of [" << rows << ", " << n << "], K " << k;
      }
    }
  }
}

TEST_P(QuantizedProductTest, ExpertsMatchFloat64AndTokensAreIndependent) {
  // The width is no multiple of a panel, so the up half begins inside of one.
  constexpr int64_t kExperts = 4, kHidden = 96, kWidth = 40, kTopK = 2;
  std::vector<Floats> values;
  ExpertWeights mlps;
  mlps.groups.resize(1);
  for (uint32_t e = 0; e < kExperts; ++e) {
    Floats a = random_values(2 * kWidth * kHidden, 20 + e);
    Floats b = random_values(kHidden * kWidth, 30 + e);
    for (float& v : a) v *= 0.2f;
    for (float& v : b) v *= 0.2f;
    auto gate_up = quantize_(a, 2 * kWidth, kHidden, format_);
    auto down = quantize_(b, kHidden, kWidth, format_);
    values.push_back(values_of(*gate_up));
    values.push_back(values_of(*down));
    mlps.groups[0].push_back({std::move(gate_up), std::move(down)});
  }
  const auto experts = backend_->make_experts(std::move(mlps));
  constexpr int64_t kTokens = 70;
  Activations x(dtype_, kTokens, kHidden, random_values(kTokens * kHidden, 9));
  std::vector<int32_t> ids;
  Floats weights;
  for (int32_t t = 0; t < kTokens; ++t) {
    ids.insert(ids.end(), {t * t % 4, (t * t + 1) % 4});
    weights.insert(weights.end(), {0.6f, 0.3f});
  }
  const auto run = [&](int64_t first, int64_t count, TensorView out) {
    backend_->moe_experts(
        {.x = x.view().slice_rows(first, count),
         .expert_ids = {ids.data() + first * kTopK, DType::kI32, {count, kTopK}},
         .expert_weights = {weights.data() + first * kTopK, DType::kF32, {count, kTopK}},
         .experts = experts.get(),
         .out = out});
  };
  Activations y(DType::kF32, kTokens, kHidden);
  run(0, kTokens, y.view());
  for (int64_t t = 0; t < kTokens; t += 3) {
    std::vector<double> expected(kHidden);
    for (int64_t choice = 0; choice < kTopK; ++choice) {
      const auto at = static_cast<size_t>(t * kTopK + choice);
      const Floats& a = values[static_cast<size_t>(ids[at]) * 2];
      const Floats& b = values[static_cast<size_t>(ids[at]) * 2 + 1];
      for (int64_t j = 0; j < kWidth; ++j) {
        double gate = 0, up = 0;
        for (int64_t i = 0; i < kHidden; ++i) {
          gate += double{x.at(t, i)} * a[static_cast<size_t>(j * kHidden + i)];
          up += double{x.at(t, i)} * a[static_cast<size_t>((kWidth + j) * kHidden + i)];
        }
        double h = gate / (1 + std::exp(-gate)) * up;
        if (dtype_ == DType::kBF16) h = to_float(to_bf16(static_cast<float>(h)));
        for (int64_t i = 0; i < kHidden; ++i) {
          expected[static_cast<size_t>(i)] +=
              double{weights[at]} * h * b[static_cast<size_t>(i * kWidth + j)];
        }
      }
    }
    for (int64_t i = 0; i < kHidden; ++i) {
      ASSERT_NEAR(y.at(t, i), expected[static_cast<size_t>(i)], dtype_ == DType::kBF16 ? 0.1 : 1e-4)
          << "token " << t;
    }
    Activations alone(DType::kF32, 1, kHidden);
    run(t, 1, alone.view());
    ASSERT_EQ(alone.row_bits(0, 1), y.row_bits(t, 1)) << "token " << t;
  }
}

std::vector<ProductCase> product_cases() {
  std::vector<ProductCase> cases;
  for (const Isa isa : supported_isas()) {
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      for (const WeightFormat format : kFormats) cases.push_back({isa, dtype, format});
    }
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Table, QuantizedProductTest, testing::ValuesIn(product_cases()),
                         [](const testing::TestParamInfo<ProductCase>& test) {
                           return std::string(isa_name(test.param.isa)) + "_" +
                                  dtype_name(test.param.dtype) + "_" +
                                  format_name(test.param.format);
                         });

}  // namespace
}  // namespace ernie::cpu
