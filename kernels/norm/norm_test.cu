#include <cmath>

#include "kernels/norm/norm.h"
#include "kernels/testing/testing.h"

namespace ernie::kernels {
namespace {

using testing::DeviceArray;
using testing::Random;
using testing::widen;

template <class T>
constexpr ElementType kType = sizeof(T) == 4 ? ElementType::kF32 : ElementType::kBF16;

constexpr int64_t kRows = 7;
constexpr int64_t kWidths[] = {1, 5, 16, 61, 128, 1280, 2560, 4096, 8192, 8200, 20480};

struct RowMoments {
  double mean = 0;
  double mean_square = 0;  // about `mean`
};

template <class T>
RowMoments moments(const std::vector<T>& x, int64_t row, int64_t width, bool central) {
  RowMoments m;
  for (int64_t i = 0; i < width && central; ++i) m.mean += widen(x[row * width + i]) / width;
  for (int64_t i = 0; i < width; ++i) {
    m.mean_square += std::pow(widen(x[row * width + i]) - m.mean, 2) / width;
  }
  return m;
}

template <class T>
void check_norm(int64_t width, bool layer_norm, double mean) {
  Random random(11);
  const auto x = random.normal<T>(kRows * width, 2.0, mean);
  const auto weight = random.normal<T>(width), bias = random.normal<T>(width);
  const DeviceArray<T> dx(x), dw(weight), db(bias), out(x.size()), one(width);
  const double eps = layer_norm ? 1e-6 : 1e-5;
  NormParams p{.x = dx.data(),
               .weight = dw.data(),
               .bias = layer_norm ? db.data() : nullptr,
               .out = out.data(),
               .rows = kRows,
               .width = width,
               .eps = static_cast<float>(eps),
               .type = kType<T>};
  const auto launch = layer_norm ? launch_layer_norm : launch_rms_norm;
  testing::run_in_graph([&](cudaStream_t s) { return launch(p, s); });

  std::vector<double> expected(x.size()), magnitude(x.size());
  for (int64_t r = 0; r < kRows; ++r) {
    const RowMoments m = moments(x, r, width, layer_norm);
    for (int64_t i = 0; i < width; ++i) {
      const double scale = widen(weight[i]) / std::sqrt(m.mean_square + eps);
      const double value = (widen(x[r * width + i]) - m.mean) * scale;
      expected[r * width + i] = value + (layer_norm ? widen(bias[i]) : 0);
      // The mean of n float32 numbers around `mean` is off by its rounding, times the scale.
      magnitude[r * width + i] = std::abs(value) + std::abs(widen(bias[i])) +
                                 2 * std::abs(mean) * (width > 1 ? std::abs(scale) : 1);
    }
  }
  const std::string what = std::string(layer_norm ? "layer_norm " : "rms_norm ") +
                           testing::type_name<T>() + " " + std::to_string(width);
  if (width > 1 || !layer_norm) {
    testing::expect_close_sums(out.download(), expected, magnitude, what);
  }

  // A row alone has the same bits.
  const auto all = out.download();
  for (const int64_t row : {int64_t{0}, kRows - 1}) {
    const std::vector<T> own(x.begin() + row * width, x.begin() + (row + 1) * width);
    const DeviceArray<T> alone(own);
    NormParams q = p;
    q.x = alone.data();
    q.out = one.data();
    q.rows = 1;
    testing::run([&](cudaStream_t s) { return launch(q, s); });
    testing::expect_same_bits(
        one.download(), std::vector<T>(all.begin() + row * width, all.begin() + (row + 1) * width),
        what + " alone");
  }
  // In place.
  p.out = dx.data();
  testing::run([&](cudaStream_t s) { return launch(p, s); });
  testing::expect_same_bits(dx.download(), all, what + " in place");
}

KERNEL_TEST(RmsNormMatchesFloat64) {
  for (const int64_t width : kWidths) {
    check_norm<float>(width, false, 0);
    check_norm<__nv_bfloat16>(width, false, 0);
  }
}

KERNEL_TEST(LayerNormMatchesFloat64FarFromZeroMean) {
  for (const int64_t width : kWidths) {
    check_norm<float>(width, true, 10);
    check_norm<__nv_bfloat16>(width, true, 10);
  }
}

template <class T>
void check_residual(int64_t width) {
  Random random(13);
  const auto x = random.normal<T>(kRows * width), residual = random.normal<T>(kRows * width);
  const auto weight = random.normal<T>(width);
  const DeviceArray<T> dx(x), dr(residual), dw(weight), out(x.size()), expected(x.size());
  NormParams p{.x = dx.data(),
               .residual = dr.data(),
               .weight = dw.data(),
               .out = out.data(),
               .rows = kRows,
               .width = width,
               .type = kType<T>};
  testing::run([&](cudaStream_t s) { return launch_rms_norm(p, s); });
  std::vector<T> sum(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    sum[i] = static_cast<T>(static_cast<float>(x[i]) + static_cast<float>(residual[i]));
  }
  testing::expect_same_bits(dr.download(), sum, "residual " + std::to_string(width));
  p.x = dr.data();
  p.residual = nullptr;
  p.out = expected.data();
  testing::run([&](cudaStream_t s) { return launch_rms_norm(p, s); });
  testing::expect_same_bits(out.download(), expected.download(),
                            "norm of the residual " + std::to_string(width));
}

KERNEL_TEST(ResidualIsRoundedAndThenNormalised) {
  for (const int64_t width : kWidths) {
    check_residual<float>(width);
    check_residual<__nv_bfloat16>(width);
  }
}

KERNEL_TEST(MisalignedRowsWork) {
  Random random(17);
  const auto x = random.normal<float>(3 * 64 + 1), weight = random.normal<float>(65);
  const DeviceArray<float> dx(x), dw(weight), out(3 * 64 + 1);
  const NormParams p{.x = dx.data() + 1,
                     .weight = dw.data() + 1,
                     .out = out.data() + 1,
                     .rows = 3,
                     .width = 64,
                     .type = ElementType::kF32};
  testing::run([&](cudaStream_t s) { return launch_rms_norm(p, s); });
  std::vector<double> expected(3 * 64);
  for (int r = 0; r < 3; ++r) {
    double squares = 0;
    for (int i = 0; i < 64; ++i) squares += std::pow(x[1 + r * 64 + i], 2) / 64;
    for (int i = 0; i < 64; ++i) {
      expected[r * 64 + i] = x[1 + r * 64 + i] / std::sqrt(squares + 1e-5) * weight[1 + i];
    }
  }
  auto actual = out.download();
  actual.erase(actual.begin());
  testing::expect_close(actual, expected, {.relative = 1e-6, .absolute = 1e-7}, "misaligned");
}

KERNEL_TEST(NoRowsAreNothingToDo) {
  testing::run([](cudaStream_t s) { return launch_rms_norm({.width = 8}, s); });
}

}  // namespace
}  // namespace ernie::kernels
