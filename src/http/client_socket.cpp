#include "http/client_socket.h"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <new>

namespace ernie::http {

namespace asio = boost::asio;
using asio::awaitable;
using boost::system::error_code;

namespace {

void set_options(int socket, const Limits& limits) {
  const auto set = [socket](int level, int name, int value) {
    setsockopt(socket, level, name, &value, sizeof(value));
  };
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  // Clients that vanish without a word: found after about a minute of silence, or when they
  // acknowledge nothing (dead, or a window that stays shut) for the write timeout.
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, 30);
  set(IPPROTO_TCP, TCP_KEEPINTVL, 10);
  set(IPPROTO_TCP, TCP_KEEPCNT, 3);
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>(limits.write_timeout.count()));
}

}  // namespace

ClientSocket::ClientSocket(asio::io_context& io, int socket, const Limits& limits)
    : write_timeout_(limits.write_timeout),
      strand_(asio::make_strand(io)),
      socket_(strand_, socket),
      timer_(strand_) {
  set_options(socket, limits);
}

awaitable<bool> ClientSocket::changed(Clock::time_point deadline) {
  if (!changed_) {
    timer_.expires_at(deadline);
    error_code ignored;
    co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  co_return std::exchange(changed_, false);
}

void ClientSocket::poke() {
  changed_ = true;
  timer_.cancel();
}

void ClientSocket::read_on() {
  if (reading_ || ended_ || closed_ || input.size() >= kMaxInput) return;
  reading_ = true;
  socket_.async_wait(asio::posix::stream_descriptor::wait_read,
                     [self = shared_from_this()](error_code error) { self->on_readable(error); });
}

void ClientSocket::on_readable(error_code error) {
  reading_ = false;
  if (closed_) return;
  static thread_local std::array<char, kMaxInput> buffer;
  const ssize_t n =
      error ? -1 : recv(socket_.native_handle(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  try {
    if (n > 0) input.append(buffer.data(), static_cast<size_t>(n));
  } catch (const std::bad_alloc&) {
    closed_ = true;  // without its bytes nothing can be answered
  }
  if (n == 0) {
    ended_ = true;
    wait_for_reset();
  }
  if (error || (n < 0 && errno != EAGAIN && errno != EINTR)) closed_ = true;
  read_on();
  poke();
}

void ClientSocket::wait_for_reset() {
  socket_.async_wait(asio::posix::stream_descriptor::wait_error,
                     [self = shared_from_this()](error_code) {
                       self->closed_ = true;
                       self->poke();
                     });
}

size_t ClientSocket::flush() {
  size_t total = 0;
  while (!output.empty() && !closed_) {
    std::array<iovec, 16> pieces;
    msghdr message{};
    message.msg_iov = pieces.data();
    size_t offset = offset_;
    for (std::string& piece : output) {
      pieces[message.msg_iovlen++] = {piece.data() + offset, piece.size() - offset};
      offset = 0;
      if (message.msg_iovlen == pieces.size()) break;
    }
    const ssize_t n = sendmsg(socket_.native_handle(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno != EAGAIN) closed_ = true;
    if (n < 0) break;
    total += static_cast<size_t>(n);
    offset_ += static_cast<size_t>(n);
    while (!output.empty() && offset_ >= output.front().size()) {
      offset_ -= output.front().size();
      output.pop_front();
    }
  }
  if (!output.empty() && !closed_ && !writing_) {
    writing_ = true;
    socket_.async_wait(asio::posix::stream_descriptor::wait_write,
                       [self = shared_from_this()](error_code) {
                         self->writing_ = false;
                         self->poke();
                       });
  }
  sent_bytes_ += total;
  if (total > 0) {
    restart_write_clock();
    if (!output.empty()) ioctl(socket_.native_handle(), SIOCOUTQ, &unacknowledged_);
  }
  return total;
}

bool ClientSocket::stalled() {
  if (output.empty() || Clock::now() < write_deadline()) return false;
  int held = 0;
  ioctl(socket_.native_handle(), SIOCOUTQ, &held);
  const bool took_some = held < std::exchange(unacknowledged_, held);
  if (took_some) restart_write_clock();
  return !took_some;
}

awaitable<void> ClientSocket::send_all() {
  restart_write_clock();
  while (true) {
    flush();
    if (output.empty() || closed_) co_return;
    const bool in_time = co_await changed(write_deadline());
    if (!in_time && stalled()) cut();
  }
}

void ClientSocket::shut_output() { shutdown(socket_.native_handle(), SHUT_WR); }

void ClientSocket::end() {
  closed_ = true;
  poke();
}

void ClientSocket::cut() {
  if (closed_) return;
  const ::linger now{.l_onoff = 1, .l_linger = 0};
  setsockopt(socket_.native_handle(), SOL_SOCKET, SO_LINGER, &now, sizeof(now));
  end();
}

void ClientSocket::close() {
  closed_ = true;
  error_code ignored;
  socket_.close(ignored);
}

}  // namespace ernie::http
