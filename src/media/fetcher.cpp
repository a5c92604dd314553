#include "media/fetcher.h"

#include <curl/curl.h>

#include <algorithm>
#include <list>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "base/failure.h"
#include "base/fair_limiter.h"
#include "base/thread_name.h"
#include "media/http_fetch.h"

namespace ernie::media {
namespace {

constexpr int kPollMs = 20;       // how soon a cancellation is seen
constexpr int kIdleMs = 600'000;  // without fetches there is none

struct MultiDeleter {
  void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};

Error shutting_down() {
  return {ErrorKind::kUnavailable, "the server is shutting down", {}, "shutting_down"};
}

struct Fetch {
  ClientId client = 0;
  std::string url;
  const std::atomic<bool>* cancelled = nullptr;
  Fetcher::Done done;
  std::optional<FairLimiter::Share> turn;
  std::unique_ptr<HttpFetch> http;  // with a turn

  void end(Result<FetchedMedia> result) const {
    try {
      done(std::move(result));
    } catch (const std::exception& e) {
      log::error("the end of a fetch failed: {}", e.what());
    }
  }
};

}  // namespace

class Fetcher::Loop {
 public:
  Loop(FetchPolicy policy, RequestMemory memory)
      : policy_(std::move(policy)),
        memory_(std::move(memory)),
        turns_(std::make_shared<FairLimiter>(policy_.max_transfers,
                                             policy_.max_transfers_per_client)) {
    static const CURLcode started = curl_global_init(CURL_GLOBAL_DEFAULT);
    multi_.reset(started == CURLE_OK ? curl_multi_init() : nullptr);
    if (!multi_) throw StartError("libcurl, which fetches media, does not start");
    curl_multi_setopt(multi_.get(), CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
    thread_ = std::thread([this] { run(); });
  }

  void add(Fetch fetch) {
    std::list<Fetch> one;
    one.push_back(std::move(fetch));
    {
      std::lock_guard lock(mutex_);
      if (!stopping_) arrived_.splice(arrived_.end(), one);
    }
    for (const Fetch& refused : one) refused.end(shutting_down());
    curl_multi_wakeup(multi_.get());
  }

  void stop() {
    {
      std::lock_guard lock(mutex_);
      if (std::exchange(stopping_, true)) return;
    }
    curl_multi_wakeup(multi_.get());
    thread_.join();
  }

 private:
  using Place = std::list<Fetch>::iterator;

  void run() {
    set_thread_name("ernie-fetch");
    while (take_arrived()) {
      for (Place it = fetches_.begin(); it != fetches_.end();) {
        const Place fetch = it++;
        if (fetch->cancelled->load()) {
          end(fetch, request_cancelled());
        } else if (!fetch->turn) {
          begin_if_there_is_room(fetch);
        }
      }
      transfer();
      curl_multi_poll(multi_.get(), nullptr, 0, fetches_.empty() ? kIdleMs : kPollMs, nullptr);
    }
    while (!fetches_.empty()) end(fetches_.begin(), shutting_down());
  }

  // False when the loop is to end.
  bool take_arrived() {
    std::lock_guard lock(mutex_);
    fetches_.splice(fetches_.end(), arrived_);
    return !stopping_;
  }

  void begin_if_there_is_room(Place fetch) {
    try {
      fetch->turn = turns_->acquire(fetch->client);
      if (!fetch->turn) return;
      fetch->http = std::make_unique<HttpFetch>(std::move(fetch->url), policy_, memory_);
      begin_request(fetch);
    } catch (const std::exception& e) {
      end(fetch, failure_of_request(e));
    }
  }

  void begin_request(Place fetch) {
    if (const Status begun = fetch->http->begin(); !begun) return end(fetch, begun.error());
    const CURLMcode code = curl_multi_add_handle(multi_.get(), fetch->http->handle());
    if (code != CURLM_OK) end(fetch, internal_error("libcurl takes no transfer"));
  }

  // Moves what can be moved without waiting.
  void transfer() {
    int running = 0;
    if (const CURLMcode code = curl_multi_perform(multi_.get(), &running); code != CURLM_OK) {
      log::error("libcurl failed: {}", curl_multi_strerror(code));
    }
    int queued = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi_.get(), &queued)) {
      if (message->msg != CURLMSG_DONE) continue;
      const CURLcode code = message->data.result;
      const Place fetch = std::ranges::find_if(fetches_, [&](const Fetch& of) {
        return of.http && of.http->handle() == message->easy_handle;
      });
      curl_multi_remove_handle(multi_.get(), message->easy_handle);
      request_ended(fetch, code);
    }
  }

  void request_ended(Place fetch, CURLcode code) {
    try {
      auto result = fetch->http->end(code);
      if (result) return end(fetch, std::move(*result));
      begin_request(fetch);
    } catch (const std::exception& e) {
      end(fetch, failure_of_request(e));
    }
  }

  void end(Place fetch, Result<FetchedMedia> result) {
    if (fetch->http) curl_multi_remove_handle(multi_.get(), fetch->http->handle());
    std::list<Fetch> one;
    one.splice(one.end(), fetches_, fetch);
    fetch->turn.reset();
    fetch->http.reset();
    fetch->end(std::move(result));
  }

  const FetchPolicy policy_;
  const RequestMemory memory_;
  const std::shared_ptr<FairLimiter> turns_;
  std::unique_ptr<CURLM, MultiDeleter> multi_;
  std::list<Fetch> fetches_;  // of the thread; in order of arrival

  std::mutex mutex_;
  std::list<Fetch> arrived_;
  bool stopping_ = false;
  std::thread thread_;
};

Fetcher::Fetcher(FetchPolicy policy, RequestMemory memory)
    : loop_(std::make_unique<Loop>(std::move(policy), std::move(memory))) {}

Fetcher::~Fetcher() { stop(); }

void Fetcher::fetch(ClientId client, std::string url, const std::atomic<bool>& cancelled,
                    Done done) {
  loop_->add({client, std::move(url), &cancelled, std::move(done), {}, {}});
}

void Fetcher::stop() { loop_->stop(); }

}  // namespace ernie::media
