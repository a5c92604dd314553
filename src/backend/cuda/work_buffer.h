#pragma once

#include <string>

#include "backend/cuda/device.h"
#include "base/check.h"

namespace ernie::cuda {

// Device memory that is kept from call to call. It grows until it is frozen, when the largest
// step's share was reserved.
class WorkBuffer {
 public:
  // `name` says in messages what the memory is for.
  WorkBuffer(const char* name, const bool& frozen) : name_(name), frozen_(frozen) {}

  // At least `bytes`, aligned to 256 bytes, zeroed whenever it was made anew.
  void* get(size_t bytes) {
    if (bytes > buffer_.bytes()) {
      CHECK(!frozen_, std::string(name_) + " needs " + std::to_string(bytes) + " bytes, but has " +
                          std::to_string(buffer_.bytes()) +
                          " and may not grow any more; the step exceeds the reserved shape");
      buffer_ = Buffer();  // the old one goes before the new one comes
      buffer_ = allocate_device(bytes);
    }
    return buffer_.data();
  }
  template <typename T>
  T* get_array(int64_t count) {
    return static_cast<T*>(get(static_cast<size_t>(count) * sizeof(T)));
  }
  size_t bytes() const { return buffer_.bytes(); }

 private:
  const char* name_;
  const bool& frozen_;
  Buffer buffer_;
};

}  // namespace ernie::cuda
