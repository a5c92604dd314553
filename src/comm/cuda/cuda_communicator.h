#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "comm/communicator.h"

struct CUstream_st;

namespace ernie {

struct CudaCommunicatorOptions {
  std::vector<int> devices;  // one for each rank
  // The stream that rank's backend uses. Called on the rank's thread, with its device current, at
  // its first collective.
  std::function<CUstream_st*(int rank)> stream_of;
  size_t max_launch_bytes = size_t{16} << 20;  // longer messages take several launches
};

// Communicators for GPUs that can map each other's memory. Collectives are ordered by the rank's
// stream: they return at once, may be captured in a graph, and the result may be read by what is
// issued after them. Every sum is taken in float32 in rank order whatever its size, so the bits of
// a row do not depend on what else is in the message; NCCL, whose order depends on the size, is
// not used.
//
// A call throws std::runtime_error when the group was aborted or a wait on this rank gave up since
// its last call; barrier() also finds what gave up until now. abort() frees kernels that wait.
//
// Memory for exchange is allocated here, so this must come before a plan of the devices' memory.
// Ranks may share a device, as tests do: then no rank may allocate, free or load code while another
// waits in a collective. Throws StartError when the GPUs cannot be used together.
std::vector<std::unique_ptr<Communicator>> make_cuda_communicators(CudaCommunicatorOptions options);

}  // namespace ernie
