#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ernie::http {

// The keys that open the server. Only their SHA-256 hashes are kept. Immutable.
class ApiKeys {
 public:
  explicit ApiKeys(const std::vector<std::string>& keys);

  bool empty() const { return hashes_.empty(); }

  // Which of the keys "Bearer KEY" has, if any. Hashes are compared whole and with every key, so
  // the time tells nothing about how much of a key was right.
  std::optional<size_t> find(std::string_view authorization) const;

 private:
  using Hash = std::array<uint8_t, 32>;
  static Hash hash(std::string_view key);

  std::vector<Hash> hashes_;
};

}  // namespace ernie::http
