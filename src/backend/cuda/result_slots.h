#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

namespace ernie::cuda {

// Pinned host memory for what steps bring back, used again when a step's results were read. Any
// thread.
class ResultSlots {
 public:
  struct Slot {
    explicit Slot(size_t bytes);
    ~Slot();
    Slot(const Slot&) = delete;
    Slot& operator=(const Slot&) = delete;

    size_t bytes;
    void* memory = nullptr;
    cudaEvent_t done = nullptr;
  };

  // One with room for `bytes`; made anew when none is free.
  std::unique_ptr<Slot> take(size_t bytes);
  void give_back(std::unique_ptr<Slot> slot);

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<Slot>> free_;
};

}  // namespace ernie::cuda
