#include "job.h"

#include <sys/mman.h>

#include <memory>
#include <new>
#include <optional>
#include <span>
#include <utility>

#include "animated_webp.h"
#include "answer.h"
#include "fence.h"
#include "media/image_format.h"
#include "still.h"
#include "video_frames.h"
#include "video_index.h"
#include "video_input.h"

namespace ernie::media {
namespace {

std::optional<Fault> probe_video(std::span<const uint8_t> file, const JobRequest& request,
                                 Answer& answer) {
  auto input = VideoInput::open(file, request);
  if (auto* fault = std::get_if<Fault>(&input)) return *fault;
  auto& opened = *std::get<std::unique_ptr<VideoInput>>(input);
  auto index = index_video(opened);
  if (auto* fault = std::get_if<Fault>(&index)) return *fault;
  answer.info(facts_of(opened, std::get<VideoIndex>(index)));
  return {};
}

std::optional<Fault> work(const Job& job, std::optional<ImageFormat> format,
                          std::span<const uint8_t> file, Answer& answer) {
  const bool probes = job.request.kind == JobKind::kProbe;
  if (format && needs_media_decoder(*format)) {
    return probes ? probe_still(*format, file, job.request, answer)
                  : send_still(*format, file, job.request, answer);
  }
  if (format == ImageFormat::kWebp) {
    return probes ? probe_webp(file, job.request, answer)
                  : send_webp_frames(file, job.frames, answer);
  }
  return probes ? probe_video(file, job.request, answer)
                : send_frames(file, job.request, job.frames, answer);
}

}  // namespace

int run_job(const Job& job, int file, int answer_socket) {
  Answer answer(answer_socket);
  answer.begun();
  const size_t bytes = job.request.file_bytes;
  void* mapped = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, file, 0);
  if (mapped == MAP_FAILED) return 1;
  av_log_set_level(AV_LOG_QUIET);
  if (!raise_fence(answer_socket, job.request.memory_bytes, job.request.cpu_seconds)) {
    answer.fault({"decoder_not_fenced",
                  "this machine does not let the decoder of media give up its rights (seccomp); "
                  "such files are refused here"});
    return 1;
  }
  const std::span<const uint8_t> media(static_cast<const uint8_t*>(mapped), bytes);
  const auto format = sniff_image(media);
  try {
    if (auto fault = work(job, format, media, answer)) answer.fault(*fault);
  } catch (const std::bad_alloc&) {
    const bool is_still = format && needs_media_decoder(*format);
    answer.fault({is_still ? "image_too_large" : "video_too_large",
                  "decoding it takes more memory than is allowed"});
  }
  return 0;
}

}  // namespace ernie::media
