#pragma once

#include <optional>
#include <span>

#include "answer.h"
#include "media/decode_job.h"

namespace ernie::media {

// FFmpeg 5.1 decodes no animated WebP, so libwebp does.
std::optional<Fault> probe_webp(std::span<const uint8_t> file, const JobRequest& limits,
                                Answer& answer);
// As send_frames of video_frames.h.
std::optional<Fault> send_webp_frames(std::span<const uint8_t> file,
                                      std::span<const uint32_t> numbers, Answer& answer);

}  // namespace ernie::media
