#include "base/content_key.h"

#include <openssl/evp.h>

#include <memory>

#include "base/check.h"

namespace ernie {
namespace {

struct FreeContext {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};

// OpenSSL looks an algorithm up by its name at each use unless it is fetched once.
const EVP_MD* sha256() {
  static const EVP_MD* const algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  return algorithm;
}

class Sha256 {
 public:
  Sha256() {
    CHECK(EVP_DigestInit_ex2(context(), sha256(), nullptr) == 1, "OpenSSL has no SHA-256");
  }
  void add(const void* data, size_t bytes) { EVP_DigestUpdate(context(), data, bytes); }
  ContentKey finish() {
    ContentKey key;
    EVP_DigestFinal_ex(context(), reinterpret_cast<unsigned char*>(key.words.data()), nullptr);
    return key;
  }

 private:
  static EVP_MD_CTX* context() {
    static thread_local const std::unique_ptr<EVP_MD_CTX, FreeContext> own(EVP_MD_CTX_new());
    return own.get();
  }
};

}  // namespace

ContentKey content_key(const void* data, size_t bytes) {
  Sha256 hash;
  hash.add(data, bytes);
  return hash.finish();
}

ContentKey content_key(const ContentKey& previous, const void* data, size_t bytes) {
  Sha256 hash;
  hash.add(previous.words.data(), sizeof(previous.words));
  hash.add(data, bytes);
  return hash.finish();
}

}  // namespace ernie
