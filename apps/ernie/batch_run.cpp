#include "batch_run.h"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <utility>
#include <vector>

#include "base/result.h"
#include "http/error.h"
#include "http/message.h"
#include "http/wire/parse.h"

namespace ernie::app {
namespace {

namespace json = boost::json;
using namespace std::chrono_literals;

constexpr auto kProgressPause = 2s;
constexpr int kRateLimited = 429;

const json::value* member(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value && !value->is_null() ? value : nullptr;
}

std::string string_member(const json::object& object, std::string_view key) {
  const json::value* value = member(object, key);
  return value && value->is_string() ? std::string(value->as_string()) : "";
}

std::ifstream open_input(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw StartError(path + ": cannot be read: " + std::strerror(errno));
  return in;
}

// Why a line is no request; empty if it is one.
std::string fault_of(const std::string& line, std::set<std::string>& ids) {
  const auto parsed = http::parse_json_object(line);
  if (!parsed) return "is no JSON object: " + parsed.error().message;
  const std::string id = string_member(*parsed, "custom_id");
  if (id.empty()) return "needs a \"custom_id\", a string";
  if (!ids.insert(id).second) return "has the custom_id \"" + id + "\" of an earlier line";
  if (string_member(*parsed, "method") != "POST") return "needs \"method\": \"POST\"";
  if (string_member(*parsed, "url").empty()) return "needs a \"url\" such as /v1/chat/completions";
  const json::value* body = member(*parsed, "body");
  if (!body || !body->is_object()) return "needs a \"body\", an object";
  const json::value* stream = member(body->as_object(), "stream");
  if (stream && *stream != false) return "cannot be streamed: leave \"stream\" out";
  return {};
}

bool is_blank(const std::string& line) {
  return line.find_first_not_of(" \t\r") == std::string::npos;
}

// One request of the batch: waits for its answer.
struct Line {
  std::string id;
  std::string url;
  std::string body;
  std::string request_id;
  int status = 0;
  std::string answer;  // JSON
};

// What runs, and what has ended.
class Running {
 public:
  void begin() {
    std::lock_guard lock(mutex_);
    ++running_;
  }
  void end(Line line) {
    std::lock_guard lock(mutex_);
    --running_;
    ended_.push_back(std::move(line));
    changed_.notify_all();
  }
  size_t count() {
    std::lock_guard lock(mutex_);
    return running_;
  }
  // What has ended, after a wait if nothing has.
  std::vector<Line> take() {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, 100ms, [&] { return !ended_.empty(); });
    return std::exchange(ended_, {});
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  size_t running_ = 0;
  std::vector<Line> ended_;
};

// Takes the answer of a route.
class LineWriter : public http::ResponseWriter {
 public:
  LineWriter(Line line, std::shared_ptr<Running> running)
      : line_(std::move(line)), running_(std::move(running)) {}
  ~LineWriter() override {
    if (running_) send_error(internal_error("the request ended without an answer"));
  }

  void send(int status, std::string_view, std::string body, const http::Headers&) override {
    line_.status = status;
    line_.answer = std::move(body);
    std::exchange(running_, nullptr)->end(std::move(line_));
  }
  void send_error(const Error& error) override {
    send(http::http_status(error.kind), "application/json", http::error_body(error), {});
  }
  void start_stream(std::string_view, const http::Headers&) override {
    send_error(internal_error("the answer is a stream"));
  }
  bool write(std::string_view) override { return false; }
  void finish() override {}
  void on_disconnect(std::function<void()>) override {}

 private:
  Line line_;
  std::shared_ptr<Running> running_;
};

void begin(Line line, const http::Router& router, const BatchOptions& options, size_t number,
           const std::shared_ptr<Running>& running) {
  http::HttpRequest request{.method = "POST",
                            .path = line.url,
                            .query = {},
                            .headers = {{"content-type", "application/json"}},
                            .body = line.body,
                            .body_bytes = *options.memory.held->acquire(0),
                            .request_id = fmt::format("batch-{}", number)};
  line.request_id = request.request_id;
  const http::Route* route = router.find("POST", line.url);
  running->begin();
  auto writer = std::make_shared<LineWriter>(std::move(line), running);
  if (!route || !route->options.is_inference) {
    return writer->send_error(
        {ErrorKind::kNotFound, "there is no such route for batches", "url", "not_found"});
  }
  if (!request.body_bytes.grow(request.body.size())) {
    return writer->send_error(options.memory.exhausted());
  }
  route->handler(std::move(request), writer);
}

std::string output_line(const Line& line) {
  const std::string head =
      json::serialize(json::object{{"id", "batch_req_" + line.request_id}, {"custom_id", line.id}});
  return fmt::format(
      R"({},"response":{{"status_code":{},"request_id":"{}","body":{}}},"error":null}})"
      "\n",
      std::string_view(head).substr(0, head.size() - 1), line.status, line.request_id, line.answer);
}

}  // namespace

BatchPlan plan_batch(const BatchFiles& files) {
  BatchPlan plan;
  std::set<std::string> ids;
  std::ifstream in = open_input(files.input);
  std::string line;
  for (size_t number = 1; std::getline(in, line); ++number) {
    if (is_blank(line)) continue;
    if (const std::string fault = fault_of(line, ids); !fault.empty()) {
      throw StartError(fmt::format("{}, line {}: {}", files.input, number, fault));
    }
    ++plan.lines;
  }
  if (plan.lines == 0) throw StartError(files.input + ": holds no request");

  std::ifstream out(files.output, std::ios::binary);
  uintmax_t whole = 0;
  while (out && std::getline(out, line) && !out.eof()) {
    const auto parsed = http::parse_json_object(line);
    const std::string id = parsed ? string_member(*parsed, "custom_id") : "";
    if (!ids.contains(id)) {
      throw StartError(
          fmt::format("{}: holds a line that answers none of {}; give another --output-file",
                      files.output, files.input));
    }
    plan.done.insert(id);
    whole += line.size() + 1;
  }
  out.close();
  if (std::filesystem::exists(files.output)) std::filesystem::resize_file(files.output, whole);
  return plan;
}

BatchResult run_batch(const BatchFiles& files, const BatchPlan& plan, const http::Router& router,
                      const BatchOptions& options) {
  std::ifstream in = open_input(files.input);
  std::ofstream out(files.output, std::ios::binary | std::ios::app);
  BatchResult result{.answered = plan.done.size()};
  const auto running = std::make_shared<Running>();
  std::vector<Line> again;  // there was no room for them
  size_t number = 0;
  auto next_progress = std::chrono::steady_clock::now() + kProgressPause;

  const auto next = [&]() -> std::optional<Line> {
    if (!again.empty()) {
      Line line = std::move(again.back());
      again.pop_back();
      return line;
    }
    std::string text;
    while (std::getline(in, text)) {
      if (is_blank(text)) continue;
      const json::object request = *http::parse_json_object(text);
      std::string id = string_member(request, "custom_id");
      if (plan.done.contains(id)) continue;
      return Line{std::move(id), string_member(request, "url"),
                  json::serialize(request.at("body"))};
    }
    return std::nullopt;
  };

  bool more = true;
  size_t room = options.parallel;
  while (more || running->count() > 0 || !again.empty()) {
    while (!options.stop() && (more || !again.empty()) && running->count() < room) {
      std::optional<Line> line = next();
      more = line || more;
      if (!line) {
        more = false;
        break;
      }
      begin(std::move(*line), router, options, ++number, running);
    }
    if (options.stop() && running->count() == 0) break;
    for (Line& line : running->take()) {
      const size_t others = running->count();
      if (line.status == kRateLimited && others > 0) {
        room = others;  // until one more has ended
        again.push_back(std::move(line));
        continue;
      }
      room = options.parallel;
      out << output_line(line) << std::flush;
      if (!out)
        throw std::runtime_error(files.output + ": cannot be written: " + std::strerror(errno));
      ++result.answered;
      result.failed += line.status != 200;
    }
    if (std::chrono::steady_clock::now() >= next_progress) {
      next_progress += kProgressPause;
      options.progress(result.answered, result.failed);
    }
  }
  return result;
}

}  // namespace ernie::app
