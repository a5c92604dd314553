#include "tests/ops/op_fixture.h"

namespace ernie::op_tests {
namespace {

class RowsTest : public OpTest {
 protected:
  static constexpr int64_t kWidths[] = {1, 5, 16, 61, 128, 1280};
  static constexpr int64_t kRows = 7;
};

TEST_P(RowsTest, RmsNorm) {
  for (int64_t n : kWidths) {
    HostTensor x = random({kRows, n}, 3.0), w = random({n}), out = zeros({kRows, n});
    backend_->rms_norm({x.view(), w.view(), 1e-5f, out.view()});
    expect_close(
        out, rounding(),
        [&](int64_t i) {
          double sum = 0;
          for (int64_t k = 0; k < n; ++k) sum += x.at(i / n, k) * x.at(i / n, k);
          const double y = x.at(i) / std::sqrt(sum / static_cast<double>(n) + 1e-5) * w.at(i % n);
          return std::pair(y, std::abs(y));
        },
        "rms_norm " + std::to_string(n));
    HostTensor one = zeros({1, n});
    backend_->rms_norm({x.view().slice_rows(4, 1), w.view(), 1e-5f, one.view()});
    EXPECT_EQ(one.row_bits(0), out.row_bits(4));
    backend_->rms_norm({x.view(), w.view(), 1e-5f, x.view()});  // in place
    EXPECT_EQ(x.row_bits(0, kRows), out.row_bits(0, kRows));
  }
}

TEST_P(RowsTest, ResidualRmsNormRoundsTheSumThenNormalisesIt) {
  for (int64_t n : kWidths) {
    HostTensor x = random({kRows, n}), residual = random({kRows, n}), w = random({n});
    HostTensor before = residual, out = zeros({kRows, n}), expected = zeros({kRows, n});
    backend_->residual_rms_norm({x.view(), residual.view(), w.view(), 1e-5f, out.view()});
    for (int64_t i = 0; i < x.size(); ++i) {
      before.set(i, static_cast<float>(before.at(i)) + static_cast<float>(x.at(i)));
    }
    ASSERT_EQ(residual.row_bits(0, kRows), before.row_bits(0, kRows));
    backend_->rms_norm({before.view(), w.view(), 1e-5f, expected.view()});
    EXPECT_EQ(out.row_bits(0, kRows), expected.row_bits(0, kRows));
  }
}

TEST_P(RowsTest, LayerNorm) {
  for (int64_t n : kWidths) {
    HostTensor x = random({kRows, n}, 2.0), w = random({n}), b = random({n});
    for (int64_t i = 0; i < x.size(); ++i) x.set(i, x.at(i) + 10);  // far from zero mean
    HostTensor out = zeros({kRows, n});
    backend_->layer_norm({x.view(), w.view(), b.view(), 1e-6f, out.view()});
    expect_close(
        out, rounding(),
        [&](int64_t i) {
          double mean = 0, variance = 0;
          for (int64_t k = 0; k < n; ++k) mean += x.at(i / n, k) / static_cast<double>(n);
          for (int64_t k = 0; k < n; ++k) {
            variance += std::pow(x.at(i / n, k) - mean, 2) / static_cast<double>(n);
          }
          const double scale = w.at(i % n) / std::sqrt(variance + 1e-6);
          return std::pair((x.at(i) - mean) * scale + b.at(i % n),
                           std::abs(b.at(i % n)) + (n > 1 ? 20 * std::abs(scale) : 20));
        },
        "layer_norm " + std::to_string(n));
    HostTensor one = zeros({1, n});
    backend_->layer_norm({x.view().slice_rows(5, 1), w.view(), b.view(), 1e-6f, one.view()});
    EXPECT_EQ(one.row_bits(0), out.row_bits(5));
  }
}

TEST_P(RowsTest, AddRoundsOnce) {
  HostTensor x = random({kRows, 61}), y = random({kRows, 61}), before = y;
  backend_->add({x.view(), y.view()});
  for (int64_t i = 0; i < x.size(); ++i) {
    before.set(i, static_cast<float>(before.at(i)) + static_cast<float>(x.at(i)));
  }
  EXPECT_EQ(y.row_bits(0, kRows), before.row_bits(0, kRows));
}

TEST_P(RowsTest, CastRoundsToNearestEvenAndKeepsNan) {
  HostTensor x = random(DType::kF32, {3, 37});
  x.set(0, INFINITY);
  x.set(1, -INFINITY);
  x.set(2, std::nan(""));
  x.set(3, 1.00390625);  // halfway between two bfloat16 values
  x.set(4, 1.01171875);
  x.set(5, 1e-40);
  HostTensor y = zeros({3, 37});
  backend_->cast({x.view(), y.view()});
  HostTensor back(DType::kF32, {3, 37});
  backend_->cast({y.view(), back.view()});
  for (int64_t i = 0; i < x.size(); ++i) {
    const float v = static_cast<float>(x.at(i));
    const float expected = bf16() ? to_float(to_bf16(v)) : v;
    if (std::isnan(v)) {
      EXPECT_TRUE(std::isnan(back.at(i)));
    } else {
      EXPECT_EQ(back.at(i), expected) << i;
    }
  }
}

TEST_P(RowsTest, ResolveTokens) {
  HostTensor drawn = integers({70, 71, 72}), sources = integers({-1, 2, 0, -1, 2});
  HostTensor ids = integers({1, 2, 3, 4, 5});
  backend_->resolve_tokens({drawn.view(), sources.view(), ids.view()});
  const double expected[] = {1, 72, 70, 4, 72};
  for (int64_t i = 0; i < 5; ++i) EXPECT_EQ(ids.at(i), expected[i]) << i;
}

TEST_P(RowsTest, SwiGlu) {
  for (int64_t n : kWidths) {
    HostTensor x = random({kRows, 2 * n}, 20.0), out = zeros({kRows, n});
    backend_->swiglu({x.view(), out.view()});
    expect_close(
        out, rounding(),
        [&](int64_t i) {
          const double gate = x.at(i / n, i % n);
          const double y = gate / (1 + std::exp(-gate)) * x.at(i / n, n + i % n);
          // Below e^-87 a float32 exponential is taken for zero or capped.
          return std::pair(y, std::abs(y) + 1e-30);
        },
        "swiglu " + std::to_string(n));
  }
}

TEST_P(RowsTest, NormalizePatches) {
  const int64_t n = 3 * 49;
  HostTensor in(DType::kU8, {kRows, n}), out = zeros({kRows, n});
  for (int64_t i = 0; i < in.size(); ++i) in.set(i, static_cast<double>(i * 7 % 256));
  ops::NormalizePatchesArgs args{
      in.view(), {0.48f, 0.46f, 0.41f}, {0.27f, 0.26f, 0.28f}, out.view()};
  backend_->normalize_patches(args);
  expect_close(
      out, rounding(),
      [&](int64_t i) {
        const size_t c = static_cast<size_t>(i % n / 49);
        const double pixel = static_cast<uint8_t>(static_cast<int>(in.at(i)));
        return std::pair((pixel / 255.0 - args.mean[c]) / args.std[c], 4.0);
      },
      "normalize_patches");
}

TEST_P(RowsTest, GatherRows) {
  HostTensor in = random({9, 33}), rows = integers({8, 0, 3, 3}), out = zeros({4, 33});
  backend_->gather_rows({in.view(), rows.view(), out.view()});
  for (int64_t i = 0; i < 4; ++i) {
    EXPECT_EQ(out.row_bits(i), in.row_bits(static_cast<int64_t>(rows.at(i))));
  }
}

ERNIE_OP_TABLE(RowsTest);

}  // namespace
}  // namespace ernie::op_tests
