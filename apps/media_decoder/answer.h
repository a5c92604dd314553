#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <variant>

#include "media/decode_job.h"

namespace ernie::media {

// What is wrong with a file; codes as media/image.h has them.
struct Fault {
  const char* code = "invalid_video";
  std::string message;
};

// Why frames of so many pixels are refused, if they are. `code` as in Fault.
std::optional<Fault> check_size(const char* code, int64_t width, int64_t height,
                                const JobRequest& limits);

template <typename T>
using Outcome = std::variant<T, Fault>;

// Writes the parts of an answer. A server that has gone ends the process.
class Answer {
 public:
  explicit Answer(int socket) : socket_(socket) {}

  void begun();
  void info(const VideoFacts& facts);
  void frame(std::span<const uint8_t> rgb);
  void fault(const Fault& fault);

 private:
  void part(PartKind kind, const void* data, size_t bytes);
  void write_all(const void* data, size_t bytes);

  int socket_;
};

}  // namespace ernie::media
