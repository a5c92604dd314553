#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <string>
#include <thread>

// Hosts for tests of what fetches from them.
namespace ernie::media {

// Sends all of `text`; false once the client has gone.
inline bool send_text(int fd, const std::string& text) {
  return send(fd, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
}

inline std::string answer(const std::string& body) {
  return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

inline std::string redirect(const std::string& to) {
  return "HTTP/1.1 302 Found\r\nLocation: " + to + "\r\nContent-Length: 4\r\n\r\ngone";
}

// Listens on 127.0.0.1. The kernel takes connections by itself; nobody answers them.
class Listener {
 public:
  Listener() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t bytes = sizeof(address);
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), bytes), 0);
    EXPECT_EQ(listen(fd_, 64), 0);
    getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &bytes);
    base_ = "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  }
  ~Listener() { close(fd_); }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  std::string url(const std::string& path) const { return base_ + path; }
  int fd() const { return fd_; }

  // The next connection, which stays open and unanswered; false when none comes.
  bool connected(int wait_ms) const {
    pollfd ready{fd_, POLLIN, 0};
    return poll(&ready, 1, wait_ms) == 1 && accept(fd_, nullptr, nullptr) >= 0;
  }

 private:
  const int fd_;
  std::string base_;
};

// An HTTP server on 127.0.0.1 that hands each connection, once its request's head is read, to
// `serve(path, fd)` and then closes it. One connection at a time.
class TestServer {
 public:
  using Serve = std::function<void(const std::string& path, int fd)>;

  explicit TestServer(Serve serve) : serve_(std::move(serve)) {
    thread_ = std::thread([this] { run(); });
  }
  ~TestServer() {
    shutdown(listener_.fd(), SHUT_RDWR);
    thread_.join();
  }

  std::string url(const std::string& path) const { return listener_.url(path); }
  int connections() const { return connections_; }

 private:
  void run() {
    for (int fd; (fd = accept(listener_.fd(), nullptr, nullptr)) >= 0; close(fd)) {
      ++connections_;
      std::string head;
      char block[1024];
      while (head.find("\r\n\r\n") == std::string::npos) {
        const ssize_t n = recv(fd, block, sizeof(block), 0);
        if (n <= 0) break;
        head.append(block, n);
      }
      const size_t start = head.find(' ') + 1;
      serve_(head.substr(start, head.find(' ', start) - start), fd);
    }
  }

  Serve serve_;
  Listener listener_;
  std::atomic<int> connections_ = 0;
  std::thread thread_;
};

}  // namespace ernie::media
