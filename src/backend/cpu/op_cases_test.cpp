#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/isa.h"
#include "tests/ops/op_fixture.h"

// The table of the CPU backend: instruction set of this machine x activation type x threads.
namespace ernie::op_tests {
namespace {

OpCase make_case(cpu::Isa isa, DType dtype, int threads, const std::string& name) {
  return {.name = name, .dtype = dtype, .make_backend = [isa, threads] {
            return cpu::make_cpu_backend({.threads = threads, .isa = isa});
          }};
}

}  // namespace

std::vector<OpCase> op_cases() {
  std::vector<OpCase> cases;
  for (const cpu::Isa isa : cpu::supported_isas()) {
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      for (const int threads : {1, 2}) {
        cases.push_back(make_case(isa, dtype, threads,
                                  std::string(cpu::isa_name(isa)) + "_" + dtype_name(dtype) + "_" +
                                      std::to_string(threads)));
      }
    }
  }
  return cases;
}

std::vector<OpCase> sampling_cases() {
  std::vector<OpCase> cases;
  for (const cpu::Isa isa : cpu::supported_isas()) {
    cases.push_back(make_case(isa, DType::kF32, 2, cpu::isa_name(isa)));
  }
  return cases;
}

}  // namespace ernie::op_tests
