#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ernie::fuzz {

// A fuzzer's bytes, taken in parts from the front.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : rest_(reinterpret_cast<const char*>(data), size) {}

  uint8_t byte() {
    if (rest_.empty()) return 0;
    const auto first = static_cast<uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    return first;
  }
  // Up to the next zero byte, which is dropped.
  std::string_view part() {
    const std::string_view out = rest_.substr(0, rest_.find('\0'));
    rest_.remove_prefix(out.size() < rest_.size() ? out.size() + 1 : out.size());
    return out;
  }
  std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

}  // namespace ernie::fuzz
