#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "tensor/tensor.h"

namespace ernie::ops {

// Recorded work of a device, to be issued again at the price of one launch.
class Graph {
 public:
  virtual ~Graph() = default;
  virtual void replay() = 0;
};

// Memory and order of work. Work may run asynchronously; copy_to_host() and synchronize() wait for
// what was issued before. Used only by one thread.
class Device {
 public:
  virtual ~Device() = default;

  virtual std::string name() const = 0;  // for example "cpu (avx2, 2 threads)"

  // Throws StartError with the sizes when the device is full.
  virtual Buffer allocate(size_t bytes) = 0;
  virtual void copy_to_device(void* dst, const void* src, size_t bytes) = 0;
  virtual void copy_to_host(void* dst, const void* src, size_t bytes) = 0;
  virtual void synchronize() = 0;

  // Bytes of device memory in total and now free for this process; other processes' use counts as
  // used.
  struct MemoryInfo {
    size_t total_bytes = 0;
    size_t free_bytes = 0;
    bool shared_by_ranks = true;  // all ranks of this process draw on the same memory
  };
  virtual MemoryInfo memory_info() = 0;

  // Whether capture() works. A graph holds addresses, not contents: what is uploaded between
  // replays takes effect.
  virtual bool has_graphs() const { return false; }
  // Records what `issue` issues, without running it. It must not upload, download or allocate, so
  // the same work has to be run once before.
  virtual std::unique_ptr<Graph> capture(const std::function<void()>& issue);
};

}  // namespace ernie::ops
