#include "http/recent_errors.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

namespace ernie::http {

namespace json = boost::json;
using std::chrono::system_clock;

void RecentErrors::add(const AccessRecord& record) {
  if (record.error_reason.empty()) return;
  std::lock_guard lock(mutex_);
  int count = 1;
  const auto same = std::ranges::find_if(entries_, [&](const Entry& entry) {
    const AccessRecord& r = entry.record;
    return r.path == record.path && r.method == record.method && r.status == record.status &&
           r.error_reason == record.error_reason;
  });
  if (same != entries_.end()) {
    count += same->count;
    entries_.erase(same);
  }
  entries_.push_front({system_clock::now(), record, count});
  if (entries_.size() > kKept) entries_.pop_back();
}

std::string RecentErrors::to_json() const {
  json::array errors;
  std::lock_guard lock(mutex_);
  for (const auto& [time, r, count] : entries_) {
    const std::chrono::duration<double> since_epoch = time.time_since_epoch();
    errors.push_back(json::object{{"time", since_epoch.count()},
                                  {"method", r.method},
                                  {"path", r.path},
                                  {"status", r.status},
                                  {"reason", r.error_reason},
                                  {"count", count},
                                  {"request_id", r.request_id}});
  }
  return json::serialize(json::object{{"errors", std::move(errors)}});
}

}  // namespace ernie::http
