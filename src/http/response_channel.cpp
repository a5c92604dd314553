#include "http/response_channel.h"

#include <fmt/format.h>

#include <chrono>
#include <ctime>

#include "base/check.h"
#include "http/error.h"

namespace ernie::http {
namespace {

constexpr size_t kSmallBody = 4 << 10;   // errors and the like are sent whatever is held
constexpr size_t kJoinBytes = 16 << 10;  // smaller pieces are joined into one buffer
constexpr std::string_view kHeadBegin = "HTTP/1.1 ";  // of every answer

std::string http_date() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm tm{};
  gmtime_r(&now, &tm);
  char text[40];
  std::strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm);
  return text;
}

class ChannelWriter : public ResponseWriter {
 public:
  explicit ChannelWriter(std::shared_ptr<ResponseChannel> channel) : channel_(std::move(channel)) {}
  ~ChannelWriter() override { channel_->abandon(); }

  void send(int status, std::string_view content_type, std::string body,
            const Headers& extra) override {
    channel_->send(status, content_type, std::move(body), extra);
  }
  void send_error(const Error& error) override { channel_->send_error(error); }
  void start_stream(std::string_view content_type, const Headers& extra) override {
    channel_->start_stream(content_type, extra);
  }
  bool write(std::string_view piece) override { return channel_->write(piece); }
  void finish() override { channel_->finish(); }
  void finish_failed(const Error& error) override { channel_->finish_failed(error); }
  void on_disconnect(std::function<void()> callback) override {
    channel_->on_disconnect(std::move(callback));
  }

 private:
  std::shared_ptr<ResponseChannel> channel_;
};

}  // namespace

std::string response_head(const ResponseHead& head, const Headers& extra) {
  std::string out = fmt::format("{}{} {}\r\nDate: {}\r\n", kHeadBegin, head.status,
                                status_text(head.status), http_date());
  if (!head.content_type.empty())
    out +=
        fmt::format("Content-Type: {}\r\nX-Content-Type-Options: nosniff\r\n", head.content_type);
  if (head.content_length >= 0) out += fmt::format("Content-Length: {}\r\n", head.content_length);
  if (head.chunked) out += "Transfer-Encoding: chunked\r\n";
  if (!head.request_id.empty()) out += fmt::format("X-Request-Id: {}\r\n", head.request_id);
  if (!head.keep_alive) out += "Connection: close\r\n";
  for (const auto& [name, value] : extra) {
    CHECK(value.find_first_of("\r\n") == value.npos, "line break in a response header");
    out += fmt::format("{}: {}\r\n", name, value);
  }
  return out + "\r\n";
}

Headers error_headers(const Error& error) {
  if (error.kind == ErrorKind::kRateLimited) return {{"Retry-After", "1"}};
  if (error.kind == ErrorKind::kUnavailable) return {{"Retry-After", "5"}};
  if (error.kind == ErrorKind::kUnauthenticated) return {{"WWW-Authenticate", "Bearer"}};
  return {};
}

std::shared_ptr<ResponseWriter> make_writer(std::shared_ptr<ResponseChannel> channel) {
  return std::make_shared<ChannelWriter>(std::move(channel));
}

void ResponseChannel::push(std::string bytes) {
  if (closed_ || bytes.empty()) return;
  backlog_ += bytes.size();
  if (!queue_.empty() && queue_.back().size() + bytes.size() <= kJoinBytes)
    queue_.back() += bytes;
  else
    queue_.push_back(std::move(bytes));
}

void ResponseChannel::push_chunk(std::string_view piece) {
  if (options_.head_only || piece.empty()) return;
  push(options_.can_chunk ? fmt::format("{:x}\r\n{}\r\n", piece.size(), piece)
                          : std::string(piece));
}

std::function<void()> ResponseChannel::complete() {
  state_ = State::kComplete;
  options_.slot = {};
  wake();
  return std::exchange(callback_, nullptr);
}

void ResponseChannel::wake() {
  if (closed_ || woken_) return;
  woken_ = true;
  options_.wake();
}

bool ResponseChannel::hold(size_t bytes) {
  std::lock_guard lock(mutex_);
  return bytes <= kSmallBody || share_.grow(bytes);
}

void ResponseChannel::send(int status, std::string_view content_type, std::string body,
                           const Headers& extra) {
  if (!hold(body.size())) return send_error(options_.memory.exhausted());
  std::function<void()> dropped;
  std::lock_guard lock(mutex_);
  CHECK(state_ == State::kUnanswered, "a response was answered twice");
  queue_.reserve(queue_.size() + 2);  // what fails from here on must fail before the first piece
  // That of 304 would be the length of what is not sent.
  const int64_t length = status == 304 ? -1 : static_cast<int64_t>(body.size());
  std::string head = response_head({.status = status,
                                    .content_type = content_type,
                                    .content_length = length,
                                    .keep_alive = options_.keep_alive,
                                    .request_id = options_.request_id},
                                   extra);
  status_ = status;
  push(head.substr(probed_bytes_));
  if (!options_.head_only) push(std::move(body));
  dropped = complete();
}

void ResponseChannel::send_error(const Error& error) {
  note_error(error);
  send(http_status(error.kind), "application/json", error_body(error, options_.errors),
       error_headers(error));
}

void ResponseChannel::start_stream(std::string_view content_type, const Headers& extra) {
  std::lock_guard lock(mutex_);
  CHECK(state_ == State::kUnanswered, "a response was answered twice");
  state_ = State::kStreaming;
  status_ = 200;
  sends_events_ = content_type.starts_with("text/event-stream");
  if (!options_.can_chunk) options_.keep_alive = false;
  const std::string head = response_head({.status = 200,
                                          .content_type = content_type,
                                          .chunked = options_.can_chunk,
                                          .keep_alive = options_.keep_alive,
                                          .request_id = options_.request_id},
                                         extra);
  push(head.substr(probed_bytes_));
  wake();
}

bool ResponseChannel::write(std::string_view piece) {
  std::lock_guard lock(mutex_);
  CHECK(state_ == State::kStreaming, "write() outside of a stream");
  if (closed_ || cut_) return false;
  const bool too_much = backlog_ > 0 && backlog_ + piece.size() > options_.max_backlog;
  if (too_much || !share_.grow(piece.size())) {
    cut_ = true;
    wake();
    return false;
  }
  push_chunk(piece);
  wake();
  return true;
}

void ResponseChannel::finish() {
  std::function<void()> dropped;
  std::lock_guard lock(mutex_);
  CHECK(state_ == State::kStreaming, "finish() outside of a stream");
  if (options_.can_chunk && !options_.head_only) push("0\r\n\r\n");
  dropped = complete();
}

void ResponseChannel::finish_failed(const Error& error) {
  note_error(error);
  finish();
}

void ResponseChannel::note_error(const Error& error) {
  std::lock_guard lock(mutex_);
  error_reason_ = error_reason(error);
}

void ResponseChannel::abandon() {
  bool unanswered = false;
  std::function<void()> dropped;
  {
    std::lock_guard lock(mutex_);
    unanswered = state_ == State::kUnanswered;
    if (state_ == State::kStreaming) {
      cut_ = true;
      dropped = complete();
    }
  }
  if (unanswered) send_error(internal_error("the request ended without an answer"));
}

void ResponseChannel::on_disconnect(std::function<void()> callback) {
  {
    std::lock_guard lock(mutex_);
    if (state_ == State::kComplete) return;
    if (!closed_) {
      callback_ = std::move(callback);
      return;
    }
  }
  callback();
}

ResponseChannel::Output ResponseChannel::take() {
  std::lock_guard lock(mutex_);
  woken_ = false;
  return {.pieces = std::exchange(queue_, {}),
          .complete = state_ == State::kComplete,
          .cut = cut_,
          .status = status_,
          .error_reason = error_reason_,
          .keep_alive = options_.keep_alive};
}

void ResponseChannel::written(size_t bytes) {
  std::lock_guard lock(mutex_);
  backlog_ -= bytes;
  share_.shrink_to(backlog_);
}

void ResponseChannel::probe() {
  std::lock_guard lock(mutex_);
  if (state_ == State::kUnanswered && probed_bytes_ < kHeadBegin.size())
    push(std::string(1, kHeadBegin[probed_bytes_++]));
  if (state_ == State::kStreaming && sends_events_) push_chunk(":\n\n");
}

void ResponseChannel::close() {
  std::function<void()> callback;
  {
    std::lock_guard lock(mutex_);
    closed_ = true;
    queue_.clear();
    options_.wake = nullptr;
    options_.open = {};
    share_ = {};
    if (state_ != State::kComplete) callback = std::exchange(callback_, nullptr);
  }
  if (callback) callback();
}

}  // namespace ernie::http
