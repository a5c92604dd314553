#include "backend/cuda/cuda_backend.h"

#include <gtest/gtest.h>

#include <cstring>
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

// The experts of three layers of ERNIE-4.5-VL-28B, whose matrices are no multiples of 2 MiB.
TEST_F(CudaBackendTest, WeightsTakeWhatThePlanCountsAndGiveItBack) {
  const std::pair<int64_t, int64_t> sizes[] = {
      {3072, 2560}, {2560, 1536}, {1024, 2560}, {2560, 512}};
  for (int round = 0; round < 2; ++round) {
    const size_t before = backend_->memory_info().free_bytes;
    std::vector<std::unique_ptr<Weight>> weights;
    size_t planned = 0;
    for (const auto& [out, in] : sizes) {
      const GeneratedMatrix part{.row_stride = in, .rows = out, .cols = in};
      for (int i = 0; i < 3 * 64; ++i) {
        weights.push_back(backend_->pack_generated({&part, 1}, {}));
        const size_t bytes = backend_->sizing().packed_bytes(out, in, {});
        planned += bytes;
        EXPECT_EQ(weights.back()->bytes(), bytes);
      }
    }
    backend_->synchronize();
    const double taken = static_cast<double>(before - backend_->memory_info().free_bytes);
    EXPECT_NEAR(taken / static_cast<double>(planned), 1.0, 0.02);
    weights.clear();
    EXPECT_NEAR(static_cast<double>(backend_->memory_info().free_bytes),
                static_cast<double>(before), 4 << 20);
  }
}

std::vector<uint8_t> bytes_of(CudaBackend& backend, const Weight& weight) {
  const DeviceWeight& device = device_weight(weight);
  std::vector<uint8_t> host(static_cast<size_t>(weight.out_features() * weight.in_features()) *
                            dtype_bytes(device.format().dtype()));
  backend.copy_to_host(host.data(), device.data(), host.size());
  return host;
}

TEST_F(CudaBackendTest, GeneratedWeightsHaveTheBitsOfTheHost) {
  const GeneratedMatrix parts[] = {{.key = 77,
                                    .first = 5 * 2560 + 640,
                                    .row_stride = 2560,
                                    .rows = 300,
                                    .cols = 640,
                                    .mean = 0,
                                    .deviation = 0.019764235f},
                                   {.key = 1,
                                    .first = (int64_t{1} << 33) + 3,
                                    .row_stride = 641,
                                    .rows = 7,
                                    .cols = 640,
                                    .mean = 1,
                                    .deviation = 0.02f}};
  for (const DType dtype : {DType::kBF16, DType::kF32}) {
    const auto made = backend_->pack_generated(parts, {unquantized(dtype)});
    // The default makes them in host memory.
    const auto copied = backend_->ops::Packer::pack_generated(parts, {unquantized(dtype)});
    EXPECT_EQ(bytes_of(*backend_, *made), bytes_of(*backend_, *copied)) << dtype_name(dtype);
  }
}

TEST_F(CudaBackendTest, StackedPartsWithGapsBetweenRowsAreUploadedDense) {
  constexpr int64_t kRows = 5000, kStride = 1600, kCols = 1000;  // more than a slot of the ring
  std::vector<float> host(kRows * kStride);
  std::iota(host.begin(), host.end(), 0.0f);
  const HostMatrix parts[] = {{host.data() + 3, DType::kF32, kRows, kCols, kStride},
                              {host.data(), DType::kF32, 2, kCols}};
  const auto weight = backend_->pack_stacked(parts, {unquantized(DType::kF32)});
  std::vector<float> expected;
  for (const HostMatrix& part : parts) {
    for (int64_t r = 0; r < part.out_features; ++r) {
      const auto* row = static_cast<const float*>(part.row(r));
      expected.insert(expected.end(), row, row + kCols);
    }
  }
  const std::vector<uint8_t> bytes = bytes_of(*backend_, *weight);
  ASSERT_EQ(bytes.size(), expected.size() * sizeof(float));
  EXPECT_EQ(std::memcmp(bytes.data(), expected.data(), bytes.size()), 0);
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
