#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/fair_limiter.h"
#include "base/limiter.h"
#include "base/request_memory.h"
#include "http/error.h"
#include "http/message.h"

namespace ernie::http {

// The bytes of a response up to and including the blank line. `content_length` < 0: no such header.
struct ResponseHead {
  int status = 200;
  std::string_view content_type;  // empty: none
  int64_t content_length = -1;
  bool chunked = false;
  bool keep_alive = true;
  std::string_view request_id;
};
std::string response_head(const ResponseHead& head, const Headers& extra = {});

// Headers that belong to an error answer.
Headers error_headers(const Error& error);

// Carries one answer from whatever thread writes it to the connection that sends it. Thread-safe.
class ResponseChannel {
 public:
  struct Options {
    std::string request_id;
    ErrorForm errors = ErrorForm::kOpenAi;
    bool keep_alive = true;
    bool head_only = false;  // HEAD: the body is dropped
    bool can_chunk = true;   // false for HTTP/1.0: a stream ends with the connection
    size_t max_backlog = 0;
    std::function<void()> wake;  // tells the connection to look; must not block
    FairLimiter::Share slot;     // given back when the answer is complete
    Limiter::Share open;         // given back with the channel
    RequestMemory memory;        // of all requests; bytes not sent yet take their share
  };
  explicit ResponseChannel(Options options)
      : options_(std::move(options)), share_(*options_.memory.held->acquire(0)) {}

  // What ResponseWriter promises.
  void send(int status, std::string_view content_type, std::string body, const Headers& extra);
  void send_error(const Error& error);
  void start_stream(std::string_view content_type, const Headers& extra);
  bool write(std::string_view piece);
  void finish();
  void finish_failed(const Error& error);
  void on_disconnect(std::function<void()> callback);
  void abandon();  // the writer was dropped

  // For the connection.
  struct Output {
    std::vector<std::string> pieces;
    bool complete = false;     // nothing will follow
    bool cut = false;          // the connection must be cut: over the backlog, or abandoned
    int status = 0;            // 0 until the head is among the pieces taken
    std::string error_reason;  // of an answer that is an error or ends with one
    bool keep_alive = false;
  };
  Output take();
  void written(size_t bytes);  // counts against the backlog until then
  // Puts something out for a client that sends nothing more, to find out whether it still listens
  // (see ClientSocket): the next byte of what every answer begins with, or a comment in a stream of
  // events. Nothing when the answer is there, or no such byte is left.
  void probe();
  void close();  // calls the callback; output goes nowhere from now on

 private:
  enum class State { kUnanswered, kStreaming, kComplete };

  bool hold(size_t bytes);              // takes the lock itself
  void note_error(const Error& error);  // the same
  void push(std::string bytes);         // with the lock held, as the next ones
  void push_chunk(std::string_view piece);
  // Returns what must be destroyed without the lock: its destructor may come back here.
  [[nodiscard]] std::function<void()> complete();
  void wake();

  std::mutex mutex_;
  Options options_;
  State state_ = State::kUnanswered;
  std::vector<std::string> queue_;
  size_t backlog_ = 0;
  Limiter::Share share_;  // of the backlog
  int status_ = 0;
  std::string error_reason_;
  size_t probed_bytes_ = 0;  // of the head that are out already
  bool sends_events_ = false;
  bool cut_ = false;
  bool closed_ = false;
  bool woken_ = false;
  std::function<void()> callback_;
};

// A ResponseWriter over a channel.
std::shared_ptr<ResponseWriter> make_writer(std::shared_ptr<ResponseChannel> channel);

}  // namespace ernie::http
