#include "media/address.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <cstring>
#include <string>

namespace ernie::media {
namespace {

bool is_public(const std::string& text) {
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  if (inet_pton(AF_INET, text.c_str(), &v4.sin_addr) == 1) {
    return is_public_address(reinterpret_cast<sockaddr*>(&v4), sizeof(v4));
  }
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  EXPECT_EQ(inet_pton(AF_INET6, text.c_str(), &v6.sin6_addr), 1) << text;
  return is_public_address(reinterpret_cast<sockaddr*>(&v6), sizeof(v6));
}

// A48
TEST(Address, SpecialPurposeBlocksAreNotPublic) {
  for (const char* text : {"0.0.0.0",
                           "0.255.255.255",
                           "10.0.0.0",
                           "10.255.255.255",
                           "100.64.0.1",
                           "100.127.255.255",
                           "127.0.0.1",
                           "127.255.255.254",
                           "169.254.169.254",
                           "172.16.0.1",
                           "172.31.255.255",
                           "192.0.0.8",
                           "192.0.2.1",
                           "192.88.99.1",
                           "192.168.1.1",
                           "198.18.0.1",
                           "198.19.255.255",
                           "198.51.100.7",
                           "203.0.113.9",
                           "224.0.0.1",
                           "239.255.255.255",
                           "240.0.0.1",
                           "255.255.255.255",
                           "::",
                           "::1",
                           "::8.8.8.8",
                           "fc00::1",
                           "fdff::1",
                           "fe80::1",
                           "febf::1",
                           "fec0::1",
                           "ff02::1",
                           "100::1",
                           "2001::1",
                           "2001:2::1",
                           "2001:10::1",
                           "2001:db8::1",
                           "3fff::1",
                           "64:ff9b:1::1",
                           "4000::1",
                           "::ffff:127.0.0.1",
                           "::ffff:10.1.2.3",
                           "::ffff:169.254.169.254",
                           "64:ff9b::127.0.0.1",
                           "64:ff9b::192.168.0.1",
                           "2002:7f00:1::",
                           "2002:c0a8:101::1",
                           "2002:a9fe:a9fe::1"}) {
    EXPECT_FALSE(is_public(text)) << text;
  }
}

// A48
TEST(Address, TheirNeighboursArePublic) {
  for (const char* text : {"1.1.1.1",         "8.8.8.8",        "9.255.255.255",
                           "11.0.0.0",        "100.63.255.255", "100.128.0.0",
                           "126.255.255.255", "128.0.0.1",      "169.253.0.1",
                           "169.255.0.1",     "172.15.255.255", "172.32.0.0",
                           "192.0.1.1",       "192.167.1.1",    "192.169.1.1",
                           "198.17.0.1",      "198.20.0.1",     "223.255.255.255",
                           "2606:4700::1111", "2a00:1450::1",   "2001:4860:4860::8888",
                           "2001:200::1",     "::ffff:8.8.8.8", "64:ff9b::8.8.8.8",
                           "2002:808:808::1"}) {
    EXPECT_TRUE(is_public(text)) << text;
  }
}

// A48
TEST(Address, OtherFamiliesAreNotPublic) {
  sockaddr_un local{};
  local.sun_family = AF_UNIX;
  EXPECT_FALSE(is_public_address(reinterpret_cast<sockaddr*>(&local), sizeof(local)));
  sockaddr_in cut{};
  cut.sin_family = AF_INET;
  EXPECT_FALSE(is_public_address(reinterpret_cast<sockaddr*>(&cut), sizeof(cut) - 1));
}

}  // namespace
}  // namespace ernie::media
