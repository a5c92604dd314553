#include "http/router.h"

#include "base/check.h"

namespace ernie::http {

bool Route::matches(std::string_view request_path) const {
  if (!path.ends_with("/*")) return request_path == path;
  const std::string_view above = std::string_view(path).substr(0, path.size() - 1);
  return request_path.starts_with(above) && request_path.size() > above.size();
}

void Router::add(std::string method, std::string path, RouteOptions options, Handler handler) {
  for (const Route& route : routes_)
    CHECK(route.method != method || route.path != path, "route added twice: " + path);
  routes_.push_back({std::move(method), std::move(path), options, std::move(handler)});
}

const Route* Router::find(std::string_view method, std::string_view path) const {
  if (method == "HEAD") method = "GET";
  for (const Route& route : routes_)
    if (route.matches(path) && route.method == method) return &route;
  return nullptr;
}

const Route* Router::find_path(std::string_view path) const {
  for (const Route& route : routes_)
    if (route.matches(path)) return &route;
  return nullptr;
}

std::string Router::allow(std::string_view path) const {
  std::string out;
  for (const Route& route : routes_) {
    if (!route.matches(path)) continue;
    out += route.method + ", ";
    if (route.method == "GET") out += "HEAD, ";
  }
  return out.empty() ? out : out + "OPTIONS";
}

}  // namespace ernie::http
