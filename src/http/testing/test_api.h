#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <utility>

#include "http/api/routes.h"
#include "http/router.h"
#include "http/testing/recording_writer.h"
#include "serve/testing/test_service.h"

namespace ernie::http {

inline serve::Script text_script(const std::string& text) {
  return {.tokens = serve::tokens(serve::ids(text))};
}

// A service behind its routes.
class Api {
 public:
  explicit Api(serve::FakeEngine::Play play, serve::ServiceConfig config = {},
               std::string model_name = "tiny")
      : service_(std::move(play), std::move(config)) {
    const ApiContext context{.engine = service_.engine.get(),
                             .service = service_.service.get(),
                             .model_name = std::move(model_name),
                             .check_model_name = true};
    register_api(router_, context);
    register_utilities(router_, context);
    register_other_apis(router_, context);
    register_status(router_, *service_.engine, errors, {{"flags", {{"port", 1}}}});
    register_health(router_, *service_.engine, [this] { return ready.load(); });
  }

  void call(const char* method, const char* path, std::string body,
            std::shared_ptr<ResponseWriter> writer, ClientId client = 0) {
    const Route* route = router_.find(method, path);
    ASSERT_NE(route, nullptr) << path;
    HttpRequest request;
    request.path = path;
    request.body = std::move(body);
    request.client = client;
    request.request_id = "req-1";
    route->handler(std::move(request), std::move(writer));
  }
  std::shared_ptr<RecordingWriter> begin(const char* path, std::string body, ClientId client = 0) {
    auto writer = std::make_shared<RecordingWriter>();
    call("POST", path, std::move(body), writer, client);
    return writer;
  }
  std::shared_ptr<RecordingWriter> post(const char* path, std::string body, ClientId client = 0) {
    auto writer = begin(path, std::move(body), client);
    EXPECT_TRUE(writer->wait());
    return writer;
  }
  std::shared_ptr<RecordingWriter> chat(const std::string& fields) {
    return post("/v1/chat/completions",
                R"({"messages":[{"role":"user","content":"Hi"}],"max_tokens":9)" + fields + "}");
  }
  std::shared_ptr<RecordingWriter> get(const char* path) {
    auto writer = std::make_shared<RecordingWriter>();
    call("GET", path, "", writer);
    return writer;
  }

  serve::FakeEngine& engine() { return *service_.engine; }
  serve::TestService& service() { return service_; }
  const Router& router() const { return router_; }

  std::atomic<bool> ready = true;
  RecentErrors errors;

 private:
  serve::TestService service_;
  Router router_;
};

}  // namespace ernie::http
