#pragma once

namespace ernie {
inline constexpr const char* kVersion = "0.1.0";
}  // namespace ernie
