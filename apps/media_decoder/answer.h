#pragma once

#include <cstdint>
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

template <typename T>
using Outcome = std::variant<T, Fault>;

// Writes the parts of an answer. A server that has gone ends the process.
class Answer {
 public:
  explicit Answer(int socket) : socket_(socket) {}

  void info(const VideoFacts& facts);
  void frame(std::span<const uint8_t> rgb);
  void fault(const Fault& fault);
  void end();

 private:
  void write_all(const void* data, size_t bytes);

  int socket_;
};

}  // namespace ernie::media
