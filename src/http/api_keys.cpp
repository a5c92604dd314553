#include "http/api_keys.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

namespace ernie::http {

ApiKeys::Hash ApiKeys::hash(std::string_view key) {
  Hash out;
  SHA256(reinterpret_cast<const unsigned char*>(key.data()), key.size(), out.data());
  return out;
}

ApiKeys::ApiKeys(const std::vector<std::string>& keys) {
  for (const std::string& key : keys) hashes_.push_back(hash(key));
}

std::optional<size_t> ApiKeys::find(std::string_view authorization) const {
  constexpr std::string_view kScheme = "bearer ";
  if (authorization.size() <= kScheme.size()) return std::nullopt;
  for (size_t i = 0; i < kScheme.size(); ++i)
    if ((authorization[i] | 0x20) != kScheme[i]) return std::nullopt;
  const Hash given = hash(authorization.substr(kScheme.size()));
  std::optional<size_t> found;
  for (size_t i = 0; i < hashes_.size(); ++i)
    if (CRYPTO_memcmp(hashes_[i].data(), given.data(), given.size()) == 0) found = i;
  return found;
}

}  // namespace ernie::http
