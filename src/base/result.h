#pragma once

#include <exception>
#include <string>
#include <utility>
#include <variant>

namespace ernie {

// What kind of failure an Error is. http/ maps each kind to one status code; nothing else depends
// on HTTP.
enum class ErrorKind {
  kInvalidArgument,   // 400: the caller sent something wrong; `param` names the field
  kUnauthenticated,   // 401
  kPermissionDenied,  // 403
  kNotFound,          // 404
  kMethodNotAllowed,  // 405
  kTimeout,           // 408: a deadline passed
  kTooLarge,          // 413: over a byte limit
  kUnsupportedMedia,  // 415
  kHeaderTooLarge,    // 431
  kRateLimited,       // 429: the queue is full; try again later
  kInternal,          // 500
  kUnavailable,       // 503: starting, draining or dead
};

// A failure that was to be expected. `message` says what was expected, what was found and what to
// do.
struct Error {
  ErrorKind kind = ErrorKind::kInternal;
  std::string message;
  std::string param;  // the request field or flag at fault; empty when none
  std::string code;   // stable machine-readable word, for example "image_too_large"; may be empty
};

inline Error invalid_argument(std::string message, std::string param = {},
                              std::string code = "invalid_value") {
  return {ErrorKind::kInvalidArgument, std::move(message), std::move(param), std::move(code)};
}
inline Error request_cancelled() {
  return {ErrorKind::kUnavailable, "the request was cancelled", {}, "cancelled"};
}
inline Error internal_error(std::string message) {
  return {ErrorKind::kInternal, std::move(message), {}, "internal_error"};
}

// A value of type T or an Error. Test it with `if (!r)`; read it with `*r`, `r->` or `r.error()`.
template <typename T>
class [[nodiscard]] Result {
 public:
  // NOLINTNEXTLINE(google-explicit-constructor)
  Result(T value) : state_(std::move(value)) {}
  // NOLINTNEXTLINE(google-explicit-constructor)
  Result(Error error) : state_(std::move(error)) {}

  explicit operator bool() const { return state_.index() == 0; }
  bool ok() const { return state_.index() == 0; }

  T& operator*() & { return std::get<0>(state_); }
  const T& operator*() const& { return std::get<0>(state_); }
  T&& operator*() && { return std::get<0>(std::move(state_)); }
  T* operator->() { return &std::get<0>(state_); }
  const T* operator->() const { return &std::get<0>(state_); }

  const Error& error() const { return std::get<1>(state_); }

 private:
  std::variant<T, Error> state_;
};

// Success without a value, or an Error.
class [[nodiscard]] Status {
 public:
  Status() = default;
  // NOLINTNEXTLINE(google-explicit-constructor)
  Status(Error error) : error_(std::move(error)), failed_(true) {}

  explicit operator bool() const { return !failed_; }
  bool ok() const { return !failed_; }
  const Error& error() const { return error_; }

 private:
  Error error_;
  bool failed_ = false;
};

// Thrown only while starting (flags, configuration, checkpoint); main() prints it and exits with
// code 2.
class StartError : public std::exception {
 public:
  explicit StartError(std::string message) : message_(std::move(message)) {}
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  std::string message_;
};

// The value, or the error as a StartError.
template <typename T>
T take(Result<T> result) {
  if (!result) throw StartError(result.error().message);
  return *std::move(result);
}
inline void take(const Status& status) {
  if (!status) throw StartError(status.error().message);
}

}  // namespace ernie
