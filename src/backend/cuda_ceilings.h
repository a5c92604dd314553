#pragma once

namespace ernie::cuda {

// What a device can do at most: medians of several passes.
struct Ceilings {
  double read_bytes_per_s = 0;  // 1 GiB in order
  double copy_bytes_per_s = 0;  // the same within the device, read and write counted
  double bf16_flops = 0;  // per second, 8192 x 8192 x 8192 by cuBLASLt; an addition counts too
};

// Needs 2 GiB of free memory, which it gives back. Takes about a second. Throws StartError when the
// device is missing or full, DeviceFault when it fails.
Ceilings measure_ceilings(int device);

}  // namespace ernie::cuda
