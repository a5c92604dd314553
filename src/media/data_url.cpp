#include "media/data_url.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>

namespace ernie::media {
namespace {

constexpr int8_t kNotBase64 = -1;
constexpr int8_t kSpace = -2;

constexpr std::array<int8_t, 256> make_table() {
  constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::array<int8_t, 256> table{};
  table.fill(kNotBase64);
  for (size_t i = 0; i < kAlphabet.size(); ++i) {
    table[static_cast<uint8_t>(kAlphabet[i])] = static_cast<int8_t>(i);
  }
  for (const char c : std::string_view(" \t\r\n")) table[static_cast<uint8_t>(c)] = kSpace;
  return table;
}
constexpr std::array<int8_t, 256> kTable = make_table();

Error invalid_base64(std::string_view found) {
  return invalid_argument(
      fmt::format("expected base64 in the standard alphabet, found {}; encode the file's bytes "
                  "with RFC 4648 base64",
                  found),
      {}, "invalid_base64");
}

Error too_large(size_t max_bytes) {
  return {ErrorKind::kTooLarge,
          fmt::format("the base64 data decodes to more than the limit of {} bytes; send a smaller "
                      "file",
                      max_bytes),
          {},
          "media_too_large"};
}

// What stands after the last digit: nothing, or the padding that `digits` asks for.
Status check_padding(std::string_view tail, size_t digits) {
  size_t padding = 0;
  for (const char c : tail) {
    if (c == '=') {
      ++padding;
    } else if (kTable[static_cast<uint8_t>(c)] != kSpace) {
      return invalid_base64("data after the padding '='");
    }
  }
  if (digits % 4 == 1) return invalid_base64("a length that no base64 has (cut off?)");
  if (padding != 0 && (digits + padding) % 4 != 0) return invalid_base64("the wrong padding");
  if (padding > 2) return invalid_base64("more than two padding '='");
  return {};
}

// Decodes groups of four digits for as long as nothing else comes, which is nearly all of a file.
// Returns how many characters these are.
size_t decode_groups(std::string_view text, size_t max_bytes, std::vector<uint8_t>& out) {
  const auto value = [&](size_t i) { return int{kTable[static_cast<uint8_t>(text[i])]}; };
  const size_t room = max_bytes - std::min(out.size(), max_bytes);
  const size_t groups = std::min(text.size() / 4, room / 3);
  size_t done = 0;
  for (; done < groups; ++done) {
    const size_t at = 4 * done;
    const int a = value(at), b = value(at + 1), c = value(at + 2), d = value(at + 3);
    if ((a | b | c | d) < 0) break;
    const int bits = a << 18 | b << 12 | c << 6 | d;
    const uint8_t bytes[3] = {static_cast<uint8_t>(bits >> 16), static_cast<uint8_t>(bits >> 8),
                              static_cast<uint8_t>(bits)};
    out.insert(out.end(), bytes, bytes + 3);
  }
  return 4 * done;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = static_cast<char>(c | 0x20);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

Result<std::string> decode_percents(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
    if (high < 0 || low < 0) return invalid_base64("a '%' without two hexadecimal digits");
    out += static_cast<char>(16 * high + low);
    i += 2;
  }
  return out;
}

// Where the comma before the data is: a parameter of the media type may have others in quotes.
size_t find_data_comma(std::string_view url) {
  bool quoted = false;
  for (size_t i = 0; i < url.size(); ++i) {
    if (url[i] == ',' && !quoted) return i;
    if (url[i] == '"') quoted = !quoted;
    if (url[i] == '\\' && quoted) ++i;
  }
  return std::string_view::npos;
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

}  // namespace

Result<std::vector<uint8_t>> decode_base64(std::string_view text, size_t max_bytes) {
  std::vector<uint8_t> out;
  out.reserve(std::min(text.size() / 4 * 3 + 3, max_bytes));
  uint32_t bits = 0;
  size_t digits = 0;
  size_t at = 0;
  for (; at < text.size() && text[at] != '='; ++at) {
    if (digits % 4 == 0) {
      at += decode_groups(text.substr(at), max_bytes, out);
      if (at == text.size() || text[at] == '=') break;
    }
    const int8_t digit = kTable[static_cast<uint8_t>(text[at])];
    if (digit == kSpace) continue;
    if (digit == kNotBase64) {
      return invalid_base64(text[at] == '-' || text[at] == '_'
                                ? "a character of the URL-safe alphabet"
                                : fmt::format("another character at offset {}", at));
    }
    bits = bits << 6 | static_cast<uint32_t>(digit);
    if (++digits % 4 != 0) continue;
    if (out.size() + 3 > max_bytes) return too_large(max_bytes);
    out.push_back(static_cast<uint8_t>(bits >> 16));
    out.push_back(static_cast<uint8_t>(bits >> 8));
    out.push_back(static_cast<uint8_t>(bits));
  }
  if (const Status right = check_padding(text.substr(at), digits); !right) return right.error();
  if (digits % 4 >= 2) out.push_back(static_cast<uint8_t>(bits >> (digits % 4 == 2 ? 4 : 10)));
  if (digits % 4 == 3) out.push_back(static_cast<uint8_t>(bits >> 2));
  if (out.size() > max_bytes) return too_large(max_bytes);
  return out;
}

Result<std::vector<uint8_t>> decode_data_url(std::string_view url, size_t max_bytes) {
  constexpr std::string_view kScheme = "data:";
  constexpr std::string_view kEncoding = ";base64";
  const size_t comma = find_data_comma(url);
  if (!equal_ignoring_case(url.substr(0, kScheme.size()), kScheme) ||
      comma == std::string_view::npos) {
    return invalid_base64("no \"data:<media type>;base64,\" before the data");
  }
  const std::string_view header = url.substr(0, comma);
  if (header.size() < kScheme.size() - 1 + kEncoding.size() ||
      !equal_ignoring_case(header.substr(header.size() - kEncoding.size()), kEncoding)) {
    return invalid_base64("a data URL without \";base64\"");
  }
  const std::string_view data = url.substr(comma + 1);
  if (data.find('%') == std::string_view::npos) return decode_base64(data, max_bytes);
  const Result<std::string> text = decode_percents(data);
  if (!text) return text.error();
  return decode_base64(*text, max_bytes);
}

}  // namespace ernie::media
