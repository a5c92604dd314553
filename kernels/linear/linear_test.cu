#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>

#include "kernels/linear/linear.h"
#include "kernels/quantized/quantized.h"
#include "kernels/testing/testing.h"

namespace ernie::kernels {
namespace {

using testing::DeviceArray;
using testing::Random;
using testing::widen;

template <class T>
constexpr ElementType kType = sizeof(T) == 4 ? ElementType::kF32 : ElementType::kBF16;

double activate_exactly(Activation activation, double x) {
  if (activation == Activation::kQuickGelu) return x / (1 + std::exp(-1.702 * x));
  if (activation == Activation::kGeluErf) return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
  return x;
}

// One Linear with its memory. `sums_bytes` small enough makes it work in several pieces.
class Machine {
 public:
  explicit Machine(size_t sums_bytes = kLinearSumsBytes)
      : workspace_(kLinearWorkspaceBytes),
        sums_(sums_bytes / sizeof(float)),
        linear_({workspace_.data(), workspace_.size(), sums_.data(), sums_bytes}) {
    EXPECT(linear_.status().ok(), "cublasLtCreate failed");
  }
  Linear& linear() { return linear_; }

 private:
  DeviceArray<char> workspace_;
  DeviceArray<float> sums_;
  Linear linear_;
};

cudaError_t as_error(const LinearStatus& status) {
  EXPECT(status.library == nullptr, std::string("cuBLASLt: ") + status.library);
  return status.library != nullptr ? cudaErrorUnknown : status.cuda;
}

using Launch = std::function<cudaError_t(const LinearParams&, cudaStream_t)>;

struct Case {
  int64_t rows, in, out;
  bool bias = false;
  Activation activation = Activation::kNone;
  WeightFormat format = {};
};

// A quantised matrix on the device, and what it stands for.
struct Quantized {
  template <class T>
  Quantized(const std::vector<T>& w, const DeviceArray<T>& dw, const Case& c)
      : values(quantized_value_bytes(c.out, c.in, c.format, RowOrder::kPlain)),
        scales(quantized_scale_bytes(c.out, c.in, c.format, RowOrder::kPlain)) {
    const DeviceArray<float> out(w.size());
    QuantizeParams p;
    p.type = kType<T>;
    p.in = dw.data();
    p.stride = p.all_cols = c.in;
    p.rows = c.out;
    p.out = {c.format, RowOrder::kPlain, c.out, c.in, values.data(), scales.data()};
    testing::run([&](cudaStream_t s) {
      const cudaError_t error = launch_quantize(p, s);
      return error != cudaSuccess ? error
                                  : launch_dequantize(p.out, ElementType::kF32, out.data(), s);
    });
    weights = out.download();
  }

  DeviceArray<char> values;
  DeviceArray<char> scales;
  std::vector<float> weights;
};

// Compares with float64 (some outputs of large matrices) and returns the result.
template <class T, class Out>
std::vector<Out> check(const Case& c, const Launch& launch, const std::string& name) {
  Random random(static_cast<uint64_t>(c.rows * 1000003 + c.in * 1009 + c.out));
  const auto x = random.normal<T>(c.rows * c.in), w = random.normal<T>(c.out * c.in);
  const auto bias = random.normal<T>(c.out);
  const DeviceArray<T> dx(x), dw(w), db(bias);
  const DeviceArray<Out> out(c.rows * c.out);
  std::vector<float> wide(w.begin(), w.end());
  std::unique_ptr<Quantized> quantized;
  if (c.format.type != WeightType::kNative) {
    quantized = std::make_unique<Quantized>(w, dw, c);
    wide = quantized->weights;
  }
  const LinearParams p{.x = dx.data(),
                       .weight = quantized ? static_cast<void*>(quantized->values.data())
                                           : static_cast<void*>(dw.data()),
                       .format = c.format,
                       .scales = quantized ? quantized->scales.data() : nullptr,
                       .bias = c.bias ? db.data() : nullptr,
                       .out = out.data(),
                       .rows = c.rows,
                       .in_features = c.in,
                       .out_features = c.out,
                       .activation = c.activation,
                       .type = kType<T>,
                       .out_type = kType<Out>};
  testing::run([&](cudaStream_t s) { return launch(p, s); });
  const auto result = out.download();
  const std::string what =
      name + " " + testing::type_name<T>() + " to " + testing::type_name<Out>() + ", " +
      std::to_string(c.rows) + " x " + std::to_string(c.in) + " -> " + std::to_string(c.out) +
      (quantized
           ? ", int" + std::to_string(bits_of(c.format.type)) + "/" + std::to_string(c.format.group)
           : "");

  const size_t stride = std::max<size_t>(1, result.size() * c.in / 20000000);
  std::vector<Out> actual;
  std::vector<double> expected, magnitude;
  for (size_t i = 0; i < result.size(); i += stride) {
    const int64_t row = static_cast<int64_t>(i) / c.out, col = static_cast<int64_t>(i) % c.out;
    double sum = c.bias ? widen(bias[col]) : 0, size = std::abs(sum);
    for (int64_t k = 0; k < c.in; ++k) {
      const double product = widen(x[row * c.in + k]) * double{wide[col * c.in + k]};
      sum += product;
      size += std::abs(product);
    }
    actual.push_back(result[i]);
    expected.push_back(activate_exactly(c.activation, sum));
    magnitude.push_back(size);
  }
  // What quantised values are stored too large by is taken off the sums.
  const double float_error = c.format.type == WeightType::kNative ? 2e-6 : 2e-5;
  testing::expect_close_sums(actual, expected, magnitude, what, float_error);

  // The same bits again, from a graph.
  testing::run_in_graph([&](cudaStream_t s) { return launch(p, s); }, 2);
  testing::expect_same_bits(out.download(), result, what + ", again");
  return result;
}

const Launch kSmall = launch_linear_small;
const Launch kDot = launch_linear_dot;

KERNEL_TEST(SmallMatchesFloat64ForEveryNumberOfRows) {
  for (int64_t rows = 1; rows <= 16; ++rows) {
    check<__nv_bfloat16, __nv_bfloat16>({rows, 2560, 200 + rows, rows % 2 == 0}, kSmall, "small");
    check<__nv_bfloat16, float>({rows, 8 * rows, 16}, kSmall, "small");  // less than one piece
    check<__nv_bfloat16, float>({rows, 520 + 8 * rows, 97, true}, kSmall, "small");
  }
}

KERNEL_TEST(SmallMatchesFloat64OnTallMatricesWithSeveralTilesForEachBlock) {
  for (const int64_t rows : {1, 7, 8, 9, 16}) {
    check<__nv_bfloat16, float>({rows, 256, 103424}, kSmall, "small");
    check<__nv_bfloat16, __nv_bfloat16>({rows, 1032, 20001}, kSmall, "small");
    check<__nv_bfloat16, __nv_bfloat16>({rows, 3072, 5000}, kSmall, "small");
  }
}

KERNEL_TEST(SmallActivations) {
  for (const auto activation : {Activation::kQuickGelu, Activation::kGeluErf}) {
    check<__nv_bfloat16, __nv_bfloat16>({9, 64, 50, true, activation}, kSmall, "small");
    check<__nv_bfloat16, float>({3, 64, 50, false, activation}, kSmall, "small");
  }
}

KERNEL_TEST(DotMatchesFloat64ForOddShapes) {
  for (const Case& c :
       {Case{7, 33, 17, true}, Case{5, 1, 1}, Case{19, 588, 131}, Case{3, 3072, 200},
        Case{1, 2560, 64, true}, Case{9, 40, 50, true, Activation::kGeluErf}}) {
    check<float, float>(c, kDot, "dot");
    check<__nv_bfloat16, __nv_bfloat16>(c, kDot, "dot");
    check<__nv_bfloat16, float>(c, kDot, "dot");
  }
}

// The rows of one product, each alone, must have the bits they have together.
template <class T, class Out>
void check_rows_alone(const Case& c, const Launch& launch, const std::string& name) {
  Random random(7);
  const DeviceArray<T> x(random.normal<T>(c.rows * c.in)), w(random.normal<T>(c.out * c.in));
  const DeviceArray<Out> together(c.rows * c.out), alone(c.rows * c.out);
  LinearParams p{.x = x.data(),
                 .weight = w.data(),
                 .out = together.data(),
                 .rows = c.rows,
                 .in_features = c.in,
                 .out_features = c.out,
                 .type = kType<T>,
                 .out_type = kType<Out>};
  testing::run([&](cudaStream_t s) {
    cudaError_t error = launch(p, s);
    for (int64_t r = 0; r < c.rows && error == cudaSuccess; ++r) {
      LinearParams one = p;
      one.rows = 1;
      one.x = x.data() + r * c.in;
      one.out = alone.data() + r * c.out;
      error = launch(one, s);
    }
    return error;
  });
  testing::expect_same_bits(alone.download(), together.download(), name + ", rows alone");
}

KERNEL_TEST(ARowHasTheSameBitsInAnyBatch) {
  for (const int64_t rows : {2, 8, 9, 16}) {
    check_rows_alone<__nv_bfloat16, float>({rows, 2560, 300}, kSmall, "small");
    check_rows_alone<__nv_bfloat16, float>({rows, 640, 20000}, kSmall, "small, tall");
    check_rows_alone<float, float>({rows, 100, 70}, kDot, "dot");
  }
}

constexpr WeightFormat kFormats[] = {{WeightType::kInt4, 0},  {WeightType::kInt8, 0},
                                     {WeightType::kInt4, 32}, {WeightType::kInt8, 32},
                                     {WeightType::kInt4, 64}, {WeightType::kInt8, 128}};

KERNEL_TEST(QuantizedMatchesFloat64) {
  const Launch fast = launch_linear_quantized;
  constexpr auto kNone = Activation::kNone;
  for (const WeightFormat format : kFormats) {
    for (const int64_t rows : {1, 2, 7, 8, 9, 16, 17, 40}) {
      check<__nv_bfloat16, __nv_bfloat16>({rows, 640, 200 + rows, true, kNone, format}, fast,
                                          "quantized");
      check<__nv_bfloat16, float>({rows, 8 * rows, 16, false, kNone, format}, fast, "quantized");
      check<__nv_bfloat16, float>({rows, 520 + 8 * rows, 97, true, Activation::kGeluErf, format},
                                  fast, "quantized");
    }
    if (!testing::is_sanitized()) {
      check<__nv_bfloat16, float>({3, 2560, 3584, false, kNone, format}, fast, "quantized");
      check<__nv_bfloat16, float>({16, 1024, 20001, false, kNone, format}, fast, "quantized");
    }
  }
}

KERNEL_TEST(QuantizedDotMatchesFloat64ForOddShapes) {
  for (const WeightFormat format : kFormats) {
    for (Case c : {Case{7, 33, 17, true}, Case{5, 1, 1}, Case{19, 588, 131},
                   Case{9, 40, 50, true, Activation::kGeluErf}}) {
      c.format = format;
      check<float, float>(c, kDot, "dot");
      check<__nv_bfloat16, __nv_bfloat16>(c, kDot, "dot");
    }
  }
}

KERNEL_TEST(AQuantizedRowHasTheSameBitsInAnyBatch) {
  for (const WeightFormat format : kFormats) {
    const Case c{40, 1288, 300, false, Activation::kNone, format};
    Random random(7);
    const auto w = random.normal<__nv_bfloat16>(c.out * c.in);
    const DeviceArray<__nv_bfloat16> x(random.normal<__nv_bfloat16>(c.rows * c.in)), dw(w);
    const Quantized quantized(w, dw, c);
    const DeviceArray<float> together(c.rows * c.out), apart(c.rows * c.out);
    LinearParams p{.x = x.data(),
                   .weight = quantized.values.data(),
                   .format = format,
                   .scales = quantized.scales.data(),
                   .out = together.data(),
                   .rows = c.rows,
                   .in_features = c.in,
                   .out_features = c.out,
                   .out_type = ElementType::kF32};
    testing::run([&](cudaStream_t s) {
      cudaError_t error = launch_linear_quantized(p, s);
      int64_t first = 0;
      for (const int64_t rows : {1, 2, 8, 9, 20}) {
        LinearParams some = p;
        some.rows = rows;
        some.x = x.data() + first * c.in;
        some.out = apart.data() + first * c.out;
        if (error == cudaSuccess) error = launch_linear_quantized(some, s);
        first += rows;
      }
      return error;
    });
    testing::expect_same_bits(apart.download(), together.download(), "quantized, rows apart");
  }
}

KERNEL_TEST(LibraryMatchesFloat64) {
  Machine machine;
  const Launch library = [&](const LinearParams& p, cudaStream_t s) {
    return as_error(machine.linear().run_library(p, s));
  };
  const Case large = testing::is_sanitized() ? Case{300, 256, 384} : Case{300, 2560, 3584};
  for (const Case& c : {Case{17, 64, 48}, Case{130, 1040, 152, true}, large,
                        Case{64, 256, 1000, true, Activation::kQuickGelu},
                        Case{1000, 128, 264, true, Activation::kGeluErf}}) {
    check<float, float>(c, library, "library");
    check<__nv_bfloat16, __nv_bfloat16>(c, library, "library");
    check<__nv_bfloat16, float>(c, library, "library");
  }
}

// Numbers of rows that are close share a plan, which was asked for with the largest of them.
KERNEL_TEST(LibraryPlansServeAllRowsOfTheirBucket) {
  const int64_t most = 640, in = 1024, out = 768;
  constexpr int64_t kStride = 97;  // of the compared results
  Machine machine;
  Random random(9);
  const auto x = random.normal<__nv_bfloat16>(most * in),
             w = random.normal<__nv_bfloat16>(out * in);
  std::vector<double> expected, magnitude;
  for (int64_t i = 0; i < most * out; i += kStride) {
    double sum = 0, size = 0;
    for (int64_t k = 0; k < in; ++k) {
      const double product = widen(x[i / out * in + k]) * widen(w[i % out * in + k]);
      sum += product;
      size += std::abs(product);
    }
    expected.push_back(sum);
    magnitude.push_back(size);
  }
  const DeviceArray<__nv_bfloat16> dx(x), dw(w);
  const int64_t step = testing::is_sanitized() ? 100 : 1;
  for (int64_t rows = 17; rows <= most; rows += rows < 140 ? step : 13 * step) {
    const DeviceArray<float> result(rows * out);
    testing::run([&](cudaStream_t s) {
      return as_error(machine.linear().run_library({.x = dx.data(),
                                                    .weight = dw.data(),
                                                    .out = result.data(),
                                                    .rows = rows,
                                                    .in_features = in,
                                                    .out_features = out,
                                                    .out_type = ElementType::kF32},
                                                   s));
    });
    const auto all = result.download();
    std::vector<float> actual;
    for (size_t i = 0; i < all.size(); i += kStride) actual.push_back(all[i]);
    const auto count = static_cast<std::ptrdiff_t>(actual.size());
    testing::expect_close_sums(actual, {expected.begin(), expected.begin() + count},
                               {magnitude.begin(), magnitude.begin() + count},
                               std::to_string(rows) + " rows");
  }
}

KERNEL_TEST(ActivationsInPiecesOfRowsEqualThoseAtOnce) {
  const Case c{100, 128, 256, true, Activation::kQuickGelu};
  Machine large, small(size_t{30} * 256 * 4);
  const auto of = [](Machine& machine) {
    return [&machine](const LinearParams& p, cudaStream_t s) {
      return as_error(machine.linear().run_library(p, s));
    };
  };
  check<__nv_bfloat16, __nv_bfloat16>(c, of(large), "library");
  check<__nv_bfloat16, __nv_bfloat16>(c, of(small), "library in pieces");
}

KERNEL_TEST(EveryShapeFindsAWay) {
  Machine machine;
  const Launch any = [&](const LinearParams& p, cudaStream_t s) {
    return as_error(machine.linear().run(p, s));
  };
  for (const Case& c :
       {Case{0, 8, 8}, Case{1, 1, 1}, Case{40, 33, 17, true}, Case{33, 588, 1280},
        Case{20, 3, 50, true, Activation::kGeluErf}, Case{16, 2560, 512}, Case{17, 2560, 512},
        Case{70, 7, 5}, Case{3, 64, 50, true, Activation::kNone, {WeightType::kInt8, 0}},
        Case{30, 65, 50, true, Activation::kNone, {WeightType::kInt4, 32}}}) {
    check<float, float>(c, any, "any");
    check<__nv_bfloat16, __nv_bfloat16>(c, any, "any");
    check<__nv_bfloat16, float>(c, any, "any");
  }
}

KERNEL_TEST(Float32IsNotTensorFloat32) {
  // 1 + 2^-12 is 1 in TF32, whose mantissa has 10 bits; sums of it are exact in float32.
  const int64_t rows = 64, k = 64, n = 64;
  Machine machine;
  const DeviceArray<float> x(std::vector<float>(rows * k, 1.0f + 0x1p-12f));
  const DeviceArray<float> w(std::vector<float>(n * k, 1.0f)), out(rows * n);
  testing::run([&](cudaStream_t s) {
    return as_error(machine.linear().run_library({.x = x.data(),
                                                  .weight = w.data(),
                                                  .out = out.data(),
                                                  .rows = rows,
                                                  .in_features = k,
                                                  .out_features = n,
                                                  .type = ElementType::kF32,
                                                  .out_type = ElementType::kF32},
                                                 s));
  });
  testing::expect_close(out.download(), std::vector<double>(rows * n, 64.0 * (1 + 0x1p-12)), {},
                        "float32 product");
}

KERNEL_TEST(NanAndInfinityStayVisibleInTheirRow) {
  Random random(5);
  for (const int64_t rows : {3, 40}) {
    auto x = random.normal<__nv_bfloat16>(rows * 64);
    x[5] = static_cast<__nv_bfloat16>(std::nanf(""));
    x[64 + 5] = static_cast<__nv_bfloat16>(INFINITY);
    const DeviceArray<__nv_bfloat16> dx(x), w(random.normal<__nv_bfloat16>(32 * 64));
    const DeviceArray<float> out(rows * 32);
    Machine machine;
    testing::run([&](cudaStream_t s) {
      return as_error(machine.linear().run({.x = dx.data(),
                                            .weight = w.data(),
                                            .out = out.data(),
                                            .rows = rows,
                                            .in_features = 64,
                                            .out_features = 32,
                                            .out_type = ElementType::kF32},
                                           s));
    });
    const auto y = out.download();
    for (int i = 0; i < 32; ++i) {
      EXPECT(std::isnan(y[i]) && !std::isfinite(y[32 + i]) && std::isfinite(y[64 + i]),
             "output " + std::to_string(i) + " of " + std::to_string(rows) + " rows");
    }
  }
}

}  // namespace
}  // namespace ernie::kernels
