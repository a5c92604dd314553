#include "media/address.h"

#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <initializer_list>

namespace ernie::media {
namespace {

using Ip6 = std::array<uint8_t, 16>;

struct Ip4Block {
  uint8_t a, b, c, d;
  int prefix;  // bits
};

// https://www.iana.org/assignments/iana-ipv4-special-registry and the multicast block.
constexpr Ip4Block kSpecialIp4[] = {
    {0, 0, 0, 0, 8},      {10, 0, 0, 0, 8},     {100, 64, 0, 0, 10}, {127, 0, 0, 0, 8},
    {169, 254, 0, 0, 16}, {172, 16, 0, 0, 12},  {192, 0, 0, 0, 24},  {192, 0, 2, 0, 24},
    {192, 88, 99, 0, 24}, {192, 168, 0, 0, 16}, {198, 18, 0, 0, 15}, {198, 51, 100, 0, 24},
    {203, 0, 113, 0, 24}, {224, 0, 0, 0, 4},    {240, 0, 0, 0, 4},
};

constexpr uint32_t pack(uint8_t a, uint8_t b, uint8_t c, uint8_t d) {
  return uint32_t{a} << 24 | uint32_t{b} << 16 | uint32_t{c} << 8 | d;
}

bool is_public_ip4(uint32_t address) {
  return std::none_of(std::begin(kSpecialIp4), std::end(kSpecialIp4), [&](const Ip4Block& block) {
    const int rest = 32 - block.prefix;
    return address >> rest == pack(block.a, block.b, block.c, block.d) >> rest;
  });
}

bool starts_with(const Ip6& address, std::initializer_list<uint8_t> prefix) {
  return std::equal(prefix.begin(), prefix.end(), address.begin());
}

// https://www.iana.org/assignments/iana-ipv6-special-registry; outside 2000::/3 nothing is global
// unicast.
bool is_public_ip6(const Ip6& ip) {
  const uint32_t last = pack(ip[12], ip[13], ip[14], ip[15]);
  const bool mapped = starts_with(ip, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF});
  const bool nat64 = starts_with(ip, {0x00, 0x64, 0xFF, 0x9B, 0, 0, 0, 0, 0, 0, 0, 0});
  if (mapped || nat64) return is_public_ip4(last);
  if (starts_with(ip, {0x20, 0x02})) {  // 6to4
    return is_public_ip4(pack(ip[2], ip[3], ip[4], ip[5]));
  }
  const bool protocol = starts_with(ip, {0x20, 0x01}) && ip[2] < 2;  // 2001::/23, with Teredo
  const bool documentation = starts_with(ip, {0x20, 0x01, 0x0D, 0xB8}) ||
                             (starts_with(ip, {0x3F, 0xFF}) && ip[2] < 0x10);  // 3fff::/20
  return ip[0] >> 5 == 1 && !protocol && !documentation;
}

}  // namespace

bool is_public_address(const sockaddr* address, socklen_t bytes) {
  if (address->sa_family == AF_INET && bytes >= sizeof(sockaddr_in)) {
    sockaddr_in v4;
    std::memcpy(&v4, address, sizeof(v4));
    return is_public_ip4(ntohl(v4.sin_addr.s_addr));
  }
  if (address->sa_family == AF_INET6 && bytes >= sizeof(sockaddr_in6)) {
    sockaddr_in6 v6;
    std::memcpy(&v6, address, sizeof(v6));
    Ip6 ip;
    std::memcpy(ip.data(), &v6.sin6_addr, ip.size());
    return is_public_ip6(ip);
  }
  return false;
}

}  // namespace ernie::media
