#include <cmath>
#include <string>

#include "kernels/common/arch.h"
#include "kernels/linear/linear.h"
#include "kernels/quantized/quantized.h"
#include "kernels/testing/testing.h"

// Products of a quantised matrix with many rows on sm_90a.
namespace ernie::kernels {
namespace {

using testing::DeviceArray;
using testing::Random;
using testing::widen;

constexpr WeightFormat kInt4{WeightType::kInt4, 0};
constexpr WeightFormat kInt8{WeightType::kInt8, 0};

// A quantised matrix and what it stands for.
class Matrix {
 public:
  Matrix(int64_t out, int64_t in, WeightFormat format)
      : values_(quantized_value_bytes(out, in, format, RowOrder::kPlain)),
        scales_(quantized_scale_bytes(out, in, format, RowOrder::kPlain)) {
    Random random(5);
    const DeviceArray<__nv_bfloat16> source(
        random.normal<__nv_bfloat16>(static_cast<size_t>(out * in)));
    const DeviceArray<float> floats(source.size());
    const QuantizedMatrix matrix{.format = format,
                                 .rows = out,
                                 .cols = in,
                                 .values = values_.data(),
                                 .scales = scales_.data()};
    testing::run([&](cudaStream_t stream) {
      const cudaError_t error = launch_quantize(
          {.in = source.data(), .stride = in, .rows = out, .all_cols = in, .out = matrix}, stream);
      return error != cudaSuccess
                 ? error
                 : launch_dequantize(matrix, ElementType::kF32, floats.data(), stream);
    });
    meaning_ = floats.download();
    params_ = {.weight = values_.data(),
               .format = format,
               .scales = scales_.data(),
               .in_features = in,
               .out_features = out};
  }

  const std::vector<float>& meaning() const { return meaning_; }
  const LinearParams& params() const { return params_; }

 private:
  DeviceArray<char> values_;
  DeviceArray<char> scales_;
  std::vector<float> meaning_;
  LinearParams params_;
};

template <class Out>
std::vector<Out> multiply(const Matrix& matrix, const std::vector<__nv_bfloat16>& x, int64_t rows) {
  const DeviceArray<__nv_bfloat16> dx(x);
  const DeviceArray<Out> out(static_cast<size_t>(rows * matrix.params().out_features));
  LinearParams p = matrix.params();
  p.x = dx.data();
  p.out = out.data();
  p.rows = rows;
  p.out_type = sizeof(Out) == 4 ? ElementType::kF32 : ElementType::kBF16;
  testing::run_in_graph([&](cudaStream_t s) { return launch_linear_quantized_hopper(p, s); }, 2);
  return out.download();
}

void check(int64_t rows, int64_t in, int64_t out, WeightFormat format) {
  if (arch() < 90) return;
  const Matrix matrix(out, in, format);
  Random random(static_cast<uint64_t>(rows));
  const auto x = random.normal<__nv_bfloat16>(static_cast<size_t>(rows * in));
  const std::vector<float> got = multiply<float>(matrix, x, rows);
  const std::string what = std::to_string(rows) + " x " + std::to_string(in) + " -> " +
                           std::to_string(out) + ", int" + std::to_string(bits_of(format.type)) +
                           " / " + std::to_string(format.group);
  const size_t stride = std::max<size_t>(1, got.size() * static_cast<size_t>(in) / 20000000) | 1;
  std::vector<float> actual;
  std::vector<double> expected, magnitude;
  for (size_t i = 0; i < got.size(); i += stride) {
    const auto row = static_cast<int64_t>(i) / out, col = static_cast<int64_t>(i) % out;
    double sum = 0, size = 0, squares = 0;
    for (int64_t k = 0; k < in; ++k) {
      const double product = widen(x[static_cast<size_t>(row * in + k)]) *
                             matrix.meaning()[static_cast<size_t>(col * in + k)];
      sum += product;
      size += std::abs(product);
      squares += product * product;
    }
    actual.push_back(got[i]);
    expected.push_back(sum);
    // Weights with scales of groups are rounded to bfloat16: up to 2^-9 of each, at random.
    magnitude.push_back(size + (format.group > 0 ? 0x1p-9 * 5 * std::sqrt(squares) / 4e-6 : 0));
  }
  testing::expect_close_sums(actual, expected, magnitude, what, 4e-6);
  std::vector<__nv_bfloat16> rounded(got.size());
  for (size_t i = 0; i < got.size(); ++i) rounded[i] = __float2bfloat16_rn(got[i]);
  testing::expect_same_bits(multiply<__nv_bfloat16>(matrix, x, rows), rounded, what + ", rounded");
}

KERNEL_TEST(FormatsAndShapes) {
  for (const WeightFormat& format :
       {kInt4, kInt8, WeightFormat{WeightType::kInt4, 32}, WeightFormat{WeightType::kInt4, 64},
        WeightFormat{WeightType::kInt8, 32}, WeightFormat{WeightType::kInt8, 128}}) {
    check(17, 264, 72, format);
    check(130, 128, 640, format);
    if (!testing::is_sanitized()) check(700, 1000, 1336, format);
  }
}

KERNEL_TEST(EveryHeightOfTiles) {
  for (int64_t rows = 1; rows <= (testing::is_sanitized() ? 20 : 260); rows += 9) {
    check(rows, 192, 320, kInt4);
    check(rows, 192, 320, kInt8);
  }
}

KERNEL_TEST(LargeShapes) {
  if (testing::is_sanitized()) return;
  check(2000, 2560, 3584, kInt4);
  check(500, 12288, 2560, kInt8);
}

// The rows of one product, some alone, have the bits they have together.
KERNEL_TEST(ARowDoesNotDependOnTheOthers) {
  if (arch() < 90) return;
  const Matrix matrix(520, 512, kInt4);
  Random random(3);
  const auto x = random.normal<__nv_bfloat16>(900 * 512);
  const std::vector<float> all = multiply<float>(matrix, x, 900);
  for (const int rows : {1, 17, 40, 77, 128, 300}) {
    testing::expect_same_bits(multiply<float>(matrix, {x.begin(), x.begin() + rows * 512}, rows),
                              std::vector<float>(all.begin(), all.begin() + rows * 520),
                              std::to_string(rows) + " rows");
  }
}

}  // namespace
}  // namespace ernie::kernels
