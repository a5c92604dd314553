#include <algorithm>

#include "tests/ops/op_fixture.h"

namespace ernie::op_tests {
namespace {

using ops::Activation;

double activate(Activation a, double x) {
  switch (a) {
    case Activation::kNone:
      return x;
    case Activation::kQuickGelu:
      return x / (1 + std::exp(-1.702 * x));
    case Activation::kGeluErf:
      return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
  }
  return 0;
}

class LinearTest : public OpTest {
 protected:
  void check(int64_t rows, int64_t in, int64_t out, bool bias, Activation activation,
             DType out_dtype) {
    HostTensor x = random({rows, in});
    HostTensor w = random({out, in});
    HostTensor b = random({out});
    HostTensor y(out_dtype, {rows, out});
    auto weight = pack(w, out, in);
    ops::LinearArgs args{weight.get(), x.view(), bias ? b.view() : TensorView{}, activation,
                         y.view()};
    backend_->linear(args);
    const double rounding = out_dtype == DType::kF32 ? 2e-7 : this->rounding();
    expect_close(
        y, rounding,
        [&](int64_t i) {
          const int64_t r = i / out, c = i % out;
          double sum = bias ? b.at(c) : 0, magnitude = std::abs(sum);
          for (int64_t k = 0; k < in; ++k) {
            sum += x.at(r, k) * w.at(c, k);
            magnitude += std::abs(x.at(r, k) * w.at(c, k));
          }
          return std::pair(activate(activation, sum), magnitude);
        },
        "linear " + x.view().shape.to_string() + " -> " + std::to_string(out));

    // The bits of a row must not depend on its company.
    if (rows > promises_.same_bits_up_to_rows) return;
    std::vector<std::pair<int64_t, int64_t>> slices;
    for (int64_t r = 0; r < rows; ++r) slices.emplace_back(r, 1);
    slices.emplace_back(rows / 3, rows - rows / 3);
    for (const auto& [first, count] : slices) {
      HostTensor part(out_dtype, {count, out});
      args.x = x.view().slice_rows(first, count);
      args.out = part.view();
      backend_->linear(args);
      ASSERT_EQ(part.row_bits(0, count), y.row_bits(first, count))
          << "rows " << first << "+" << count << " of " << rows << ", K " << in << ", N " << out;
    }
  }
};

TEST_P(LinearTest, MatchesFloat64AndRowsAreIndependent) {
  for (int64_t rows = 1; rows <= 33; ++rows) {
    check(rows, 48 + 2 * (rows % 9), 80 + rows % 16, rows % 2 == 0, Activation::kNone, dtype_);
  }
  check(7, 33, 17, true, Activation::kNone, dtype_);      // odd K
  check(5, 1, 1, false, Activation::kNone, dtype_);       // the smallest
  check(19, 588, 131, false, Activation::kNone, dtype_);  // a patch embedding
  check(13, 1100, 96, true, Activation::kNone, dtype_);   // more than one slice of K
  check(3, 3072, 200, false, Activation::kNone, dtype_);
}

TEST_P(LinearTest, ManyRowsInSeveralTasks) {
  check(130, 1040, 150, true, Activation::kNone, dtype_);
  check(300, 64, 70, true, Activation::kNone, dtype_);
  check(240, 2251, 70, true, Activation::kNone, dtype_);  // rows are too long to stay in a cache
}

TEST_P(LinearTest, Activations) {
  check(9, 40, 50, true, Activation::kQuickGelu, dtype_);
  check(9, 40, 50, true, Activation::kGeluErf, dtype_);
  check(9, 3, 50, true, Activation::kGeluErf, dtype_);
}

TEST_P(LinearTest, Float32Output) { check(6, 64, 100, false, Activation::kNone, DType::kF32); }

TEST_P(LinearTest, ConvertsTheCheckpointTypeWhenPacking) {
  HostTensor w = random(DType::kBF16, {20, 32});
  HostTensor same(DType::kF32, {20, 32});
  for (int64_t i = 0; i < w.size(); ++i) same.set(i, w.at(i));
  HostTensor x = random({3, 32});
  HostTensor a = zeros({3, 20}), b = zeros({3, 20});
  auto wa = pack(w, 20, 32);
  auto wb = pack(same, 20, 32);
  backend_->linear({wa.get(), x.view(), {}, Activation::kNone, a.view()});
  backend_->linear({wb.get(), x.view(), {}, Activation::kNone, b.view()});
  EXPECT_EQ(a.row_bits(0, 3), b.row_bits(0, 3));
  EXPECT_EQ(wa->bytes(), backend_->sizing().packed_bytes(20, 32, {unquantized(dtype_)}));
}

// Without it the tokens of a model would depend on the number of ranks it runs on.
TEST_P(LinearTest, SumsInHalvesHaveTheBitsOfTwoRanks) {
  if (!promises_.sums_in_parts) GTEST_SKIP() << "this backend adds up in one part";
  for (const int64_t half : {32, 96, 544, 1120}) {
    for (const auto& [rows, n] :
         {std::pair<int64_t, int64_t>{1, 70}, {5, 70}, {40, 70}, {240, 96}}) {
      HostTensor x = random({rows, 2 * half}), w = random({n, 2 * half});
      std::vector<HostTensor> parts;
      for (int64_t part = 0; part < 2; ++part) {
        HostTensor px = zeros({rows, half}), pw = zeros({n, half});
        for (int64_t i = 0; i < rows * half; ++i) {
          px.set(i, x.at(i / half, part * half + i % half));
        }
        for (int64_t i = 0; i < n * half; ++i) pw.set(i, w.at(i / half, part * half + i % half));
        parts.emplace_back(DType::kF32, Shape{rows, n});
        const auto weight = pack(pw, n, half);
        backend_->linear({weight.get(), px.view(), {}, Activation::kNone, parts.back().view()});
      }
      HostTensor y(DType::kF32, {rows, n});
      const auto weight = pack(w, n, 2 * half, 2);
      backend_->linear({weight.get(), x.view(), {}, Activation::kNone, y.view()});
      HostTensor rounded = zeros({rows, n}), expected = zeros({rows, n});
      backend_->linear({weight.get(), x.view(), {}, Activation::kNone, rounded.view()});
      for (int64_t i = 0; i < rows * n; ++i) {
        ASSERT_EQ(static_cast<float>(y.at(i)),
                  static_cast<float>(parts[0].at(i)) + static_cast<float>(parts[1].at(i)));
        expected.set(i, y.at(i));
      }
      ASSERT_EQ(rounded.row_bits(0, rows), expected.row_bits(0, rows));
    }
  }
}

TEST_P(LinearTest, NanAndInfinityStayVisible) {
  HostTensor x = random({2, 64});
  HostTensor w = random({32, 64});
  x.set(5, std::nan(""));
  x.set(64 + 5, INFINITY);
  HostTensor y = zeros({2, 32});
  auto weight = pack(w, 32, 64);
  backend_->linear({weight.get(), x.view(), {}, Activation::kNone, y.view()});
  for (int64_t i = 0; i < 32; ++i) EXPECT_TRUE(std::isnan(y.at(0, i)));
  for (int64_t i = 0; i < 32; ++i) EXPECT_FALSE(std::isfinite(y.at(1, i)));
}

TEST_P(LinearTest, EmbedReadsRowsOfThePackedTable) {
  HostTensor table = random({37, 50});
  auto weight = pack(table, 37, 50);
  HostTensor ids = integers({100, 136, 99, 137, 117, 0});
  HostTensor out = random({6, 50});
  backend_->embed({weight.get(), 100, ids.view(), out.view()});
  for (int64_t i = 0; i < 6; ++i) {
    const int64_t row = static_cast<int64_t>(ids.at(i)) - 100;
    for (int64_t k = 0; k < 50; ++k) {
      ASSERT_EQ(out.at(i, k), row >= 0 && row < 37 ? table.at(row, k) : 0.0) << i << ", " << k;
    }
  }
}

ERNIE_OP_TABLE(LinearTest);

}  // namespace
}  // namespace ernie::op_tests
