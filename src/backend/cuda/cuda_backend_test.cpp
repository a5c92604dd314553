#include "backend/cuda/cuda_backend.h"

#include <gtest/gtest.h>

#include <numeric>

#include "backend/cuda_factory.h"
#include "base/result.h"

namespace ernie::cuda {
namespace {

TEST(CudaDevices, AreCountedOrTheReasonIsSaid) {
  const DeviceCount devices = count_devices();
  EXPECT_EQ(devices.count > 0, devices.reason.empty()) << devices.reason;
  EXPECT_THROW(make_cuda_backend(devices.count), StartError);
  for (int i = 0; i < devices.count; ++i) {
    const DeviceInfo info = device_info(i);
    EXPECT_FALSE(info.name.empty());
    EXPECT_GE(info.major, 8);
    EXPECT_LE(info.free_bytes, info.total_bytes);
  }
}

class CudaBackendTest : public testing::Test {
 protected:
  void SetUp() override {
    const DeviceCount devices = count_devices();
    if (devices.count == 0) GTEST_SKIP() << devices.reason;
    backend_ = std::make_unique<CudaBackend>(0);
  }
  std::unique_ptr<CudaBackend> backend_;
};

TEST_F(CudaBackendTest, MemoryIsZeroedAlignedAndBounded) {
  for (size_t bytes : {size_t{0}, size_t{1}, size_t{1000}, size_t{3} << 20}) {
    const Buffer buffer = backend_->allocate(bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % 256, 0u);
    std::vector<char> host(bytes, 1);
    backend_->copy_to_host(host.data(), buffer.data(), bytes);
    EXPECT_EQ(host, std::vector<char>(bytes, 0));
  }
  const auto info = backend_->memory_info();
  EXPECT_FALSE(info.shared_by_ranks);
  try {
    backend_->allocate(info.total_bytes + 1);
    FAIL() << "more than the device has was given";
  } catch (const StartError& e) {
    EXPECT_NE(std::string(e.what()).find(std::to_string(info.total_bytes + 1)), std::string::npos);
  }
  backend_->allocate(1000);  // the failure is forgotten
}

TEST_F(CudaBackendTest, TheMemoryPlanCountsWhatAllocationsTake) {
  constexpr int kCount = 40;
  for (const size_t bytes : {size_t{7864320}, size_t{1} << 20, (size_t{5} << 20) + 1}) {
    const size_t before = backend_->memory_info().free_bytes;
    std::vector<Buffer> buffers;
    for (int i = 0; i < kCount; ++i) buffers.push_back(backend_->allocate(bytes));
    const double taken = static_cast<double>(before - backend_->memory_info().free_bytes);
    EXPECT_NEAR(taken / static_cast<double>(kCount * granted_bytes(bytes)), 1.0, 0.02) << bytes;
  }
}

TEST_F(CudaBackendTest, UploadsLargerThanTheStagingRingArriveInOrder) {
  std::vector<int32_t> numbers(size_t{20} << 20);
  std::iota(numbers.begin(), numbers.end(), 1);
  const size_t bytes = numbers.size() * sizeof(numbers[0]);
  const Buffer buffer = backend_->allocate(bytes);
  backend_->copy_to_device(buffer.data(), numbers.data(), bytes);
  for (int32_t i = 0; i < 100000; ++i) {  // many small ones after it, the last one wins
    backend_->copy_to_device(buffer.data(), &i, sizeof(i));
  }
  std::vector<int32_t> back(numbers.size());
  backend_->copy_to_host(back.data(), buffer.data(), bytes);
  numbers[0] = 99999;
  EXPECT_EQ(back, numbers);
}

TEST_F(CudaBackendTest, WorkMemoryIsFrozenAfterWarmUp) {
  bool frozen = false;
  WorkBuffer work("a test", frozen);
  void* first = work.get(1000);
  EXPECT_EQ(work.get(10), first);
  frozen = true;
  EXPECT_EQ(work.get(1000), first);
  EXPECT_DEATH(work.get(1001), "a test needs 1001 bytes, but has 1000");
}

TEST_F(CudaBackendTest, AnErrorNamesCallErrorAndDevice) {
  try {
    check(cudaErrorInvalidValue, "a call");
    FAIL() << "the error was swallowed";
  } catch (const DeviceFault& e) {
    const std::string text = e.what();
    for (const char* part : {"a call", "cudaErrorInvalidValue", "device 0", "cuda_backend_test"}) {
      EXPECT_NE(text.find(part), std::string::npos) << text;
    }
  }
}

}  // namespace
}  // namespace ernie::cuda
