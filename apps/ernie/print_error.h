#pragma once

#include <fmt/format.h>

#include <cstdio>
#include <string>
#include <utility>

namespace ernie::app {

// Writes to stderr. That nobody reads it, or that it is full, changes nothing.
template <class... T>
void print_error(fmt::format_string<T...> format, T&&... arguments) {
  const std::string text = fmt::format(format, std::forward<T>(arguments)...);
  std::fwrite(text.data(), 1, text.size(), stderr);
}

}  // namespace ernie::app
