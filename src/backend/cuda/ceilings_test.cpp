#include <gtest/gtest.h>

#include "backend/cuda_ceilings.h"
#include "backend/cuda_factory.h"
#include "base/result.h"

namespace ernie::cuda {
namespace {

TEST(CudaCeilings, NoSuchDeviceIsSaid) {
  EXPECT_THROW(measure_ceilings(count_devices().count), StartError);
  EXPECT_THROW(measure_ceilings(-1), StartError);
}

TEST(CudaCeilings, AreThoseOfAGpuAndTheMemoryComesBack) {
  const DeviceCount devices = count_devices();
  if (devices.count == 0) GTEST_SKIP() << devices.reason;
  measure_ceilings(0);  // what the libraries keep for themselves
  const size_t before = device_info(0).free_bytes;
  const Ceilings found = measure_ceilings(0);
  EXPECT_GT(found.read_bytes_per_s, 100e9);
  EXPECT_LT(found.read_bytes_per_s, 20e12);
  EXPECT_GT(found.copy_bytes_per_s, 100e9);
  EXPECT_LT(found.copy_bytes_per_s, 20e12);
  EXPECT_GT(found.bf16_flops, 10e12);
  EXPECT_LT(found.bf16_flops, 10e15);
  EXPECT_GE(device_info(0).free_bytes + (size_t{64} << 20), before);
}

}  // namespace
}  // namespace ernie::cuda
