#include "answer.h"

#include <unistd.h>

#include <cerrno>

namespace ernie::media {

void Answer::write_all(const void* data, size_t bytes) {
  const auto* at = static_cast<const uint8_t*>(data);
  while (bytes > 0) {
    const ssize_t written = write(socket_, at, bytes);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) _exit(1);
    at += written;
    bytes -= static_cast<size_t>(written);
  }
}

void Answer::info(const VideoFacts& facts) {
  const PartHeader header{PartKind::kInfo, sizeof(facts)};
  write_all(&header, sizeof(header));
  write_all(&facts, sizeof(facts));
}

void Answer::frame(std::span<const uint8_t> rgb) {
  const PartHeader header{PartKind::kFrame, static_cast<uint32_t>(rgb.size())};
  write_all(&header, sizeof(header));
  write_all(rgb.data(), rgb.size());
}

void Answer::fault(const Fault& fault) {
  const std::string text = std::string(fault.code) + '\0' + fault.message;
  const PartHeader header{PartKind::kError, static_cast<uint32_t>(text.size())};
  write_all(&header, sizeof(header));
  write_all(text.data(), text.size());
}

void Answer::end() {
  const PartHeader header{PartKind::kEnd, 0};
  write_all(&header, sizeof(header));
}

}  // namespace ernie::media
