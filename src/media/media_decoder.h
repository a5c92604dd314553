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

  struct Job {
    FileDescriptor answer;  // closing it ends the job
    pid_t program = 0;      // that was asked
  };

  // Starts a job on a copy of the file. `job.file_bytes` is filled in here.
  // Errors: "unsupported_media_type" without a decoder, "internal_error" when it cannot be started;
  // the log says why.
  Result<Job> start(JobRequest job, std::span<const uint32_t> frames,
                    std::span<const uint8_t> file);

  // Ends the program if it is still the one that was asked: it does not begin its jobs. Those that
  // it has begun go on.
  void replace(pid_t program);

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
