#include <string>

#include "kernels/quantized/quantized.h"
#include "kernels/quantized/quantized_reference.h"
#include "kernels/testing/testing.h"

namespace ernie::kernels {
namespace {

using testing::DeviceArray;
using testing::Random;

constexpr WeightFormat kFormats[] = {{WeightType::kInt4, 0},   {WeightType::kInt8, 0},
                                     {WeightType::kInt4, 32},  {WeightType::kInt8, 32},
                                     {WeightType::kInt4, 64},  {WeightType::kInt8, 64},
                                     {WeightType::kInt4, 128}, {WeightType::kInt8, 128}};

std::string name_of(int64_t rows, int64_t cols, WeightFormat format, RowOrder order) {
  return std::string(format.type == WeightType::kInt4 ? "int4" : "int8") + ", group " +
         std::to_string(format.group) + ", " + std::to_string(rows) + " x " + std::to_string(cols) +
         (order == RowOrder::kGateUp ? ", gate and up" : "");
}

struct Matrix {
  Matrix(int64_t rows, int64_t cols, WeightFormat format, RowOrder order)
      : values(quantized_value_bytes(rows, cols, format, order)),
        scales(quantized_scale_bytes(rows, cols, format, order) / 2),
        out{format, order, rows, cols, values.data(), scales.data()} {}

  void expect(const HostPacked& expected, const std::string& what) const {
    testing::expect_same_bits(values.download(), expected.values, what + ", values");
    testing::expect_same_bits(scales.download(), expected.scales, what + ", scales");
  }

  DeviceArray<uint8_t> values;
  DeviceArray<__nv_bfloat16> scales;
  QuantizedMatrix out;
};

// Weights with rows of zeros, halves between two values and rows of one large element.
template <class T>
std::vector<T> make_weights(int64_t rows, int64_t cols) {
  Random random(static_cast<uint64_t>(rows * 131 + cols));
  std::vector<T> w = random.normal<T>(static_cast<size_t>(rows * cols), 0.02);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < cols; ++c) {
      T& x = w[static_cast<size_t>(r * cols + c)];
      if (r % 7 == 3) x = static_cast<T>(0.0f);
      if (r % 5 == 4) x = static_cast<T>(static_cast<float>(random.integer(-14, 14)) / 14.0f);
    }
  }
  return w;
}

// A shard of `cols` columns from first_col of a matrix that is `all_cols` wide, in calls of some
// rows each.
template <class T>
void check(int64_t rows, int64_t all_cols, int64_t first_col, int64_t cols, WeightFormat format,
           RowOrder order, const std::vector<int64_t>& parts) {
  const std::vector<T> w = make_weights<T>(rows, all_cols);
  const DeviceArray<T> device(w);
  const Matrix matrix(rows, cols, format, order);
  testing::run([&](cudaStream_t stream) {
    cudaError_t error = cudaSuccess;
    int64_t first_row = 0;
    for (const int64_t part : parts) {
      QuantizeParams p;
      p.type = sizeof(T) == 4 ? ElementType::kF32 : ElementType::kBF16;
      p.in = device.data() + first_row * all_cols;
      p.stride = all_cols;
      p.rows = part;
      p.first_col = first_col;
      p.all_cols = all_cols;
      p.first_row = first_row;
      p.out = matrix.out;
      if (error == cudaSuccess) error = launch_quantize(p, stream);
      first_row += part;
    }
    return error;
  });
  const HostQuantized expected = quantize_on_host(w, rows, all_cols, first_col, cols, format);
  const std::string what = name_of(rows, cols, format, order);
  matrix.expect(pack_on_host(expected, rows, cols, format, order), what);

  const DeviceArray<float> wide(expected.values.size());
  const DeviceArray<__nv_bfloat16> narrow(expected.values.size());
  testing::run([&](cudaStream_t stream) {
    const cudaError_t error = launch_dequantize(matrix.out, ElementType::kF32, wide.data(), stream);
    return error != cudaSuccess
               ? error
               : launch_dequantize(matrix.out, ElementType::kBF16, narrow.data(), stream);
  });
  testing::expect_same_bits(wide.download(), expected.values, what + ", dequantised");
  std::vector<__nv_bfloat16> rounded;
  for (const float x : expected.values) rounded.push_back(__float2bfloat16_rn(x));
  testing::expect_same_bits(narrow.download(), rounded, what + ", dequantised and rounded");
}

KERNEL_TEST(WholeMatricesMatchTheHost) {
  for (const WeightFormat format : kFormats) {
    check<__nv_bfloat16>(128, 256, 0, 256, format, RowOrder::kPlain, {128});
    check<__nv_bfloat16>(128, 256, 0, 256, format, RowOrder::kGateUp, {128});
    check<float>(96, 192, 0, 192, format, RowOrder::kGateUp, {96});
    check<__nv_bfloat16>(200, 1000, 0, 1000, format, RowOrder::kPlain, {200});
    check<__nv_bfloat16>(2 * 40, 72, 0, 72, format, RowOrder::kGateUp, {80});
    check<float>(33, 45, 0, 45, format, RowOrder::kPlain, {33});
    check<__nv_bfloat16>(2 * 13, 7, 0, 7, format, RowOrder::kGateUp, {26});
  }
}

KERNEL_TEST(AShardHasTheScalesOfTheWholeMatrix) {
  for (const WeightFormat format : kFormats) {
    check<__nv_bfloat16>(64, 1024, 256, 256, format, RowOrder::kPlain, {64});
    check<__nv_bfloat16>(40, 3 * 448, 448, 448, format, RowOrder::kPlain, {40});
    check<float>(24, 300, 101, 99, format, RowOrder::kPlain, {24});
  }
}

// Stacked tensors: q, k and v of unequal heights, gate and up by themselves, rows one by one.
KERNEL_TEST(PartsMakeTheSameMatrix) {
  for (const WeightFormat format : kFormats) {
    check<__nv_bfloat16>(160, 128, 0, 128, format, RowOrder::kPlain, {100, 20, 40});
    check<__nv_bfloat16>(2 * 56, 128, 0, 128, format, RowOrder::kGateUp, {56, 56});
    check<__nv_bfloat16>(2 * 12, 64, 0, 64, format, RowOrder::kGateUp, std::vector<int64_t>(24, 1));
  }
}

KERNEL_TEST(PackedRowsAreBroughtIntoTheLayout) {
  for (const WeightFormat format : kFormats) {
    for (const RowOrder order : {RowOrder::kPlain, RowOrder::kGateUp}) {
      const int64_t rows = 88, cols = 200;
      const int bits = bits_of(format.type);
      const int64_t words = cols * bits / 32 + 1;
      const int64_t groups = quantized_groups(cols, format.group);
      Random random(3);
      HostQuantized expected;
      expected.scales = random.normal<__nv_bfloat16>(static_cast<size_t>(rows * groups));
      std::vector<uint32_t> packed(static_cast<size_t>(rows * words));
      const int limit = 1 << (bits - 1);
      for (int64_t i = 0; i < rows * cols; ++i) {
        const auto q = static_cast<int>(random.integer(-limit, limit - 1));
        expected.q.push_back(q);
        const int64_t in_word = i % cols % (32 / bits);
        packed[static_cast<size_t>(i / cols * words + i % cols / (32 / bits))] |=
            static_cast<uint32_t>(q + limit) << (in_word * bits);
      }
      const DeviceArray<uint32_t> values(packed);
      const DeviceArray<__nv_bfloat16> scales(expected.scales);
      const Matrix matrix(rows, cols, format, order);
      testing::run([&](cudaStream_t stream) {
        cudaError_t error = cudaSuccess;
        for (const int64_t first : {int64_t{0}, rows / 2}) {
          RepackParams p;
          p.values = values.data() + first * words;
          p.stride = words;
          p.scales = scales.data() + first * groups;
          p.scale_stride = groups;
          p.rows = rows / 2;
          p.first_row = first;
          p.out = matrix.out;
          if (error == cudaSuccess) error = launch_repack(p, stream);
        }
        return error;
      });
      matrix.expect(pack_on_host(expected, rows, cols, format, order),
                    name_of(rows, cols, format, order) + ", repacked");
    }
  }
}

KERNEL_TEST(ImpossibleRequestsAreRefused) {
  QuantizeParams p;
  p.out = {.format = {WeightType::kInt4, 0}, .rows = 64, .cols = 64};
  p.rows = 64;
  p.stride = p.all_cols = 64;
  const auto refused = [&](const char* what) {
    EXPECT(launch_quantize(p, nullptr) == cudaErrorInvalidValue, what);
  };
  p.first_row = 1;
  refused("rows behind the last");
  p.first_row = 0;
  p.first_col = 1;
  refused("columns behind the last");
  p.first_col = 0;
  p.out.format.group = 48;
  refused("a group of 48");
  p.out.format = {};
  refused("not quantised");
}

}  // namespace
}  // namespace ernie::kernels
