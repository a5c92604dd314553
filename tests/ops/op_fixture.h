#pragma once

// Shared by the operator tests: every test runs for each case of a backend's table, against a
// float64 reference. A test program links these tests with the op_cases() of one backend.

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include "ops/backend.h"
#include "tensor/bf16.h"

namespace ernie::op_tests {

// What a backend promises beyond correct results.
struct Promises {
  // Products give a row the same bits in any batch of up to this many rows.
  int64_t same_bits_up_to_rows = INT64_MAX;
  // Experts give a token the same bits in any two batches that no number of tokens here lies
  // between: they are counted with the smaller ones. Rising.
  std::vector<int64_t> expert_ways_end;
  // Attention gives the same bits however prompts are cut into steps.
  bool same_bits_however_cut = true;
  // PackSpec::sum_parts is heeded.
  bool sums_in_parts = true;
  // Widths of the router and of vision heads must be multiples of this.
  int64_t width_granule = 1;
};

struct OpCase {
  std::string name;
  DType dtype = DType::kF32;
  // Its operators take views of host memory.
  std::function<std::unique_ptr<ops::Backend>()> make_backend;
  Promises promises;
};

// The table of the backend that this program tests: each of its ways x activation type.
std::vector<OpCase> op_cases();
// The same for operators without an activation type; dtype says nothing.
std::vector<OpCase> sampling_cases();

inline std::string op_case_name(const testing::TestParamInfo<OpCase>& info) {
  return info.param.name;
}
inline void PrintTo(const OpCase& c, std::ostream* out) { *out << c.name; }

// A host tensor that can be read as float64.
class HostTensor {
 public:
  HostTensor(DType dtype, Shape shape)
      : dtype_(dtype),
        shape_(shape),
        bytes_(static_cast<size_t>(shape.elements()) * dtype_bytes(dtype) + 64) {}

  TensorView view() { return {bytes_.data(), dtype_, shape_}; }
  int64_t size() const { return shape_.elements(); }
  double at(int64_t i) const {
    switch (dtype_) {
      case DType::kF32:
        return reinterpret_cast<const float*>(bytes_.data())[i];
      case DType::kBF16:
        return to_float(reinterpret_cast<const BF16*>(bytes_.data())[i]);
      case DType::kI32:
        return reinterpret_cast<const int32_t*>(bytes_.data())[i];
      case DType::kU8:
        return reinterpret_cast<const uint8_t*>(bytes_.data())[i];
    }
    return 0;
  }
  double at(int64_t row, int64_t col) const { return at(row * (size() / shape_[0]) + col); }
  void set(int64_t i, double v) {
    switch (dtype_) {
      case DType::kF32:
        reinterpret_cast<float*>(bytes_.data())[i] = static_cast<float>(v);
        return;
      case DType::kBF16:
        reinterpret_cast<BF16*>(bytes_.data())[i] = to_bf16(static_cast<float>(v));
        return;
      case DType::kI32:
        reinterpret_cast<int32_t*>(bytes_.data())[i] = static_cast<int32_t>(v);
        return;
      case DType::kU8:
        bytes_[static_cast<size_t>(i)] = static_cast<char>(static_cast<int>(v));
        return;
    }
  }
  void fill(double v) {
    for (int64_t i = 0; i < size(); ++i) set(i, v);
  }
  // The bits of rows [first, first + count).
  std::string row_bits(int64_t first, int64_t count = 1) const {
    const size_t row = static_cast<size_t>(size() / shape_[0]) * dtype_bytes(dtype_);
    return {bytes_.data() + static_cast<size_t>(first) * row, static_cast<size_t>(count) * row};
  }

 private:
  DType dtype_;
  Shape shape_;
  std::vector<char> bytes_;
};

class OpTest : public testing::TestWithParam<OpCase> {
 protected:
  OpTest()
      : dtype_(GetParam().dtype),
        promises_(GetParam().promises),
        backend_(GetParam().make_backend()) {}

  bool bf16() const { return dtype_ == DType::kBF16; }
  // Relative error of one rounding to the activation type, with a little room.
  double rounding() const { return bf16() ? 0.0041 : 2e-7; }

  HostTensor random(Shape shape, double scale = 1.0) { return random(dtype_, shape, scale); }
  HostTensor random(DType dtype, Shape shape, double scale = 1.0) {
    HostTensor t(dtype, shape);
    std::normal_distribution<double> normal(0, scale);
    for (int64_t i = 0; i < t.size(); ++i) t.set(i, normal(random_));
    return t;
  }
  HostTensor zeros(Shape shape) { return HostTensor(dtype_, shape); }
  HostTensor integers(const std::vector<int32_t>& values, Shape shape) {
    HostTensor t(DType::kI32, shape);
    for (size_t i = 0; i < values.size(); ++i) t.set(static_cast<int64_t>(i), values[i]);
    return t;
  }
  HostTensor integers(const std::vector<int32_t>& values) {
    return integers(values, {static_cast<int64_t>(values.size())});
  }
  std::unique_ptr<Weight> pack(HostTensor& matrix, int64_t out, int64_t in, int sum_parts = 1) {
    return backend_->pack({matrix.view().data, matrix.view().dtype, out, in},
                          {.format = unquantized(dtype_), .sum_parts = sum_parts});
  }

  std::unique_ptr<Weight> pack(HostTensor& matrix, int64_t out, int64_t in, ops::MatrixUse use) {
    return backend_->pack({matrix.view().data, matrix.view().dtype, out, in},
                          {.format = unquantized(dtype_), .use = use});
  }

  // |actual - reference(i)| <= rounding * |reference| + float_error * magnitude(i)
  static void expect_close(const HostTensor& actual, double rounding,
                           const std::function<std::pair<double, double>(int64_t)>& reference,
                           const std::string& what) {
    constexpr double kFloatError = 2e-6;
    int failures = 0;
    for (int64_t i = 0; i < actual.size(); ++i) {
      const auto [value, magnitude] = reference(i);
      const double error = std::abs(actual.at(i) - value);
      if (error <= rounding * std::abs(value) + kFloatError * magnitude) continue;
      ADD_FAILURE() << what << ": element " << i << " is " << actual.at(i) << ", expected " << value
                    << ", error " << error << ", magnitude " << magnitude;
      if (++failures == 5) return;
    }
  }

  // The next width that the backend takes.
  int fit(int width) const {
    const int granule = static_cast<int>(promises_.width_granule);
    return (width + granule - 1) / granule * granule;
  }

  DType dtype_;
  Promises promises_;
  std::unique_ptr<ops::Backend> backend_;
  std::mt19937 random_{12345};
};

}  // namespace ernie::op_tests

// Runs the tests of `suite`, a class derived from OpTest, for the whole table. The table of a
// device backend is empty on machines without a device.
#define ERNIE_OP_TABLE(suite)                           \
  GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(suite); \
  INSTANTIATE_TEST_SUITE_P(Table, suite, testing::ValuesIn(op_cases()), op_case_name)
