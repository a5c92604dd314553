#pragma once

#include <cstring>
#include <unordered_map>
#include <vector>

#include "backend/cuda/device.h"
#include "backend/cuda/staging_ring.h"

namespace ernie::cuda {

// Device copies of small host arrays that live as long as the model, such as rotary frequencies.
// Found by the array's address; an array whose contents changed is uploaded again.
class HostCopies {
 public:
  explicit HostCopies(StagingRing& staging) : staging_(staging) {}

  template <typename T>
  const T* get(const std::vector<T>& values) {
    return static_cast<const T*>(get(values.data(), values.size() * sizeof(T)));
  }

 private:
  struct Copy {
    std::vector<char> bytes;
    Buffer device;
  };

  const void* get(const void* data, size_t bytes) {
    Copy& copy = copies_[data];
    if (copy.bytes.size() != bytes || std::memcmp(copy.bytes.data(), data, bytes) != 0) {
      const char* begin = static_cast<const char*>(data);
      copy.bytes.assign(begin, begin + bytes);
      copy.device = allocate_device(bytes);
      staging_.upload(copy.device.data(), data, bytes);
    }
    return copy.device.data();
  }

  StagingRing& staging_;
  std::unordered_map<const void*, Copy> copies_;
};

}  // namespace ernie::cuda
