#include "http/server_harness.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <stdexcept>
#include <thread>

namespace ernie::http {
namespace {

constexpr timeval kReadLimit{.tv_sec = 10, .tv_usec = 0};

void lower(std::string& text) {
  for (char& c : text) c = static_cast<char>(tolower(static_cast<unsigned char>(c)));
}

}  // namespace

RawClient::RawClient(uint16_t port, int receive_buffer_bytes) {
  fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (receive_buffer_bytes > 0)
    setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof(int));
  setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &kReadLimit, sizeof(kReadLimit));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0)
    throw std::runtime_error("cannot connect to the test server");
}

bool RawClient::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

std::string RawClient::read_some() {
  std::string bytes(64 << 10, '\0');
  const ssize_t n = recv(fd_, bytes.data(), bytes.size(), 0);
  bytes.resize(n > 0 ? static_cast<size_t>(n) : 0);
  return bytes;
}

std::string RawClient::read_until(std::string_view end) {
  while (buffer_.find(end) == buffer_.npos && fill()) {
  }
  const size_t at = buffer_.find(end);
  const size_t size = at == buffer_.npos ? buffer_.size() : at + end.size();
  std::string bytes = buffer_.substr(0, size);
  buffer_.erase(0, size);
  return bytes;
}

std::string RawClient::read_all() {
  std::string all = std::exchange(buffer_, {});
  for (std::string next = read_some(); !next.empty(); next = read_some()) all += next;
  return all;
}

void RawClient::half_close() { shutdown(fd_, SHUT_WR); }

void RawClient::reset() {
  const ::linger now{.l_onoff = 1, .l_linger = 0};
  setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
  close();
}

void RawClient::close() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

bool RawClient::fill() {
  const std::string next = read_some();
  buffer_ += next;
  return !next.empty();
}

RawClient::Response RawClient::read_response(bool head_only) {
  Response out;
  size_t end;
  while ((end = buffer_.find("\r\n\r\n")) == std::string::npos)
    if (!fill()) return out;
  std::string head = buffer_.substr(0, end + 2);
  buffer_.erase(0, end + 4);
  out.status = std::stoi(head.substr(9, 3));
  for (size_t at = head.find("\r\n") + 2; at < head.size();) {
    const size_t line_end = head.find("\r\n", at);
    const size_t colon = head.find(": ", at);
    std::string name = head.substr(at, colon - at);
    lower(name);
    out.headers[name] = head.substr(colon + 2, line_end - colon - 2);
    at = line_end + 2;
  }
  if (head_only || out.status == 204 || out.status == 304 || out.status == 100) {
    out.whole = true;
  } else if (out.headers.count("content-length")) {
    const size_t length = std::stoul(out.headers["content-length"]);
    while (buffer_.size() < length && fill()) {
    }
    out.whole = buffer_.size() >= length;
    out.body = buffer_.substr(0, length);
    buffer_.erase(0, length);
  } else if (out.headers.count("transfer-encoding")) {
    while (true) {
      size_t line;
      while ((line = buffer_.find("\r\n")) == std::string::npos)
        if (!fill()) return out;
      const size_t size = std::stoul(buffer_.substr(0, line), nullptr, 16);
      while (buffer_.size() < line + 2 + size + 2)
        if (!fill()) return out;
      out.body += buffer_.substr(line + 2, size);
      buffer_.erase(0, line + 2 + size + 2);
      if (size == 0) break;
    }
    out.whole = true;
  } else {
    out.body = read_all();
  }
  return out;
}

TestServer::TestServer(ServerOptions options, ServerState state) {
  auto router = std::make_shared<Router>();
  router->add("GET", "/health", {.requires_key = false},
              [](HttpRequest, std::shared_ptr<ResponseWriter> writer) {
                writer->send(200, "text/plain", "ok");
              });
  router->add("GET", "/v1/info", {},
              [](HttpRequest request, std::shared_ptr<ResponseWriter> writer) {
                writer->send(200, "text/plain", request.query);
              });
  router->add("POST", "/v1/echo", {.requires_json = true, .is_inference = true},
              [](HttpRequest request, std::shared_ptr<ResponseWriter> writer) {
                writer->send(200, "application/json", std::move(request.body));
              });
  router->add("POST", "/v1/hold", {.requires_json = true, .is_inference = true},
              [this](HttpRequest, std::shared_ptr<ResponseWriter> writer) {
                std::lock_guard lock(mutex_);
                held_.push_back(std::move(writer));
                arrived_.notify_all();
              });
  options.port = 0;
  options.on_response = [this](const AccessRecord& record) {
    std::lock_guard lock(mutex_);
    records_.push_back(record);
  };
  auto started = HttpServer::start(std::move(options), std::move(router));
  if (!started) throw std::runtime_error(started.error().message);
  server_ = std::move(*started);
  server_->set_state(state);
}

RawClient::Response TestServer::get(std::string_view path, std::string_view extra_headers) const {
  RawClient client = connect();
  client.send(fmt::format("GET {} HTTP/1.1\r\nHost: localhost\r\n{}\r\n", path, extra_headers));
  return client.read_response();
}

RawClient::Response TestServer::post(std::string_view path, std::string_view body,
                                     std::string_view extra_headers) const {
  RawClient client = connect();
  client.send(post_text(path, body, extra_headers));
  return client.read_response();
}

std::shared_ptr<ResponseWriter> TestServer::held() {
  std::unique_lock lock(mutex_);
  if (!arrived_.wait_for(lock, std::chrono::seconds(10), [&] { return !held_.empty(); }))
    throw std::runtime_error("no request arrived at /v1/hold");
  auto writer = std::move(held_.front());
  held_.erase(held_.begin());
  return writer;
}

std::vector<AccessRecord> TestServer::records() const {
  std::lock_guard lock(mutex_);
  return records_;
}

std::string post_text(std::string_view path, std::string_view body,
                      std::string_view extra_headers) {
  return fmt::format(
      "POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
      "Content-Length: {}\r\n{}\r\n{}",
      path, body.size(), extra_headers, body);
}

bool eventually(const std::function<bool()>& condition, std::chrono::milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

std::string error_code_of(const std::string& body) {
  boost::system::error_code broken;
  const boost::json::value value = boost::json::parse(body, broken);
  if (broken || !value.is_object() || value.as_object().size() != 1) return {};
  const auto* error = value.as_object().if_contains("error");
  if (!error || !error->is_object() || error->as_object().size() != 4) return {};
  for (const char* key : {"message", "type", "param", "code"})
    if (!error->as_object().contains(key)) return {};
  const auto& code = error->at("code");
  return code.is_string() ? std::string(code.as_string()) : "null";
}

}  // namespace ernie::http
