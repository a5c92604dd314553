#pragma once

#include <cstddef>
#include <cstdint>

namespace ernie::kernels {

// Element type of an operand whose type is chosen at run time.
enum class ElementType : uint8_t { kF32, kBF16 };

constexpr size_t element_bytes(ElementType type) { return type == ElementType::kF32 ? 4 : 2; }

}  // namespace ernie::kernels
