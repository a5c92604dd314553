#pragma once

namespace ernie::kernels {

// Which way of a kernel to take: 90 when the driver loaded this program's sm_90a code, else 80. The
// environment variable ERNIE_CUDA_ARCH=80 forces 80; CUDA_FORCE_PTX_JIT=1 does too, since it makes
// the driver load the embedded sm_80 PTX. Asked once for the process: its devices are alike. The
// first call must not be inside a stream capture.
int arch();

// Multiprocessors of the current device, asked once for the process.
int multiprocessors();

}  // namespace ernie::kernels
