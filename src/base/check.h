#pragma once

#include <string>

namespace ernie {

// Prints the message with its source location and aborts. For programmer errors only.
[[noreturn]] void check_failed(const char* expression, const char* file, int line,
                               const std::string& message);

}  // namespace ernie

// Aborts with `message` when `condition` is false, in every build type.
#define CHECK(condition, message)                                       \
  do {                                                                  \
    if (!(condition)) [[unlikely]]                                      \
      ::ernie::check_failed(#condition, __FILE__, __LINE__, (message)); \
  } while (false)
