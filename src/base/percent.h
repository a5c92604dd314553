#pragma once

#include <charconv>
#include <optional>
#include <string>
#include <string_view>

namespace ernie {

// A part of a URL with each %XX as its byte; nothing if an escape is malformed.
inline std::optional<std::string> percent_decoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    unsigned char byte = static_cast<unsigned char>(text[i]);
    if (byte == '%') {
      const char* digits = text.data() + i + 1;
      if (text.size() - i < 3 || std::from_chars(digits, digits + 2, byte, 16).ptr != digits + 2) {
        return std::nullopt;
      }
      i += 2;
    }
    out += static_cast<char>(byte);
  }
  return out;
}

}  // namespace ernie
