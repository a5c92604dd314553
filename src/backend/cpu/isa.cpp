#include "backend/cpu/isa.h"

#include <cstdlib>
#include <cstring>
#include <string>

#include "backend/cpu/cpu_backend.h"
#include "base/result.h"

namespace ernie::cpu {
namespace {

constexpr Isa kAll[] = {Isa::kGeneric, Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Bf16, Isa::kAmx};

}  // namespace

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::kGeneric:
      return "generic";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
    case Isa::kAvx512Bf16:
      return "avx512_bf16";
    case Isa::kAmx:
      return "amx";
  }
  return "?";
}

std::vector<Isa> supported_isas() {
  std::vector<Isa> found;
  for (Isa isa : kAll) {
    if (isa_supported(isa)) found.push_back(isa);
  }
  return found;
}

Isa best_isa() {
  const std::vector<Isa> found = supported_isas();
  const char* wanted = std::getenv("ERNIE_CPU_ISA");
  if (wanted == nullptr || *wanted == '\0') return found.back();
  std::string names;
  for (Isa isa : found) {
    if (std::strcmp(isa_name(isa), wanted) == 0) return isa;
    names += (names.empty() ? "" : ", ") + std::string(isa_name(isa));
  }
  throw StartError("ERNIE_CPU_ISA is '" + std::string(wanted) +
                   "', but this machine runs: " + names + "; use one of these or unset it");
}

const Kernels& kernels_of(Isa isa) {
  switch (isa) {
    case Isa::kGeneric:
      break;
    case Isa::kAvx2:
      return kAvx2Kernels;
    case Isa::kAvx512:
      return kAvx512Kernels;
    case Isa::kAvx512Bf16:
      return kAvx512Bf16Kernels;
    case Isa::kAmx:
      return kAmxKernels;
  }
  return kGenericKernels;
}

}  // namespace ernie::cpu
