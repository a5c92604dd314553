#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <chrono>
#include <deque>
#include <memory>
#include <string>

#include "http/server.h"

namespace ernie::http {

// The socket of one client, with what was received and what is to be sent. Reading, and waiting for
// room to write, go on by themselves and only tell the owner's coroutine that something changed;
// that is how a client that leaves is noticed while its request is worked on. One that has shut
// down its sending side and one that has closed its socket look the same until something is sent
// (ResponseChannel::probe); then the system of the latter answers with a reset, which is waited
// for. Included by connection.cpp only, for the size of what it includes. Everything but post()
// runs on the strand.
class ClientSocket : public std::enable_shared_from_this<ClientSocket> {
 public:
  using Clock = std::chrono::steady_clock;

  static constexpr size_t kMaxInput = 64 << 10;  // bytes read ahead

  ClientSocket(boost::asio::io_context& io, int socket, const Limits& limits);

  // Received and not yet used. Reading pauses at kMaxInput: call read_on() after taking from it.
  std::string input;
  std::deque<std::string> output;

  bool ended() const { return ended_; }    // the client sends nothing more
  bool closed() const { return closed_; }  // broken or cut: no more input and output
  size_t sent_bytes() const { return sent_bytes_; }

  void read_on();
  size_t flush();  // sends what the socket takes now; returns bytes
  // When to ask stalled(), while there is output left.
  Clock::time_point write_deadline() const { return last_written_ + write_timeout_; }
  // True when the client took nothing for the write timeout. The system takes new bytes only in
  // large steps, so a slow reader shows by what the system still holds.
  bool stalled();
  // Sends all of `output`, or cuts the client off when it stalls.
  boost::asio::awaitable<void> send_all();
  // Waits for the next change; false when the deadline came first.
  boost::asio::awaitable<bool> changed(Clock::time_point deadline);
  void poke();  // a change that the socket does not know of
  void restart_write_clock() { last_written_ = Clock::now(); }

  void shut_output();
  void end();    // ends both directions; what was sent still arrives
  void cut();    // ends both directions with a reset
  void close();  // last act of the owner

  const auto& strand() const { return strand_; }

 private:
  void on_readable(boost::system::error_code error);
  void wait_for_reset();

  const milliseconds write_timeout_;
  boost::asio::strand<boost::asio::io_context::executor_type> strand_;
  boost::asio::posix::stream_descriptor socket_;
  boost::asio::steady_timer timer_;
  size_t sent_bytes_ = 0;
  int unacknowledged_ = 0;  // bytes the system held when last asked
  size_t offset_ = 0;       // of output.front()
  bool reading_ = false;
  bool writing_ = false;
  bool changed_ = false;
  bool ended_ = false;
  bool closed_ = false;
  Clock::time_point last_written_{};
};

}  // namespace ernie::http
