#pragma once

#include <cstdint>

namespace ernie::media {

// From now on the process can compute, allocate up to `memory_bytes` more, start threads and write
// to the descriptors it has, and do nothing else: no file, socket, process or signal to others. It
// ends after `cpu_seconds` of processor time, and as soon as the other end of the socket `answer`
// is closed. False when the kernel refuses any of that.
bool raise_fence(int answer, uint64_t memory_bytes, uint32_t cpu_seconds);

}  // namespace ernie::media
