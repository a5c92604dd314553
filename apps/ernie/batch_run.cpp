#include "batch_run.h"

#include <fmt/format.h>

#include <algorithm>
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
#include "http/wire/field_reader.h"
#include "http/wire/parse.h"

namespace ernie::app {
namespace {

namespace json = boost::json;
using namespace std::chrono_literals;

constexpr auto kProgressPause = 2s;
constexpr int kRateLimited = 429;
constexpr size_t kMaxIdBytes = 1024;

std::ifstream open_input(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw StartError(path + ": cannot be read: " + std::strerror(errno));
  return in;
}

bool is_blank(const std::string& line) {
  return line.find_first_not_of(" \t\r") == std::string::npos;
}

// One request of the batch, and its answer.
struct Line {
  std::string id;
  std::string url;
  std::string body;
  std::string request_id;
  bool alone = false;  // nothing else ran when it began
  int status = 0;
  std::string answer;  // JSON
};

Result<Line> read_line(const std::string& text) {
  const auto object = http::parse_json_object(text);
  if (!object) return object.error();
  http::FieldReader fields(*object);
  const auto required = [&](const char* key, std::optional<std::string> value) {
    if (!value) fields.fail(key, "is missing", "missing_required_parameter");
    return value.value_or("");
  };
  Line line;
  line.id = required("custom_id", fields.string("custom_id", kMaxIdBytes));
  const std::string method = fields.string("method", 16).value_or("POST");
  if (method != "POST") fields.fail("method", "should be POST");
  line.url = required("url", fields.string("url", kMaxIdBytes));
  const json::object* body = fields.object("body");
  if (!body) {
    fields.fail("body", "is missing", "missing_required_parameter");
  } else {
    http::FieldReader inner(*body, "body.");
    inner.refuse("stream", "answers go into a file");
    fields.adopt(inner);
    line.body = json::serialize(*body);
  }
  if (Status s = fields.status(); !s) return s.error();
  return line;
}

// What runs, and what has ended.
class Running {
 public:
  void begin() {
    std::lock_guard lock(mutex_);
    ++running_;
  }
  void end(Line line) {
    std::lock_guard lock(mutex_);
    ended_.push_back(std::move(line));
    changed_.notify_all();
  }
  // With those whose answers were not taken yet.
  size_t count() {
    std::lock_guard lock(mutex_);
    return running_;
  }
  // What has ended, after a wait if nothing has.
  std::vector<Line> take() {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, 100ms, [&] { return !ended_.empty(); });
    running_ -= ended_.size();
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
  line.alone = running->count() == 0;
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
    const auto request = read_line(line);
    if (!request) {
      throw StartError(
          fmt::format("{}, line {}: {}", files.input, number, request.error().message));
    }
    if (!ids.insert(request->id).second) {
      throw StartError(fmt::format("{}, line {}: custom_id is \"{}\", which an earlier line has",
                                   files.input, number, request->id));
    }
    ++plan.lines;
  }
  if (plan.lines == 0) throw StartError(files.input + ": holds no request");

  std::ifstream out(files.output, std::ios::binary);
  uintmax_t whole = 0;
  while (out && std::getline(out, line) && !out.eof()) {
    const auto parsed = http::parse_json_object(line);
    std::string id;
    if (parsed) id = http::FieldReader(*parsed).string("custom_id", kMaxIdBytes).value_or("");
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
      Line line = *read_line(text);
      if (!plan.done.contains(line.id)) return line;
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
      if (line.status == kRateLimited && !line.alone) {
        room = std::max<size_t>(running->count(), 1);  // until one more has ended
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
