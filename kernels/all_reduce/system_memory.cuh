#pragma once

#include <cuda_runtime.h>

#include <cstdint>

// Accesses to memory that other GPUs and the host write.
namespace ernie::kernels {

constexpr int kLineWords = 3;
struct alignas(16) Line {
  uint32_t words[kLineWords];
  uint32_t epoch;
};

// A line arrives as a whole: these are accesses of one 128-bit scalar, not of a vector, to which
// the memory consistency model of the PTX ISA gives no order.
__device__ __forceinline__ void store_line(Line* p, const Line& x) {
  asm volatile(
      "{\n"
      "  .reg .b64 low, high;\n"
      "  .reg .b128 line;\n"
      "  mov.b64 low, {%1, %2};\n"
      "  mov.b64 high, {%3, %4};\n"
      "  mov.b128 line, {low, high};\n"
      "  st.relaxed.sys.global.b128 [%0], line;\n"
      "}\n" ::"l"(p),
      "r"(x.words[0]), "r"(x.words[1]), "r"(x.words[2]), "r"(x.epoch)
      : "memory");
}
__device__ __forceinline__ Line load_line(const Line* p) {
  Line x;
  asm volatile(
      "{\n"
      "  .reg .b64 low, high;\n"
      "  .reg .b128 line;\n"
      "  ld.relaxed.sys.global.b128 line, [%4];\n"
      "  mov.b128 {low, high}, line;\n"
      "  mov.b64 {%0, %1}, low;\n"
      "  mov.b64 {%2, %3}, high;\n"
      "}\n"
      : "=r"(x.words[0]), "=r"(x.words[1]), "=r"(x.words[2]), "=r"(x.epoch)
      : "l"(p)
      : "memory");
  return x;
}

// A flag that tells of what its writer, or threads that met it at a barrier before, wrote earlier.
__device__ __forceinline__ void store_release(uint32_t* p, uint32_t x) {
  asm volatile("st.release.sys.global.u32 [%0], %1;" ::"l"(p), "r"(x) : "memory");
}
__device__ __forceinline__ uint32_t load_acquire(const uint32_t* p) {
  uint32_t x;
  asm volatile("ld.acquire.sys.global.u32 %0, [%1];" : "=r"(x) : "l"(p) : "memory");
  return x;
}

__device__ __forceinline__ uint4 load_volatile(const uint4* p) {
  uint4 x;
  asm volatile("ld.volatile.global.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(x.x), "=r"(x.y), "=r"(x.z), "=r"(x.w)
               : "l"(p)
               : "memory");
  return x;
}
__device__ __forceinline__ uint2 load_volatile(const uint2* p) {
  uint2 x;
  asm volatile("ld.volatile.global.v2.u32 {%0, %1}, [%2];"
               : "=r"(x.x), "=r"(x.y)
               : "l"(p)
               : "memory");
  return x;
}
__device__ __forceinline__ uint32_t load_volatile(const uint32_t* p) {
  return *reinterpret_cast<const volatile uint32_t*>(p);
}
__device__ __forceinline__ void store_volatile(uint32_t* p, uint32_t x) {
  *reinterpret_cast<volatile uint32_t*>(p) = x;
}

__device__ __forceinline__ uint64_t clock_ns() {
  uint64_t now;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
  return now;
}

}  // namespace ernie::kernels
