#pragma once

#include <pthread.h>

#include <string>

namespace ernie {

// Names the calling thread in debuggers and top; names are cut to 15 characters.
inline void set_thread_name(const std::string& name) {
  pthread_setname_np(pthread_self(), name.substr(0, 15).c_str());
}

}  // namespace ernie
