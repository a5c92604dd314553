#pragma once

#include <cstdint>

namespace ernie {

// Tells clients apart without saying who they are: one number for each API key or, where there are
// no keys, for each address.
using ClientId = uint64_t;

}  // namespace ernie
