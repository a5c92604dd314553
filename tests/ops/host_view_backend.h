#pragma once

#include <memory>

#include "ops/backend.h"

namespace ernie::op_tests {

// A backend for tests whose operators take views of host memory: each call uploads its operands,
// runs `device`'s operator and downloads what the operator wrote. Views of the same memory stay the
// same memory on the device, so in-place use is tested as such.
std::unique_ptr<ops::Backend> make_host_view_backend(std::unique_ptr<ops::Backend> device);

}  // namespace ernie::op_tests
