#pragma once

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <new>

// An allocator that fails when it is told to: once, at the n-th allocation of the thread of a name.
// Include it in one source of a test program: it replaces the program's allocator.
namespace ernie {

inline char failing_thread[16];
inline std::atomic<int> allocations_left = 0;  // until the one that fails; 0: none does

// n 0: no allocation fails.
inline void fail_allocation(const char* thread, int n) {
  allocations_left = 0;
  std::strncpy(failing_thread, thread, sizeof(failing_thread) - 1);
  allocations_left = n;
}

inline bool allocation_has_failed() { return allocations_left <= 0; }

inline bool must_fail() {
  if (allocations_left <= 0) return false;
  char name[sizeof(failing_thread)] = {};
  pthread_getname_np(pthread_self(), name, sizeof(name));
  return std::strcmp(name, failing_thread) == 0 && allocations_left.fetch_sub(1) == 1;
}

}  // namespace ernie

[[gnu::noinline]] void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  return ernie::must_fail() ? nullptr : std::malloc(std::max<size_t>(bytes, 1));
}
[[gnu::noinline]] void* operator new(size_t bytes) {
  void* memory = operator new(bytes, std::nothrow);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { std::free(memory); }
