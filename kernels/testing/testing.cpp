#include "kernels/testing/testing.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <numbers>

#include "kernels/testing/test_list.h"

namespace ernie::kernels::testing {
namespace {

struct StopTest {};

bool current_failed = false;

class Stream {
 public:
  Stream() { check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "create stream"); }
  ~Stream() { cudaStreamDestroy(stream_); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  cudaStream_t get() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

}  // namespace

std::vector<TestCase>& all_tests() {
  static std::vector<TestCase> tests;
  return tests;
}

Registration::Registration(const char* name, void (*body)()) {
  all_tests().push_back({name, body});
}

bool run_test(const TestCase& test) {
  current_failed = false;
  try {
    test.body();
    check(cudaDeviceSynchronize(), "synchronise after the test");
  } catch (const StopTest&) {
    current_failed = true;
  }
  return !current_failed;
}

void fail(const char* file, int line, const std::string& message) {
  current_failed = true;
  std::printf("  %s:%d: %s\n", file, line, message.c_str());
  std::fflush(stdout);
}

void fail_and_stop(const std::string& message) {
  std::printf("  %s\n", message.c_str());
  std::fflush(stdout);
  throw StopTest{};
}

void check(cudaError_t error, const char* call) {
  if (error == cudaSuccess) return;
  fail_and_stop(std::string(call) + ": " + cudaGetErrorName(error) + ", " +
                cudaGetErrorString(error));
}

bool is_sanitized() { return std::getenv("ERNIE_KERNELS_SANITIZED") != nullptr; }

void run(const Launches& launches) {
  const Stream stream;
  check(cudaDeviceSynchronize(), "wait for uploads");
  check(launches(stream.get()), "launch");
  check(cudaStreamSynchronize(stream.get()), "run kernel");
}

void run_in_graph(const Launches& launches, int replays) {
  const Stream stream;
  check(cudaDeviceSynchronize(), "wait for uploads");
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  // Relaxed, because a kernel's code may be loaded when it is first recorded.
  check(cudaStreamBeginCapture(stream.get(), cudaStreamCaptureModeRelaxed), "begin capture");
  const cudaError_t launched = launches(stream.get());
  const cudaError_t ended = cudaStreamEndCapture(stream.get(), &graph);
  check(launched, "launch while capturing");  // first, because it says why the capture failed
  check(ended, "end capture");
  check(cudaGraphInstantiate(&executable, graph, 0), "instantiate graph");
  if (is_sanitized()) replays = 1;
  for (int i = 0; i < replays; ++i) check(cudaGraphLaunch(executable, stream.get()), "replay");
  check(cudaStreamSynchronize(stream.get()), "run graph");
  cudaGraphExecDestroy(executable);
  cudaGraphDestroy(graph);
}

namespace internal {

void* allocate_guarded(size_t bytes) {
  void* base = nullptr;
  check(cudaMalloc(&base, bytes + 2 * kGuardBytes), "cudaMalloc");
  check(cudaMemset(base, 0xff, bytes + 2 * kGuardBytes), "cudaMemset");
  return static_cast<char*>(base) + kGuardBytes;
}

void free_guarded(void* data, size_t bytes) {
  char* base = static_cast<char*>(data) - kGuardBytes;
  std::vector<unsigned char> guards(2 * kGuardBytes);
  const cudaError_t before = cudaMemcpy(guards.data(), base, kGuardBytes, cudaMemcpyDeviceToHost);
  const cudaError_t behind = cudaMemcpy(guards.data() + kGuardBytes, base + kGuardBytes + bytes,
                                        kGuardBytes, cudaMemcpyDeviceToHost);
  if (before == cudaSuccess && behind == cudaSuccess) {
    for (size_t i = 0; i < guards.size(); ++i) {
      if (guards[i] == 0xff) continue;
      const bool front = i < kGuardBytes;
      fail(__FILE__, __LINE__,
           "a kernel wrote " + std::to_string(front ? kGuardBytes - i : i - kGuardBytes + 1) +
               " bytes " + (front ? "before" : "behind") + " an array of " + std::to_string(bytes) +
               " bytes");
      break;
    }
  }
  cudaFree(base);
}

}  // namespace internal

// SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
uint64_t Random::bits() {
  uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

double Random::uniform() { return static_cast<double>(bits() >> 11) * 0x1p-53; }

int64_t Random::integer(int64_t low, int64_t high) {
  return low + static_cast<int64_t>(bits() % static_cast<uint64_t>(high - low + 1));
}

double Random::normal() {
  const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
  return radius * std::cos(2.0 * std::numbers::pi * uniform());
}

void expect_close_values(const std::vector<double>& actual, const std::vector<double>& expected,
                         const std::function<Tolerance(size_t)>& tolerance,
                         const std::string& what) {
  if (actual.size() != expected.size()) {
    fail(__FILE__, __LINE__,
         what + ": " + std::to_string(actual.size()) + " elements, expected " +
             std::to_string(expected.size()));
    return;
  }
  size_t failures = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    if (actual[i] == expected[i] || (std::isnan(actual[i]) && std::isnan(expected[i]))) continue;
    const Tolerance allowed = tolerance(i);
    const double error = std::abs(actual[i] - expected[i]);
    if (error <= allowed.relative * std::abs(expected[i]) + allowed.absolute) continue;
    if (++failures <= 5) {
      char line[200];
      std::snprintf(line, sizeof(line), ": element %zu is %.9g, expected %.9g (error %.3g)", i,
                    actual[i], expected[i], error);
      fail(__FILE__, __LINE__, what + line);
    }
  }
  if (failures > 5) {
    fail(__FILE__, __LINE__,
         what + ": " + std::to_string(failures) + " of " + std::to_string(actual.size()) +
             " elements are wrong");
  }
}

void expect_same_bytes(const void* actual, const void* expected, size_t bytes, size_t element_bytes,
                       const std::string& what) {
  if (std::memcmp(actual, expected, bytes) == 0) return;
  const char* a = static_cast<const char*>(actual);
  const char* e = static_cast<const char*>(expected);
  size_t first = bytes;
  size_t different = 0;
  for (size_t i = 0; i < bytes; i += element_bytes) {
    if (std::memcmp(a + i, e + i, element_bytes) == 0) continue;
    first = std::min(first, i / element_bytes);
    ++different;
  }
  fail(__FILE__, __LINE__,
       what + ": the bits of " + std::to_string(different) + " of " +
           std::to_string(bytes / element_bytes) + " elements differ, first at element " +
           std::to_string(first));
}

}  // namespace ernie::kernels::testing
