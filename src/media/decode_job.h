#pragma once

#include <cstdint>

// What the server and its program ernie-media-decoder say to each other. Both come from one build,
// so these are plain structs.
//
// The server holds one end of a SOCK_SEQPACKET pair, the decoder the other one, into which it
// writes a byte when it is ready. A message of the server is a JobRequest, then numbers of frames
// (uint32_t, rising), with two descriptors: the file (sealed against changes) and a
// SOCK_STREAM socket for the answer. The decoder forks a child for each job, which gives up all
// rights before it reads a byte of the file. The child ends when the server closes its end of the
// socket.
namespace ernie::media {

constexpr uint32_t kMaxJobFrames = 10'000;

enum class JobKind : uint32_t { kProbe = 1, kFrames = 2 };

struct JobRequest {
  JobKind kind = JobKind::kProbe;
  uint32_t threads = 1;       // of the decoder
  uint32_t cpu_seconds = 0;   // processor time of all threads
  uint64_t file_bytes = 0;    // of the file
  uint64_t memory_bytes = 0;  // that the job may allocate
  int64_t max_pixels = 0;     // of a frame
  int32_t max_side = 0;       // pixels
};

// The child first says that it is there: an answer that ends before that was cut by the end of the
// program, and never by the file. Then come VideoFacts or the frames, and an error where something
// is wrong. Of each part a header comes first, then so many bytes.
enum class PartKind : uint32_t {
  kInfo = 1,   // VideoFacts
  kFrame = 2,  // a frame as RGB, [height, width, 3], of the stored size
  kError = 3,  // code, '\0', message
  kBegun = 4,  // no bytes
};

struct PartHeader {
  PartKind kind = PartKind::kError;
  uint32_t bytes = 0;
};

struct VideoFacts {
  int32_t width = 0;  // pixels as stored
  int32_t height = 0;
  int32_t orientation = 1;  // how frames are turned upright, as EXIF's
  uint32_t frames = 0;
  double fps = 0;             // frames / seconds from the first one to the end of the last one
  uint64_t decode_bytes = 0;  // most memory that decoding takes, for one thread
  uint64_t thread_bytes = 0;  // and for each further one
};

}  // namespace ernie::media
