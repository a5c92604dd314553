#pragma once

#include <cstdint>

#include "backend/cpu/cpu_backend.h"

// What the machine can do at most, measured in the same run as the operators.
namespace ernie::cpu {

// Bytes per second of reading 512 MiB in order with all threads; the best of several passes.
double read_bandwidth(int threads);

// Floating point operations per second of `isa`'s best multiply-add for bfloat16 weights with all
// threads, operands in registers; the best of several passes.
double fma_peak(Isa isa, int threads);

// Loops of `rounds` rounds; return the operations done.
double run_peak_generic(int64_t rounds);
double run_peak_avx2(int64_t rounds);
double run_peak_avx512(int64_t rounds);
double run_peak_avx512_bf16(int64_t rounds);
double run_peak_amx(int64_t rounds);

}  // namespace ernie::cpu
