#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/client_id.h"
#include "base/result.h"
#include "http/message.h"
#include "serve/output.h"

namespace ernie::http {

// Keeps a generation and its client together: a client that leaves cancels it. Lives as long as the
// request is under way. Thread-safe.
class Watch {
 public:
  static std::shared_ptr<Watch> over(ResponseWriter& writer);

  void set(std::shared_ptr<serve::Generation> generation);
  bool gone();

  // Ends the generation, whether it is set already or will be, with this answer.
  void abort(const Error& error);

  // Keeps something for as long as the request is under way. Called before set().
  void keep(std::shared_ptr<void> held) { held_ = std::move(held); }

 private:
  void leave();
  static void end(serve::Generation& generation, const std::optional<Error>& error);

  std::mutex mutex_;
  bool gone_ = false;
  std::optional<Error> aborted_;
  std::shared_ptr<serve::Generation> generation_;
  std::shared_ptr<void> held_;
};

// What an aborted request is answered that has nothing to show, or no way to.
Error aborted();

// The requests under way, by client and id. Thread-safe.
class UnderWay : public std::enable_shared_from_this<UnderWay> {
 public:
  // Until `watch` goes. A request is found by the id of its answer, or by the one it came with.
  void add(ClientId client, std::string answer_id, std::string request_id,
           const std::shared_ptr<Watch>& watch);

  // Ends those of a client that have this id, or all of them, and returns the ids of their answers.
  std::vector<std::string> abort(ClientId client, std::optional<std::string_view> id);

 private:
  struct Entry {
    ClientId client = 0;
    std::string answer_id;
    std::string request_id;
    std::weak_ptr<Watch> watch;
  };

  std::mutex mutex_;
  uint64_t next_ = 0;
  std::map<uint64_t, Entry> entries_;
};

}  // namespace ernie::http
