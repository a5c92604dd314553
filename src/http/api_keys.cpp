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

bool ApiKeys::accepts(std::string_view authorization) const {
  constexpr std::string_view kScheme = "bearer ";
  if (authorization.size() <= kScheme.size()) return false;
  for (size_t i = 0; i < kScheme.size(); ++i)
    if ((authorization[i] | 0x20) != kScheme[i]) return false;
  const Hash found = hash(authorization.substr(kScheme.size()));
  int matches = 0;
  for (const Hash& key : hashes_)
    matches += CRYPTO_memcmp(key.data(), found.data(), key.size()) == 0;
  return matches > 0;
}

}  // namespace ernie::http
