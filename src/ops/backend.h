#pragma once

#include "ops/device.h"
#include "ops/operators.h"
#include "ops/packer.h"
#include "ops/sampler.h"

namespace ernie::ops {

// All that a kind of device does for one rank. Used only by that rank's thread.
class Backend : public Device, public Packer, public Operators, public Sampler {
 public:
  // Takes Sizing::work_bytes(). After that operators allocate nothing for steps within the shape,
  // and a larger one is a CHECK failure. A backend whose work memory does not count need not.
  virtual void reserve_work(const WorkShape&) {}
};

}  // namespace ernie::ops
