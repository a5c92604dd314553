#include "load_client.h"

#include <curl/curl.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <memory>
#include <random>
#include <semaphore>
#include <thread>
#include <unordered_map>

#include "answer_record.h"
#include "base/queue.h"
#include "base/result.h"
#include "base/thread_name.h"

namespace ernie::app {
namespace {

using Clock = AnswerRecord::Clock;
using std::chrono::milliseconds;

constexpr int kBodiesAhead = 64;
constexpr size_t kMaxReasons = 20;
constexpr auto kReportPause = milliseconds(200);

// Makes bodies on a thread of its own, so that encoding a picture does not hold up the streams.
class BodyMaker {
 public:
  BodyMaker(const LoadRequests& requests, uint64_t first, int count)
      : thread_([this, &requests, first, count] {
          set_thread_name("ernie-load");
          for (int i = 0; i < count; ++i) {
            room_.acquire();
            if (stopped_) return;
            bodies_.push(requests.body(first + static_cast<uint64_t>(i)));
          }
        }) {}
  ~BodyMaker() {
    stopped_ = true;
    room_.release();
    thread_.join();
  }
  BodyMaker(const BodyMaker&) = delete;
  BodyMaker& operator=(const BodyMaker&) = delete;

  void wait_until_ahead(int count) const {
    while (bodies_.size() < static_cast<size_t>(std::min(count, kBodiesAhead)))
      std::this_thread::sleep_for(milliseconds(1));
  }

  std::optional<std::string> take() {
    auto body = bodies_.try_pop();
    if (body) room_.release();
    return body;
  }

 private:
  Queue<std::string> bodies_;
  std::counting_semaphore<kBodiesAhead + 1> room_{kBodiesAhead};
  std::atomic<bool> stopped_ = false;
  std::thread thread_;
};

struct Flight {
  explicit Flight(std::string text) : body(std::move(text)), record(Clock::now()) {}
  std::string body;
  AnswerRecord record;
  int64_t* pieces = nullptr;
  char error[CURL_ERROR_SIZE] = {};
  std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> easy{curl_easy_init(), curl_easy_cleanup};
};

size_t on_bytes(char* data, size_t size, size_t count, void* flight) {
  auto& f = *static_cast<Flight*>(flight);
  const int before = f.record.pieces();
  f.record.receive({data, size * count}, Clock::now());
  *f.pieces += f.record.pieces() - before;
  return size * count;
}

void allow_open_files(int count) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const auto wanted = static_cast<rlim_t>(count) + 64;
  if (limit.rlim_cur >= wanted) return;
  limit.rlim_cur = std::min(wanted, limit.rlim_max);
  setrlimit(RLIMIT_NOFILE, &limit);
}

class LoadRun {
 public:
  LoadRun(const ServeBenchOptions& options, const LoadRequests& requests, uint64_t first, int count,
          const LoadHooks& hooks)
      : options_(options),
        hooks_(hooks),
        count_(count),
        url_(options.url + requests.path()),
        bodies_(requests, first, count),
        arrivals_(options.seed ^ first) {
    allow_open_files(std::min(options.max_concurrency, count));
    headers_.reset(curl_slist_append(headers_.release(), "Content-Type: application/json"));
    headers_.reset(curl_slist_append(headers_.release(), "Expect:"));
    if (!options.api_key.empty())
      headers_.reset(curl_slist_append(headers_.release(),
                                       ("Authorization: Bearer " + options.api_key).c_str()));
    curl_multi_setopt(multi_.get(), CURLMOPT_MAXCONNECTS,
                      static_cast<long>(options.max_concurrency));  // NOLINT(google-runtime-int)
  }
  ~LoadRun() {
    for (auto& [easy, flight] : flights_) curl_multi_remove_handle(multi_.get(), easy);
  }
  LoadRun(const LoadRun&) = delete;
  LoadRun& operator=(const LoadRun&) = delete;

  LoadResult run() {
    bodies_.wait_until_ahead(std::min(count_, options_.max_concurrency));
    begin_ = last_report_ = next_arrival_ = Clock::now();
    while (result_.completed + result_.failed < count_ && !(hooks_.stop && hooks_.stop())) {
      const milliseconds pause = launch_due();
      int running = 0;
      check(curl_multi_perform(multi_.get(), &running));
      const bool ended = collect();
      report();
      if (!ended)
        check(curl_multi_poll(multi_.get(), nullptr, 0, static_cast<int>(pause.count()), nullptr));
    }
    result_.seconds = since_begin();
    result_.cut_off = static_cast<int>(flights_.size());
    return std::move(result_);
  }

 private:
  static void check(CURLMcode code) {
    if (code != CURLM_OK)
      throw std::runtime_error(std::string("libcurl: ") + curl_multi_strerror(code));
  }

  double since_begin() const {
    return std::chrono::duration<double>(Clock::now() - begin_).count();
  }

  // Starts what is due and free to start; how long to wait for the next.
  milliseconds launch_due() {
    while (started_ < count_ && static_cast<int>(flights_.size()) < options_.max_concurrency) {
      const auto now = Clock::now();
      if (now < next_arrival_)
        return std::clamp(std::chrono::ceil<milliseconds>(next_arrival_ - now), milliseconds(1),
                          milliseconds(100));
      auto body = bodies_.take();
      if (!body) return milliseconds(1);
      launch(std::move(*body));
      ++started_;
      if (options_.request_rate > 0)
        next_arrival_ += std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(
            std::exponential_distribution<double>(options_.request_rate)(arrivals_)));
    }
    return milliseconds(100);
  }

  void launch(std::string body) {
    auto flight = std::make_unique<Flight>(std::move(body));
    CURL* easy = flight->easy.get();
    if (easy == nullptr) throw std::runtime_error("libcurl: no memory for a request");
    flight->pieces = &pieces_;
    curl_easy_setopt(easy, CURLOPT_URL, url_.c_str());
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers_.get());
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, 30L);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, flight->error);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                     static_cast<curl_off_t>(flight->body.size()));
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, flight->body.data());
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, flight.get());
    check(curl_multi_add_handle(multi_.get(), easy));
    flights_.emplace(easy, std::move(flight));
    result_.peak_concurrency =
        std::max(result_.peak_concurrency, static_cast<int>(flights_.size()));
  }

  // Takes in the answers that ended; whether there were any.
  bool collect() {
    bool ended = false;
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi_.get(), &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      ended = true;
      CURL* easy = message->easy_handle;
      const CURLcode code = message->data.result;
      const auto node = flights_.extract(easy);
      curl_multi_remove_handle(multi_.get(), easy);
      const Flight& flight = *node.mapped();
      long status = 0;  // NOLINT(google-runtime-int): libcurl's type
      curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
      if (code != CURLE_OK)
        fail(flight.error[0] ? flight.error : curl_easy_strerror(code));
      else if (const auto reason = flight.record.failure(status))
        fail(*reason);
      else
        succeed(flight.record);
    }
    return ended;
  }

  void fail(std::string reason) {
    ++result_.failed;
    if (!result_.failures.count(reason) && result_.failures.size() >= kMaxReasons)
      reason = "other reasons";
    ++result_.failures[reason];
  }

  void succeed(const AnswerRecord& record) {
    ++result_.completed;
    if (record.output_tokens() < 0) ++result_.unreported;
    const int tokens = record.output_tokens() < 0 ? record.pieces() : record.output_tokens();
    result_.output_tokens += tokens;
    result_.prompt_tokens += std::max(record.prompt_tokens(), 0);
    result_.ttft.add(record.ttft());
    result_.e2el.add(record.latency());
    if (tokens > 1) result_.tpot.add((record.latency() - record.ttft()) / (tokens - 1));
    for (const float gap : record.gaps()) result_.itl.add(gap);
  }

  void report() {
    const auto now = Clock::now();
    if (!hooks_.progress || now < last_report_ + kReportPause) return;
    last_report_ = now;
    hooks_.progress({result_.completed, result_.failed, static_cast<int>(flights_.size()), pieces_,
                     since_begin()});
  }

  const ServeBenchOptions& options_;
  const LoadHooks& hooks_;
  const int count_;
  const std::string url_;
  BodyMaker bodies_;
  std::mt19937_64 arrivals_;
  std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> headers_{nullptr,
                                                                       curl_slist_free_all};
  std::unique_ptr<CURLM, decltype(&curl_multi_cleanup)> multi_{curl_multi_init(),
                                                               curl_multi_cleanup};
  std::unordered_map<CURL*, std::unique_ptr<Flight>> flights_;
  LoadResult result_;
  int started_ = 0;
  int64_t pieces_ = 0;
  Clock::time_point begin_, last_report_, next_arrival_;
};

}  // namespace

LoadResult run_load(const ServeBenchOptions& options, const LoadRequests& requests, uint64_t first,
                    int count, const LoadHooks& hooks) {
  return LoadRun(options, requests, first, count, hooks).run();
}

}  // namespace ernie::app
