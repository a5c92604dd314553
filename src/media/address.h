#pragma once

#include <sys/socket.h>

namespace ernie::media {

// True for an IPv4 or IPv6 address on the public internet: none of the special-purpose blocks of
// the IANA registries (RFC 6890: loopback, private, link-local, shared, documentation, benchmark,
// multicast, reserved ...). An IPv6 address that carries an IPv4 one (mapped, NAT64, 6to4) is as
// public as that one. Any other address family is not public.
bool is_public_address(const sockaddr* address, socklen_t bytes);

}  // namespace ernie::media
