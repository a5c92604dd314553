#include "text/utf8.h"

#include <cstdint>

namespace ernie::text {

Utf8Step utf8_step(std::string_view bytes) {
  const auto at = [&](size_t i) { return static_cast<uint8_t>(bytes[i]); };
  const uint8_t lead = at(0);
  if (lead < 0x80) return {Utf8::kChar, 1, lead};
  size_t length = 0;
  uint8_t low = 0x80, high = 0xBF;  // what the second byte may be
  if (lead >= 0xC2 && lead <= 0xDF) {
    length = 2;
  } else if (lead >= 0xE0 && lead <= 0xEF) {
    length = 3;
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    length = 4;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
  } else {
    return {Utf8::kInvalid, 1, 0};
  }
  char32_t value = lead & (0x7F >> length);
  for (size_t i = 1; i < length; ++i) {
    if (i == bytes.size()) return {Utf8::kIncomplete, bytes.size(), 0};
    if (at(i) < low || at(i) > high) return {Utf8::kInvalid, 1, 0};
    value = (value << 6) | (at(i) & 0x3F);
    low = 0x80;
    high = 0xBF;
  }
  return {Utf8::kChar, length, value};
}

bool is_valid_utf8(std::string_view bytes) {
  while (!bytes.empty()) {
    const Utf8Step step = utf8_step(bytes);
    if (step.kind != Utf8::kChar) return false;
    bytes.remove_prefix(step.bytes);
  }
  return true;
}

size_t append_valid_utf8(std::string_view bytes, bool more_follows, std::string& out) {
  size_t used = 0;
  while (used < bytes.size()) {
    const Utf8Step step = utf8_step(bytes.substr(used));
    if (step.kind == Utf8::kChar) {
      out.append(bytes, used, step.bytes);
      used += step.bytes;
      continue;
    }
    if (step.kind == Utf8::kIncomplete && more_follows) break;
    out += "\uFFFD";
    ++used;
  }
  return used;
}

void append_utf8(char32_t value, std::string& out) {
  if (value < 0x80) {
    out += static_cast<char>(value);
    return;
  }
  const int extra = value < 0x800 ? 1 : value < 0x10000 ? 2 : 3;
  out += static_cast<char>((0xFF00 >> (extra + 1)) | (value >> (6 * extra)));
  for (int i = extra - 1; i >= 0; --i) out += static_cast<char>(0x80 | ((value >> (6 * i)) & 0x3F));
}

}  // namespace ernie::text
