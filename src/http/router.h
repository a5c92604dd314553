#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "http/error.h"
#include "http/message.h"

namespace ernie::http {

// What the server checks before a handler is called. The defaults are the guarded ones.
struct RouteOptions {
  bool requires_key = true;    // when the server has keys
  bool requires_json = false;  // 415 unless Content-Type is application/json
  bool is_inference = false;   // counts against max_concurrency; refused with 503 while draining
  size_t max_body_bytes = 0;   // 0: the server's limit; a smaller one wins
  ErrorForm errors = ErrorForm::kOpenAi;
};

struct Route {
  std::string method;
  std::string path;  // compared exactly, case counts; "/a/*": all paths below /a
  RouteOptions options;
  Handler handler;

  bool matches(std::string_view request_path) const;
};

// The table of routes. Filled once, then read by any number of threads.
class Router {
 public:
  // HEAD comes with GET, OPTIONS with every path; a second route of the same method and path is a
  // programmer error.
  void add(std::string method, std::string path, RouteOptions options, Handler handler);

  // The route for a request, HEAD taken as GET. Null: see `allow()`.
  const Route* find(std::string_view method, std::string_view path) const;

  // The first route of a path, whatever its method; null for an unknown path (404).
  const Route* find_path(std::string_view path) const;

  // The Allow header of a path: "GET, HEAD, OPTIONS". Empty for an unknown path.
  std::string allow(std::string_view path) const;

  const std::vector<Route>& routes() const { return routes_; }

 private:
  std::vector<Route> routes_;
};

}  // namespace ernie::http
