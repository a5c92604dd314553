#include "backend/cpu/cpu_backend.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "backend/cpu/isa.h"
#include "base/result.h"

namespace ernie::cpu {
namespace {

TEST(CpuBackend, MemoryIsZeroedAlignedAndBounded) {
  auto backend = make_cpu_backend({.threads = 1});
  for (size_t bytes : {size_t{0}, size_t{1}, size_t{1000}, size_t{3} << 20}) {
    const Buffer buffer = backend->allocate(bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % 64, 0u);
    EXPECT_EQ(buffer.bytes(), bytes);
    const char* p = static_cast<const char*>(buffer.data());
    for (size_t i = 0; i < bytes; ++i) ASSERT_EQ(p[i], 0);
  }
  const auto info = backend->memory_info();
  EXPECT_GT(info.free_bytes, 0u);
  EXPECT_LE(info.free_bytes, info.total_bytes);
  try {
    backend->allocate(info.total_bytes + 1);
    FAIL() << "more than the machine has was given";
  } catch (const StartError& e) {
    EXPECT_NE(std::string(e.what()).find(std::to_string(info.total_bytes + 1)), std::string::npos);
  }
}

TEST(CpuBackend, LargeBuffersCostNothingUntilTheyAreTouched) {
  auto backend = make_cpu_backend({.threads = 1});
  const auto before = backend->memory_info().free_bytes;
  const Buffer buffer = backend->allocate(size_t{1} << 30);
  EXPECT_GT(backend->memory_info().free_bytes + (size_t{1} << 29), before);
}

TEST(CpuBackend, TheEnvironmentNamesTheInstructionSet) {
  const char* old = std::getenv("ERNIE_CPU_ISA");
  const std::string saved = old ? old : "";
  setenv("ERNIE_CPU_ISA", "generic", 1);
  EXPECT_EQ(best_isa(), Isa::kGeneric);
  EXPECT_EQ(make_cpu_backend({.threads = 1})->name(), "cpu (generic, 1 thread)");
  setenv("ERNIE_CPU_ISA", "mmx", 1);
  EXPECT_THROW(best_isa(), StartError);
  unsetenv("ERNIE_CPU_ISA");
  EXPECT_EQ(best_isa(), supported_isas().back());
  if (old) setenv("ERNIE_CPU_ISA", saved.c_str(), 1);
}

}  // namespace
}  // namespace ernie::cpu
