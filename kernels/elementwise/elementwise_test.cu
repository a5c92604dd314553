#include <cmath>

#include "kernels/elementwise/elementwise.h"
#include "kernels/testing/testing.h"

namespace ernie::kernels {
namespace {

using testing::DeviceArray;
using testing::Random;
using testing::widen;

template <class T>
constexpr ElementType kType = sizeof(T) == 4 ? ElementType::kF32 : ElementType::kBF16;

template <class T>
void check_add() {
  for (const int64_t count : {1, 7, 61, 512, 4096, 100003}) {
    Random random(1);
    const auto x = random.normal<T>(count), y = random.normal<T>(count);
    const DeviceArray<T> dx(x), dy(y);
    testing::run_in_graph([&](cudaStream_t s) {
      return launch_add({dx.data(), dy.data(), count, kType<T>}, s);
    });
    std::vector<T> expected(count);
    for (int64_t i = 0; i < count; ++i) {
      expected[i] = static_cast<T>(static_cast<float>(x[i]) + static_cast<float>(y[i]));
    }
    testing::expect_same_bits(dy.download(), expected, "add " + std::to_string(count));
  }
}

KERNEL_TEST(AddRoundsOnce) {
  check_add<float>();
  check_add<__nv_bfloat16>();
}

KERNEL_TEST(CastRoundsToNearestEvenAndKeepsNan) {
  for (const int64_t count : {5, 37, 64, 5000}) {
    Random random(2);
    auto x = random.normal<float>(count);
    x[0] = INFINITY;
    x[1] = -INFINITY;
    x[2] = std::nanf("");
    x[3] = 1.00390625f;  // halfway between two bfloat16 values
    x[4] = 1.01171875f;
    std::vector<__nv_bfloat16> rounded(count);
    std::vector<double> expected(count);
    for (int64_t i = 0; i < count; ++i) {
      rounded[i] = static_cast<__nv_bfloat16>(x[i]);
      expected[i] = widen(rounded[i]);
    }
    EXPECT(count < 5 || (expected[3] == 1.0 && expected[4] == 1.015625), "the host rounds wrongly");
    const DeviceArray<float> in(x), back(count);
    const DeviceArray<__nv_bfloat16> out(count);
    testing::run_in_graph([&](cudaStream_t s) {
      const cudaError_t error =
          launch_cast({in.data(), out.data(), count, ElementType::kF32, ElementType::kBF16}, s);
      if (error != cudaSuccess) return error;
      return launch_cast({out.data(), back.data(), count, ElementType::kBF16, ElementType::kF32},
                         s);
    });
    testing::expect_close(out.download(), expected, {}, "to bfloat16");
    testing::expect_close(back.download(), expected, {}, "back to float32");
    const DeviceArray<float> same(count);
    testing::run_in_graph([&](cudaStream_t s) {
      return launch_cast({back.data(), same.data(), count, ElementType::kF32, ElementType::kF32},
                         s);
    });
    testing::expect_same_bits(same.download(), back.download(), "same type");
  }
}

template <class T>
void check_swiglu() {
  for (const int64_t width : {1, 5, 16, 61, 1280, 1536}) {
    const int64_t rows = 7;
    Random random(3);
    const auto x = random.normal<T>(rows * 2 * width, 20.0);
    const DeviceArray<T> in(x), out(rows * width);
    testing::run_in_graph([&](cudaStream_t s) {
      return launch_swiglu({in.data(), out.data(), rows, width, kType<T>}, s);
    });
    std::vector<double> expected(rows * width), magnitude(rows * width);
    for (int64_t i = 0; i < rows * width; ++i) {
      const double gate = widen(x[i / width * 2 * width + i % width]);
      const double up = widen(x[i / width * 2 * width + width + i % width]);
      expected[i] = gate / (1 + std::exp(-gate)) * up;
      // Below e^-87 a float32 exponential overflows and the result is zero.
      magnitude[i] = std::abs(expected[i]) + 1e-29;
    }
    testing::expect_close_sums(out.download(), expected, magnitude,
                               "swiglu " + std::to_string(width));
  }
}

KERNEL_TEST(SwiGluMatchesFloat64) {
  check_swiglu<float>();
  check_swiglu<__nv_bfloat16>();
}

template <class T>
void check_normalize() {
  for (const int64_t plane : {49, 196, 1}) {
    const int64_t rows = 5;
    std::vector<uint8_t> pixels(rows * 3 * plane);
    for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(i * 7);
    const DeviceArray<uint8_t> in(pixels);
    const DeviceArray<T> out(pixels.size());
    const NormalizePatchesParams p{.patches = in.data(),
                                   .out = out.data(),
                                   .rows = rows,
                                   .plane = plane,
                                   .mean = {0.48f, 0.46f, 0.41f},
                                   .std = {0.27f, 0.26f, 0.28f},
                                   .out_type = kType<T>};
    testing::run_in_graph([&](cudaStream_t s) { return launch_normalize_patches(p, s); });
    std::vector<double> expected(pixels.size());
    for (size_t i = 0; i < pixels.size(); ++i) {
      const size_t c = i / plane % 3;
      expected[i] = (pixels[i] / 255.0 - p.mean[c]) / p.std[c];
    }
    testing::expect_close_sums(out.download(), expected, std::vector<double>(pixels.size(), 4.0),
                               "normalize_patches " + std::to_string(plane));
  }
}

KERNEL_TEST(NormalizePatchesKnowsItsChannels) {
  check_normalize<float>();
  check_normalize<__nv_bfloat16>();
}

double activate_exactly(Activation activation, double x) {
  if (activation == Activation::kQuickGelu) return x / (1 + std::exp(-1.702 * x));
  if (activation == Activation::kGeluErf) return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
  return x;
}

template <class B, class T>
void check_bias_activation() {
  for (const int64_t width : {3, 64, 1280}) {
    for (const Activation activation :
         {Activation::kNone, Activation::kQuickGelu, Activation::kGeluErf}) {
      for (const bool with_bias : {false, true}) {
        const int64_t rows = 9;
        Random random(4);
        const auto x = random.normal<float>(rows * width, 3.0);
        const auto bias = random.normal<B>(width);
        const DeviceArray<float> in(x);
        const DeviceArray<B> db(bias);
        const DeviceArray<T> out(x.size());
        testing::run_in_graph([&](cudaStream_t s) {
          return launch_bias_activation({.in = in.data(),
                                         .bias = with_bias ? db.data() : nullptr,
                                         .out = out.data(),
                                         .rows = rows,
                                         .width = width,
                                         .activation = activation,
                                         .bias_type = kType<B>,
                                         .out_type = kType<T>},
                                        s);
        });
        std::vector<double> expected(x.size()), magnitude(x.size());
        for (size_t i = 0; i < x.size(); ++i) {
          const double b = with_bias ? widen(bias[i % width]) : 0;
          expected[i] = activate_exactly(activation, x[i] + b);
          magnitude[i] = std::abs(x[i]) + std::abs(b);
        }
        testing::expect_close_sums(out.download(), expected, magnitude,
                                   "bias and activation " + std::to_string(width));
      }
    }
  }
}

KERNEL_TEST(BiasAndActivationMatchFloat64) {
  check_bias_activation<float, float>();
  check_bias_activation<__nv_bfloat16, float>();
  check_bias_activation<__nv_bfloat16, __nv_bfloat16>();
}

}  // namespace
}  // namespace ernie::kernels
