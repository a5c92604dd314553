#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <type_traits>
#include <vector>

// A test harness for machines without GoogleTest. A test program is a file of
//   KERNEL_TEST(WhatHolds) { ... EXPECT(condition, message); ... }
// linked with test_main.cpp. An argument runs only the tests whose names contain it.
namespace ernie::kernels::testing {

struct Registration {
  Registration(const char* name, void (*body)());
};

// Marks the running test as failed and prints why; the test goes on.
void fail(const char* file, int line, const std::string& message);
// Ends the running test as failed: for CUDA errors, after which nothing can be learned.
[[noreturn]] void fail_and_stop(const std::string& message);

void check(cudaError_t error, const char* call);

// Whether tools/sanitize_kernels.sh runs the test, under a tool that slows kernels a hundredfold
// and looks at single accesses: then it should do little of the same, and expect nothing of times.
bool is_sanitized();

#define KERNEL_TEST(name)                                                                 \
  static void name();                                                                     \
  static const ::ernie::kernels::testing::Registration name##_registration_(#name, name); \
  static void name()
#define EXPECT(condition, message)                                               \
  do {                                                                           \
    if (!(condition))                                                            \
      ::ernie::kernels::testing::fail(__FILE__, __LINE__,                        \
                                      std::string(#condition ": ") + (message)); \
  } while (false)
// For CUDA calls inside tests.
#define CUDA_OK(call) ::ernie::kernels::testing::check((call), #call)

// Runs `launches` on a stream of its own and waits. A failed launch or kernel stops the test.
using Launches = std::function<cudaError_t(cudaStream_t)>;
void run(const Launches& launches);
// The same through a captured graph, replayed `replays` times (once if sanitized): shows that the
// launches can be captured.
void run_in_graph(const Launches& launches, int replays = 1);

namespace internal {
constexpr size_t kGuardBytes = 256;
void* allocate_guarded(size_t bytes);  // filled with 0xff
void free_guarded(void* data, size_t bytes);
}  // namespace internal

// Device memory that starts as all ones (NaN as a floating-point number, -1 as an integer) and
// fails the test if something was written before or behind it.
template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(size_t count)
      : count_(count), data_(static_cast<T*>(internal::allocate_guarded(count * sizeof(T)))) {}
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(values.size()) {
    upload(values);
  }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  DeviceArray(DeviceArray&& other) noexcept : count_(other.count_), data_(other.data_) {
    other.data_ = nullptr;
  }
  ~DeviceArray() {
    if (data_ != nullptr) internal::free_guarded(data_, count_ * sizeof(T));
  }

  T* data() const { return data_; }
  size_t size() const { return count_; }
  void upload(const std::vector<T>& values) {
    if (values.size() != count_) fail_and_stop("upload of another size than the array's");
    check(cudaMemcpy(data_, values.data(), count_ * sizeof(T), cudaMemcpyHostToDevice), "upload");
  }
  std::vector<T> download() const {
    std::vector<T> values(count_);
    check(cudaMemcpy(values.data(), data_, count_ * sizeof(T), cudaMemcpyDeviceToHost), "download");
    return values;
  }

 private:
  size_t count_;
  T* data_;
};

// Seeded numbers that are the same on every machine.
class Random {
 public:
  explicit Random(uint64_t seed = 1) : state_(seed) {}
  uint64_t bits();
  double uniform();                            // [0, 1)
  int64_t integer(int64_t low, int64_t high);  // [low, high]
  double normal();                             // mean 0, variance 1
  template <class T>
  std::vector<T> normal(size_t count, double scale = 1.0, double mean = 0.0) {
    std::vector<T> values(count);
    for (T& v : values) v = static_cast<T>(static_cast<float>(mean + scale * normal()));
    return values;
  }
  std::vector<int32_t> integers(size_t count, int64_t low, int64_t high) {
    std::vector<int32_t> values(count);
    for (int32_t& v : values) v = static_cast<int32_t>(integer(low, high));
    return values;
  }

 private:
  uint64_t state_;
};

template <class T>
double widen(T x) {
  return static_cast<double>(static_cast<float>(x));
}
template <>
inline double widen<int32_t>(int32_t x) {
  return x;
}

template <class T>
constexpr const char* type_name() {
  if constexpr (std::is_same_v<T, __nv_bfloat16>) return "bfloat16";
  if constexpr (std::is_same_v<T, float>) return "float32";
  return "integer";
}

// Relative error of one rounding to T, with a little room.
template <class T>
constexpr double rounding() {
  return std::is_same_v<T, __nv_bfloat16> ? 0.0041 : 2e-7;
}

// |actual - expected| <= relative * |expected| + absolute. A NaN only equals a NaN.
struct Tolerance {
  double relative = 0;
  double absolute = 0;
};
void expect_close_values(const std::vector<double>& actual, const std::vector<double>& expected,
                         const std::function<Tolerance(size_t)>& tolerance,
                         const std::string& what);
template <class T>
void expect_close(const std::vector<T>& actual, const std::vector<double>& expected,
                  Tolerance tolerance, const std::string& what) {
  std::vector<double> wide(actual.size());
  for (size_t i = 0; i < actual.size(); ++i) wide[i] = widen(actual[i]);
  expect_close_values(
      wide, expected, [&](size_t) { return tolerance; }, what);
}
// For sums: `magnitude[i]` is the sum of the absolute values of what was added for element i;
// float32 addition is allowed `float_error` of it beside one rounding to T.
template <class T>
void expect_close_sums(const std::vector<T>& actual, const std::vector<double>& expected,
                       const std::vector<double>& magnitude, const std::string& what,
                       double float_error = 2e-6) {
  std::vector<double> wide(actual.size());
  for (size_t i = 0; i < actual.size(); ++i) wide[i] = widen(actual[i]);
  expect_close_values(
      wide, expected,
      [&](size_t i) {
        return Tolerance{rounding<T>(), float_error * magnitude[i]};
      },
      what);
}

void expect_same_bytes(const void* actual, const void* expected, size_t bytes, size_t element_bytes,
                       const std::string& what);
// The same bits, element by element.
template <class T>
void expect_same_bits(const std::vector<T>& actual, const std::vector<T>& expected,
                      const std::string& what) {
  EXPECT(actual.size() == expected.size(), what + ": sizes differ");
  if (actual.size() == expected.size()) {
    expect_same_bytes(actual.data(), expected.data(), actual.size() * sizeof(T), sizeof(T), what);
  }
}

}  // namespace ernie::kernels::testing
