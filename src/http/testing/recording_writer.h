#pragma once

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "http/error.h"
#include "http/message.h"

namespace ernie::http {

// Keeps one answer, and checks the order of calls that ResponseWriter asks for.
class RecordingWriter : public ResponseWriter {
 public:
  void send(int status, std::string_view, std::string body, const Headers& = {}) override {
    std::lock_guard lock(mutex_);
    EXPECT_EQ(status_, 0) << "answered twice";
    status_ = status;
    body_ = std::move(body);
    complete();
  }
  void send_error(const Error& error) override {
    send(http_status(error.kind), "application/json", error_body(error));
  }
  void start_stream(std::string_view content_type, const Headers& = {}) override {
    std::lock_guard lock(mutex_);
    EXPECT_EQ(status_, 0) << "answered twice";
    EXPECT_TRUE(content_type.starts_with("text/event-stream"));
    status_ = 200;
    streaming_ = true;
  }
  bool write(std::string_view piece) override {
    std::lock_guard lock(mutex_);
    EXPECT_TRUE(streaming_ && !complete_) << "write() outside of a stream";
    body_ += piece;
    changed_.notify_all();
    return !gone_;
  }
  void finish() override {
    std::lock_guard lock(mutex_);
    EXPECT_TRUE(streaming_ && !complete_) << "finish() outside of a stream";
    complete();
  }
  void on_disconnect(std::function<void()> callback) override {
    std::lock_guard lock(mutex_);
    callback_ = std::move(callback);
  }

  // The client goes.
  void leave() {
    std::function<void()> callback;
    {
      std::lock_guard lock(mutex_);
      gone_ = true;
      callback = std::exchange(callback_, nullptr);
    }
    if (callback) callback();
  }

  // True once the answer is complete, false after ten seconds.
  bool wait() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(10), [&] { return complete_; });
  }
  // True once something of a stream is there.
  bool wait_for_output() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(10), [&] { return !body_.empty(); });
  }
  bool answered() {
    std::lock_guard lock(mutex_);
    return status_ != 0;
  }
  int status() {
    std::lock_guard lock(mutex_);
    return status_;
  }
  boost::json::value json() {
    std::lock_guard lock(mutex_);
    return boost::json::parse(body_);
  }
  // The data of the events of a stream, "[DONE]" as a string.
  std::vector<boost::json::value> events() {
    std::lock_guard lock(mutex_);
    std::vector<boost::json::value> out;
    size_t begin = 0;
    while (begin < body_.size()) {
      const size_t end = body_.find("\n\n", begin);
      std::string event = body_.substr(begin, end - begin);
      if (event.starts_with("event: ")) event.erase(0, event.find('\n') + 1);
      EXPECT_TRUE(event.starts_with("data: ")) << event;
      const std::string data = event.substr(6);
      out.push_back(data == "[DONE]" ? boost::json::value(data) : boost::json::parse(data));
      EXPECT_NE(end, std::string::npos) << "an event without its end";
      if (end == std::string::npos) break;
      begin = end + 2;
    }
    return out;
  }

 private:
  void complete() {
    complete_ = true;
    callback_ = nullptr;
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  int status_ = 0;
  bool streaming_ = false;
  bool complete_ = false;
  bool gone_ = false;
  std::string body_;
  std::function<void()> callback_;
};

}  // namespace ernie::http
