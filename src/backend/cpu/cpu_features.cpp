#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

#include "backend/cpu/isa.h"

namespace ernie::cpu {
namespace {

struct Registers {
  uint32_t a = 0, b = 0, c = 0, d = 0;
};

Registers cpuid(uint32_t leaf, uint32_t subleaf) {
  Registers r;
  if (!__get_cpuid_count(leaf, subleaf, &r.a, &r.b, &r.c, &r.d)) return {};
  return r;
}

constexpr bool bit(uint32_t word, int n) { return (word >> n & 1u) != 0; }

// The register states that the operating system saves (XCR0); 0 when it saves none.
uint64_t enabled_states() {
  if (!bit(cpuid(1, 0).c, 27)) return 0;  // OSXSAVE
  uint32_t low = 0;
  uint32_t high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return static_cast<uint64_t>(high) << 32 | low;
}

bool states(uint64_t mask) { return (enabled_states() & mask) == mask; }

// Linux gives the AMX tile registers to processes that ask for them (ARCH_REQ_XCOMP_PERM).
bool request_tile_registers() {
  constexpr int kRequestPermission = 0x1023;
  constexpr int kTileData = 18;
  static const bool granted = syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  return granted;
}

}  // namespace

bool isa_supported(Isa isa) {
  const Registers basic = cpuid(1, 0);
  const Registers extended = cpuid(7, 0);
  const Registers extended1 = cpuid(7, 1);
  switch (isa) {
    case Isa::kGeneric:
      return true;
    case Isa::kAvx2:
      return states(0x6) && bit(basic.c, 12) && bit(extended.b, 5);
    case Isa::kAvx512:
      return isa_supported(Isa::kAvx2) && states(0xe6) && bit(extended.b, 16) &&
             bit(extended.b, 17) && bit(extended.b, 30) && bit(extended.b, 31);
    case Isa::kAvx512Bf16:
      return isa_supported(Isa::kAvx512) && bit(extended1.a, 5) && bit(extended.c, 1);
    case Isa::kAmx:
      return isa_supported(Isa::kAvx512Bf16) && states(0x60000) && bit(extended.d, 22) &&
             bit(extended.d, 24) && request_tile_registers();
  }
  return false;
}

}  // namespace ernie::cpu
