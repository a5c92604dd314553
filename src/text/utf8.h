#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace ernie::text {

// What stands at the start of a byte string.
enum class Utf8 { kChar, kInvalid, kIncomplete };

struct Utf8Step {
  Utf8 kind;
  size_t bytes;    // of the character; 1 for kInvalid; all that is left for kIncomplete
  char32_t value;  // the code point of a kChar
};

// Reads the first character of `bytes`, which must not be empty. Surrogates, overlong forms and
// values over U+10FFFF are invalid (RFC 3629). kIncomplete: more bytes could make it a character.
Utf8Step utf8_step(std::string_view bytes);

inline bool utf8_continues(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

bool is_valid_utf8(std::string_view bytes);

// Appends `bytes` to `out` with U+FFFD for each byte that belongs to no character, and returns how
// many bytes it used: all, or with `more_follows` all but an incomplete character at the end.
size_t append_valid_utf8(std::string_view bytes, bool more_follows, std::string& out);

void append_utf8(char32_t value, std::string& out);

}  // namespace ernie::text
