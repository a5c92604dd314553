#pragma once

#include <vector>

#include "media/decode_job.h"

namespace ernie::media {

struct Job {
  JobRequest request;
  std::vector<uint32_t> frames;  // rising
};

// Does one job on the file and writes its answer; returns the exit status of the process, which
// must be a child of its own with one thread: it gives up its rights for good.
int run_job(const Job& job, int file, int answer);

}  // namespace ernie::media
