#include "answer.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace ernie::media {

std::optional<Fault> check_size(const char* code, int64_t width, int64_t height,
                                const JobRequest& limits) {
  if (std::max(width, height) <= limits.max_side && width * height <= limits.max_pixels) return {};
  return Fault{code, "it has " + std::to_string(width) + "x" + std::to_string(height) +
                         " pixels; at most " + std::to_string(limits.max_pixels) + " pixels and " +
                         std::to_string(limits.max_side) + " a side are allowed"};
}

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

void Answer::part(PartKind kind, const void* data, size_t bytes) {
  const PartHeader header{kind, static_cast<uint32_t>(bytes)};
  write_all(&header, sizeof(header));
  write_all(data, bytes);
}

void Answer::begun() { part(PartKind::kBegun, nullptr, 0); }

void Answer::info(const VideoFacts& facts) { part(PartKind::kInfo, &facts, sizeof(facts)); }

void Answer::frame(std::span<const uint8_t> rgb) { part(PartKind::kFrame, rgb.data(), rgb.size()); }

void Answer::fault(const Fault& fault) {
  const std::string text = std::string(fault.code) + '\0' + fault.message;
  part(PartKind::kError, text.data(), text.size());
}

}  // namespace ernie::media
