#include "http/error.h"

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

namespace ernie::http {
namespace json = boost::json;

int http_status(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kInvalidArgument:
      return 400;
    case ErrorKind::kUnauthenticated:
      return 401;
    case ErrorKind::kPermissionDenied:
      return 403;
    case ErrorKind::kNotFound:
      return 404;
    case ErrorKind::kMethodNotAllowed:
      return 405;
    case ErrorKind::kTimeout:
      return 408;
    case ErrorKind::kTooLarge:
      return 413;
    case ErrorKind::kUnsupportedMedia:
      return 415;
    case ErrorKind::kHeaderTooLarge:
      return 431;
    case ErrorKind::kRateLimited:
      return 429;
    case ErrorKind::kInternal:
      return 500;
    case ErrorKind::kUnavailable:
      return 503;
  }
  return 500;
}

std::string_view error_type(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kUnauthenticated:
      return "authentication_error";
    case ErrorKind::kPermissionDenied:
      return "permission_error";
    case ErrorKind::kNotFound:
      return "not_found_error";
    case ErrorKind::kTimeout:
      return "timeout_error";
    case ErrorKind::kRateLimited:
      return "rate_limit_error";
    case ErrorKind::kInternal:
      return "server_error";
    case ErrorKind::kUnavailable:
      return "overloaded_error";
    case ErrorKind::kInvalidArgument:
    case ErrorKind::kMethodNotAllowed:
    case ErrorKind::kTooLarge:
    case ErrorKind::kUnsupportedMedia:
    case ErrorKind::kHeaderTooLarge:
      return "invalid_request_error";
  }
  return "server_error";
}

namespace {

std::string_view anthropic_type(ErrorKind kind) {
  if (kind == ErrorKind::kTooLarge) return "request_too_large";
  if (kind == ErrorKind::kInternal || kind == ErrorKind::kTimeout) return "api_error";
  return error_type(kind);
}

}  // namespace

std::string error_body(const Error& error, ErrorForm form) {
  const bool anthropic = form == ErrorForm::kAnthropic;
  const auto or_null = [](const std::string& s) {
    return s.empty() ? json::value(nullptr) : json::value(s);
  };
  json::object body;
  if (anthropic) body["type"] = "error";
  body["error"] = {{"message", error.message},
                   {"type", anthropic ? anthropic_type(error.kind) : error_type(error.kind)},
                   {"param", or_null(error.param)},
                   {"code", or_null(error.code)}};
  // Where Anthropic's client looks for what it can work around.
  if (anthropic && !error.code.empty()) {
    body["error"].as_object()["details"] = {{"error_code", error.code}};
  }
  return json::serialize(body);
}

std::string error_reason(const Error& error) {
  return error.code.empty() ? std::string(error_type(error.kind)) : error.code;
}

std::string_view status_text(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 204:
      return "No Content";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 406:
      return "Not Acceptable";
    case 408:
      return "Request Timeout";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 503:
      return "Service Unavailable";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Unknown";
  }
}

}  // namespace ernie::http
