#include "http/api/request.h"

#include <boost/json/value.hpp>
#include <chrono>
#include <mutex>
#include <set>

#include "base/failure.h"
#include "base/log.h"
#include "http/wire/field_reader.h"

namespace ernie::http {

int64_t unix_now() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

Handler on_pool(std::shared_ptr<const ApiContext> context, Serve serve) {
  return [context, serve](HttpRequest request, std::shared_ptr<ResponseWriter> writer) {
    auto watch = Watch::over(*writer);
    auto shared = std::make_shared<HttpRequest>(std::move(request));
    const auto task = [context, serve, shared, writer, watch] {
      if (watch->gone()) return;
      try {
        if (auto s = serve(*context, *shared, writer, watch); !s) writer->send_error(s.error());
      } catch (const std::exception& e) {
        writer->send_error(failure_of_request(e));
      }
    };
    if (!context->service->post(shared->client, task))
      writer->send_error(
          {ErrorKind::kUnavailable, "the server is shutting down", {}, "shutting_down"});
  };
}

Error model_not_served(const ApiContext& context, const std::string& model) {
  return {ErrorKind::kNotFound,
          "the model " + describe(boost::json::value(model)) +
              " is not served here; this server has \"" + context.model_name + "\"",
          "model", "model_not_support"};
}

Status check_model(const ApiContext& context, const std::string& model) {
  const bool any = !context.check_model_name || model.empty() || model == "default";
  if (any || model == context.model_name) return {};
  return model_not_served(context, model);
}

void warn_unknown_fields(const std::vector<std::string>& names) {
  static std::mutex mutex;
  static std::set<std::string> seen;
  std::lock_guard lock(mutex);
  for (const std::string& name : names) {
    if (seen.size() >= 100 || !seen.insert(name.substr(0, 64)).second) continue;
    std::string shown = name.substr(0, 64);
    for (char& c : shown) {
      if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7f) c = '?';
    }
    log::warn("requests carry the field \"{}\", which this server does not know and ignores",
              shown);
  }
}

void set_owner(const ApiContext& context, const HttpRequest& http,
               const std::shared_ptr<Watch>& watch, const char* id_prefix,
               serve::GenerationOptions& options) {
  std::string id = options.request_id.empty() ? http.request_id : options.request_id;
  options.request_id = id_prefix + id;
  options.client = http.client;
  if (context.cache_salt_by_key) {
    // Which the gate has checked.
    options.cache_salt +=
        " of " + std::string(http.header("authorization")) + std::string(http.header("x-api-key"));
  }
  context.under_way->add(http.client, options.request_id, std::move(id), watch);
}

}  // namespace ernie::http
