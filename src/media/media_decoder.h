#pragma once

#include <sys/types.h>

#include <cstdint>
#include <mutex>
#include <span>
#include <string>
#include <utility>

#include "base/result.h"
#include "media/decode_job.h"
#include "media/file_descriptor.h"

namespace ernie::media {

// The program ernie-media-decoder, which opens files whose parsers are not trusted, each in a
// fenced process of its own. It is started at the first job, again if it has died, and ends with
// this object. Thread-safe.
class MediaDecoder {
 public:
  // `program`: its path. A build without FFmpeg has none; then there is no decoder.
  explicit MediaDecoder(std::string program) : program_(std::move(program)) {}

  ~MediaDecoder();
  MediaDecoder(const MediaDecoder&) = delete;
  MediaDecoder& operator=(const MediaDecoder&) = delete;

  // Where a build and a package put it: beside the running program.
  static std::string default_program();

  bool is_there() const;
  // False when it was started and has ended since.
  bool is_running();

  // Starts a job on a copy of the file; its answer comes through the socket that is returned.
  // Closing that ends the job. `job.file_bytes` is filled in here.
  // Errors: "unsupported_media_type" without a decoder, "internal_error" when it cannot be started;
  // the log says why.
  Result<FileDescriptor> start(JobRequest job, std::span<const uint32_t> frames,
                               std::span<const uint8_t> file);

 private:
  Status launch();
  bool has_ended() const;
  void stop();

  const std::string program_;
  std::mutex mutex_;
  FileDescriptor decoder_;
  pid_t pid_ = 0;
};

}  // namespace ernie::media
