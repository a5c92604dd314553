#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>

namespace ernie {

// SHA-256 of content that clients choose, under which a cache keeps what was made of it. Nobody can
// make two contents of one key, so nobody is answered from another one's picture or prompt.
struct ContentKey {
  std::array<uint64_t, 4> words{};
  friend bool operator==(const ContentKey&, const ContentKey&) = default;
  friend auto operator<=>(const ContentKey&, const ContentKey&) = default;
};

ContentKey content_key(const void* data, size_t bytes);

// Continues a chain: the key of `previous` followed by the data.
ContentKey content_key(const ContentKey& previous, const void* data, size_t bytes);

}  // namespace ernie

template <>
struct std::hash<ernie::ContentKey> {
  size_t operator()(const ernie::ContentKey& key) const noexcept { return key.words[0]; }
};
