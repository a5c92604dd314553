#include "http/request_id.h"

#include <fmt/format.h>

#include <algorithm>
#include <random>

namespace ernie::http {

std::string choose_request_id(std::string_view wanted) {
  const auto allowed = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' ||
           c == '_' || c == '-';
  };
  if (!wanted.empty() && wanted.size() <= 128 && std::all_of(wanted.begin(), wanted.end(), allowed))
    return std::string(wanted);
  thread_local std::mt19937_64 random(std::random_device{}());
  const uint64_t high = random();
  return fmt::format("req-{:016x}{:016x}", high, random());
}

}  // namespace ernie::http
