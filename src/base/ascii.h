#pragma once

#include <string>

namespace ernie {

// ASCII letters in lower case, whatever the locale.
inline std::string lowercase(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

}  // namespace ernie
