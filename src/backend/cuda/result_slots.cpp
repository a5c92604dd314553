#include "backend/cuda/result_slots.h"

#include <algorithm>
#include <utility>

#include "backend/cuda/device.h"

namespace ernie::cuda {
namespace {

constexpr size_t kLeastBytes = size_t{64} << 10;

}  // namespace

ResultSlots::Slot::Slot(size_t wanted) : bytes(std::max(wanted, kLeastBytes)) {
  check(cudaMallocHost(&memory, bytes), "cudaMallocHost");
  check(cudaEventCreateWithFlags(&done, cudaEventDisableTiming), "cudaEventCreateWithFlags");
}

ResultSlots::Slot::~Slot() {
  cudaEventDestroy(done);
  cudaFreeHost(memory);
}

std::unique_ptr<ResultSlots::Slot> ResultSlots::take(size_t bytes) {
  {
    const std::lock_guard lock(mutex_);
    const auto fits = std::ranges::find_if(free_, [&](const auto& s) { return s->bytes >= bytes; });
    if (fits != free_.end()) {
      std::unique_ptr<Slot> slot = std::move(*fits);
      free_.erase(fits);
      return slot;
    }
  }
  return std::make_unique<Slot>(bytes);
}

void ResultSlots::give_back(std::unique_ptr<Slot> slot) {
  const std::lock_guard lock(mutex_);
  free_.push_back(std::move(slot));
}

}  // namespace ernie::cuda
