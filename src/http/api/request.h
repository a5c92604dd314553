#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "http/api/routes.h"
#include "http/api/watch.h"

// What the routes of the API do with a request before and after its own work.
namespace ernie::http {

// One route's work, on the service's pool for text. An error becomes the answer; without one the
// route answers through the writer, now or later.
using Serve = Status (*)(const ApiContext&, HttpRequest&, const std::shared_ptr<ResponseWriter>&,
                         const std::shared_ptr<Watch>&);

// Parsing belongs to the service's pool for text, not to the threads that move bytes.
Handler on_pool(std::shared_ptr<const ApiContext> context, Serve serve);

int64_t unix_now();  // seconds since 1970

Error model_not_served(const ApiContext& context, const std::string& model);
Status check_model(const ApiContext& context, const std::string& model);

// Warns once for each name, for the first hundred names.
void warn_unknown_fields(const std::vector<std::string>& names);

// Reads the body, which is used up.
template <typename Parse>
auto read_body(const ApiContext& context, HttpRequest& request, Parse parse)
    -> decltype(parse(std::declval<const boost::json::object&>())) {
  auto body = parse_json_object(request.body, context.json);
  if (!body) return body.error();
  std::string().swap(request.body);  // its share stays, for the strings that parsing copies
  auto parsed = parse(*body);
  if (parsed) warn_unknown_fields(parsed->unknown_fields);
  return parsed;
}

// Fills in who asks (the client, the id of its answer and whose caches it shares) and lists the
// request among those under way.
void set_owner(const ApiContext& context, const HttpRequest& http,
               const std::shared_ptr<Watch>& watch, const char* id_prefix,
               serve::GenerationOptions& options);

// A chat or completion request, ready for the service.
template <typename Parsed>
Result<Parsed> read_request(const ApiContext& context, HttpRequest& http,
                            const std::shared_ptr<Watch>& watch,
                            Result<Parsed> (*parse)(const boost::json::object&),
                            const char* id_prefix) {
  auto parsed = read_body(context, http, parse);
  if (!parsed) return parsed;
  auto& request = parsed->request;
  if (auto s = check_model(context, request.model); !s) return s.error();
  set_owner(context, http, watch, id_prefix, request.options);
  request.bytes = std::move(http.body_bytes);
  return parsed;
}

}  // namespace ernie::http
