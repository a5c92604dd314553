#pragma once

#include <cstdint>

#include "kernels/common/mma.cuh"

// sm_90a: barriers in shared memory, tensor copies (TMA) and warpgroup matrix products.
namespace ernie::kernels {

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

// A barrier counts arrivals and the bytes of copies; its phases alternate in parity, from 0.
__device__ __forceinline__ void init_barrier(uint32_t barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}
__device__ __forceinline__ void arrive(uint32_t barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}
__device__ __forceinline__ void arrive_and_expect(uint32_t barrier, uint32_t bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes)
               : "memory");
}
// Waits until the phase of this parity has ended. On a new barrier, parity 1 has.
__device__ __forceinline__ void wait_for_phase(uint32_t barrier, uint32_t parity) {
  uint32_t done = 0;
  while (done == 0) {
    asm volatile(
        "{\n.reg .pred p;\n"
        "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
        "selp.u32 %0, 1, 0, p;\n}"
        : "=r"(done)
        : "r"(barrier), "r"(parity)
        : "memory");
  }
}

// Where in a ring of stages a warp is. Each stage has a barrier that says it is full and one that
// says it is empty; both sides walk the ring alike.
struct RingPosition {
  uint32_t stage = 0;
  uint32_t parity = 0;
  __device__ __forceinline__ void advance(int stages) {
    if (++stage == static_cast<uint32_t>(stages)) {
      stage = 0;
      parity ^= 1;
    }
  }
};
__device__ __forceinline__ uint32_t barrier_of(const uint64_t* barriers, uint32_t stage) {
  return shared_address(barriers) + stage * 8;
}

// This thread's earlier writes to shared memory, ordinary stores and cp.async that it has waited
// for, can be seen by matrix products once a barrier is passed.
__device__ __forceinline__ void publish_to_async_proxy() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

// Arrives on the barrier once this thread's earlier copy16_async have been done.
__device__ __forceinline__ void arrive_after_copies(uint32_t barrier) {
  asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" ::"r"(barrier) : "memory");
}

// Before the use of a tensor map that the host wrote to global memory.
__device__ __forceinline__ void acquire_tensor_map(const void* map) {
  asm volatile("fence.proxy.tensormap::generic.acquire.sys [%0], 128;" ::"l"(map) : "memory");
}
// Copies the box at (column, row) to shared memory; its bytes count on the barrier.
__device__ __forceinline__ void copy_box(uint32_t to, const void* map, int column, int row,
                                         uint32_t barrier) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes "
      "[%0], [%1, {%3, %4}], [%2];" ::"r"(to),
      "l"(map), "r"(barrier), "r"(column), "r"(row)
      : "memory");
}

// Copies `bytes`, a multiple of 16 like both addresses, to shared memory; they count on the
// barrier.
__device__ __forceinline__ void copy_bulk(uint32_t to, const void* from, uint32_t bytes,
                                          uint32_t barrier) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::
          "r"(to),
      "l"(from), "r"(bytes), "r"(barrier)
      : "memory");
}
// Barrier `id` (1 to 15; 0 is __syncthreads) of kThreads threads.
template <int kThreads>
__device__ __forceinline__ void sync_threads(int id) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "n"(kThreads) : "memory");
}

// Stores four 8x8 matrices of 16-bit elements transposed; lane l holds elements (l / 4, 2
// (l % 4)) and the next of each, and gives the address of column l % 8 of matrix l / 8.
__device__ __forceinline__ void store_matrices_transposed(uint32_t address,
                                                          const uint32_t (&r)[4]) {
  asm volatile(
      "stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(address),
      "r"(r[0]), "r"(r[1]), "r"(r[2]), "r"(r[3])
      : "memory");
}

template <int kRegisters>
__device__ __forceinline__ void give_up_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
__device__ __forceinline__ void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

// Descriptor of an operand in shared memory whose rows hold 64 bfloat16 of k (128 bytes), 16-byte
// chunk c of row r at place c ^ (r % 8) (TMA's 128-byte swizzle), 1024-byte aligned. Groups of 8
// rows lie 1024 bytes apart; 16 further elements of k are + 2. (PTX ISA, "Matrix descriptor".)
__device__ __forceinline__ uint64_t matrix_descriptor(uint32_t address) {
  return uint64_t{(address & 0x3ffff) >> 4} | uint64_t{1} << 16 | uint64_t{1024 >> 4} << 32 |
         uint64_t{1} << 62;
}

__device__ __forceinline__ void begin_products() {
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ __forceinline__ void commit_products() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
template <int kPending>
__device__ __forceinline__ void wait_for_products() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}
// Keeps the compiler from moving uses of the sums or operands across.
template <int kCount>
__device__ __forceinline__ void pin(float (&sums)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) asm volatile("" : "+f"(sums[i])::"memory");
}
template <int kCount>
__device__ __forceinline__ void pin(uint32_t (&operand)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) asm volatile("" : "+r"(operand[i])::"memory");
}

#define ERNIE_SUMS_8(i)                                                                       \
  "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), \
      "+f"(d[i + 6]), "+f"(d[i + 7])
#define ERNIE_SUMS_32(i) \
  ERNIE_SUMS_8(i), ERNIE_SUMS_8(i + 8), ERNIE_SUMS_8(i + 16), ERNIE_SUMS_8(i + 24)

// d[64, 256] (+)= a[64, 16] * b[256, 16]^T, issued by the 128 threads of a warpgroup. In warp w,
// with g = lane / 4 and q = lane % 4: d[4j + {0, 1, 2, 3}] are (16w + g, 8j + 2q), (.., + 1),
// (16w + g + 8, 8j + 2q), (.., + 1).
__device__ __forceinline__ void multiply_64x256x16(float (&d)[128], uint64_t a, uint64_t b,
                                                   bool accumulate) {
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, %130, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, "
      "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "
      "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "
      "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, "
      "%111, %112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, "
      "%125, %126, %127}, %128, %129, p, 1, 1, 0, 0;\n}"
      : ERNIE_SUMS_32(0), ERNIE_SUMS_32(32), ERNIE_SUMS_32(64), ERNIE_SUMS_32(96)
      : "l"(a), "l"(b), "r"(accumulate ? 1 : 0));
}

// d[64, N] (+)= a[64, 16] * b[N, 16]^T with a in registers, as mma.m16n8k16 wants the 16 rows of
// each warp; N is twice the number of sums. The registers of a must not be written before
// wait_for_products() says that they have been read. Of _transposed, b lies as [16, N].
#define ERNIE_NAMES_8 "%0, %1, %2, %3, %4, %5, %6, %7"
#define ERNIE_NAMES_16 ERNIE_NAMES_8 ", %8, %9, %10, %11, %12, %13, %14, %15"
#define ERNIE_NAMES_24 ERNIE_NAMES_16 ", %16, %17, %18, %19, %20, %21, %22, %23"
#define ERNIE_NAMES_32 ERNIE_NAMES_24 ", %24, %25, %26, %27, %28, %29, %30, %31"
#define ERNIE_NAMES_40 ERNIE_NAMES_32 ", %32, %33, %34, %35, %36, %37, %38, %39"
#define ERNIE_NAMES_48 ERNIE_NAMES_40 ", %40, %41, %42, %43, %44, %45, %46, %47"
#define ERNIE_NAMES_56 ERNIE_NAMES_48 ", %48, %49, %50, %51, %52, %53, %54, %55"
#define ERNIE_NAMES_64 ERNIE_NAMES_56 ", %56, %57, %58, %59, %60, %61, %62, %63"
#define ERNIE_FIRST_8 ERNIE_SUMS_8(0)
#define ERNIE_FIRST_16 ERNIE_FIRST_8, ERNIE_SUMS_8(8)
#define ERNIE_FIRST_24 ERNIE_FIRST_16, ERNIE_SUMS_8(16)
#define ERNIE_FIRST_32 ERNIE_FIRST_24, ERNIE_SUMS_8(24)
#define ERNIE_FIRST_40 ERNIE_FIRST_32, ERNIE_SUMS_8(32)
#define ERNIE_FIRST_48 ERNIE_FIRST_40, ERNIE_SUMS_8(40)
#define ERNIE_FIRST_56 ERNIE_FIRST_48, ERNIE_SUMS_8(48)
#define ERNIE_FIRST_64 ERNIE_FIRST_56, ERNIE_SUMS_8(56)
#define ERNIE_MULTIPLY(name, transposed, n, count, a0, a1, a2, a3, at_b, on)                      \
  __device__ __forceinline__ void name(float(&d)[count], const uint32_t(&a)[4], uint64_t b,       \
                                       bool accumulate = true) {                                  \
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %" #on                                         \
                 ", 0;\n"                                                                         \
                 "wgmma.mma_async.sync.aligned.m64n" #n "k16.f32.bf16.bf16 {" ERNIE_NAMES_##count \
                 "}, {%" #a0 ", %" #a1 ", %" #a2 ", %" #a3 "}, %" #at_b ", p, 1, 1, " #transposed \
                 ";\n}"                                                                           \
                 : ERNIE_FIRST_##count                                                            \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(accumulate ? 1 : 0));  \
  }
ERNIE_MULTIPLY(multiply_64xNx16, 0, 16, 8, 8, 9, 10, 11, 12, 13)
ERNIE_MULTIPLY(multiply_64xNx16, 0, 32, 16, 16, 17, 18, 19, 20, 21)
ERNIE_MULTIPLY(multiply_64xNx16, 0, 48, 24, 24, 25, 26, 27, 28, 29)
ERNIE_MULTIPLY(multiply_64xNx16, 0, 64, 32, 32, 33, 34, 35, 36, 37)
ERNIE_MULTIPLY(multiply_64xNx16, 0, 80, 40, 40, 41, 42, 43, 44, 45)
ERNIE_MULTIPLY(multiply_64xNx16, 0, 96, 48, 48, 49, 50, 51, 52, 53)
ERNIE_MULTIPLY(multiply_64xNx16, 0, 112, 56, 56, 57, 58, 59, 60, 61)
ERNIE_MULTIPLY(multiply_64xNx16, 0, 128, 64, 64, 65, 66, 67, 68, 69)
ERNIE_MULTIPLY(multiply_64xNx16_transposed, 1, 80, 40, 40, 41, 42, 43, 44, 45)
#undef ERNIE_MULTIPLY
#undef ERNIE_NAMES_8
#undef ERNIE_FIRST_8
#undef ERNIE_NAMES_16
#undef ERNIE_FIRST_16
#undef ERNIE_NAMES_24
#undef ERNIE_FIRST_24
#undef ERNIE_NAMES_32
#undef ERNIE_FIRST_32
#undef ERNIE_NAMES_40
#undef ERNIE_FIRST_40
#undef ERNIE_NAMES_48
#undef ERNIE_FIRST_48
#undef ERNIE_NAMES_56
#undef ERNIE_FIRST_56
#undef ERNIE_NAMES_64
#undef ERNIE_FIRST_64

#undef ERNIE_SUMS_32
#undef ERNIE_SUMS_8

#endif  // __CUDA_ARCH_FEAT_SM90_ALL

}  // namespace ernie::kernels
