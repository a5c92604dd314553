#include "backend/cuda/staging_ring.h"

#include <algorithm>
#include <cstring>

#include "backend/cuda/device.h"
#include "base/check.h"

namespace ernie::cuda {

StagingRing::StagingRing(cudaStream_t stream) : stream_(stream) {
  void* memory = nullptr;
  check(cudaMallocHost(&memory, kSlots * kSlotBytes), "cudaMallocHost");
  memory_ = static_cast<char*>(memory);
  for (cudaEvent_t& event : drained_) {
    check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreateWithFlags");
  }
}

StagingRing::~StagingRing() {
  cudaStreamSynchronize(stream_);  // copies out of the memory may be under way
  for (cudaEvent_t event : drained_) cudaEventDestroy(event);
  cudaFreeHost(memory_);
}

void StagingRing::make_room(size_t least) {
  if (kSlotBytes - used_ >= least) return;
  check(cudaEventRecord(drained_[slot_], stream_), "cudaEventRecord");
  slot_ = (slot_ + 1) % kSlots;
  used_ = 0;
  // An event that was never recorded counts as done.
  check(cudaEventSynchronize(drained_[slot_]), "cudaEventSynchronize");
}

void StagingRing::upload(void* dst, const void* src, size_t bytes) {
  upload(dst, bytes, 1, [src](void* pinned, size_t first, size_t count) {
    std::memcpy(pinned, static_cast<const char*>(src) + first, count);
  });
}

void StagingRing::upload(void* dst, size_t count, size_t element_bytes, const Fill& fill) {
  CHECK(element_bytes <= kSlotBytes, "an element does not fit the pinned memory");
  for (size_t first = 0; first < count;) {
    make_room(element_bytes);
    const size_t now = std::min(count - first, (kSlotBytes - used_) / element_bytes);
    char* pinned = memory_ + static_cast<size_t>(slot_) * kSlotBytes + used_;
    fill(pinned, first, now);
    check(cudaMemcpyAsync(static_cast<char*>(dst) + first * element_bytes, pinned,
                          now * element_bytes, cudaMemcpyHostToDevice, stream_),
          "cudaMemcpyAsync");
    used_ = std::min(kSlotBytes, (used_ + now * element_bytes + 63) / 64 * 64);
    first += now;
  }
}

}  // namespace ernie::cuda
