#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <functional>
#include <vector>

namespace ernie::cuda {

// Pinned host memory through which all uploads go, so that they need not wait for the stream and
// the source may be reused at once, while pinned memory stays bounded whatever is uploaded.
class StagingRing {
 public:
  explicit StagingRing(cudaStream_t stream);
  ~StagingRing();
  StagingRing(const StagingRing&) = delete;
  StagingRing& operator=(const StagingRing&) = delete;

  void upload(void* dst, const void* src, size_t bytes);

  // Uploads `count` elements of `element_bytes` that fill(pinned memory, first, count) makes.
  using Fill = std::function<void(void* pinned, size_t first, size_t count)>;
  void upload(void* dst, size_t count, size_t element_bytes, const Fill& fill);

 private:
  static constexpr size_t kSlotBytes = size_t{8} << 20;
  static constexpr int kSlots = 4;

  // Room for at least `least` bytes in the current slot, or in the next one once it is free.
  void make_room(size_t least);

  cudaStream_t stream_;
  char* memory_ = nullptr;
  cudaEvent_t drained_[kSlots] = {};  // the copies out of this slot are done
  int slot_ = 0;
  size_t used_ = 0;  // bytes of the current slot
};

}  // namespace ernie::cuda
