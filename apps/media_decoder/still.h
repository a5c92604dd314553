#pragma once

#include <optional>
#include <span>

#include "answer.h"
#include "media/decode_job.h"
#include "media/image_format.h"

namespace ernie::media {

// A picture is answered for as a video of one frame.
std::optional<Fault> probe_still(ImageFormat format, std::span<const uint8_t> file,
                                 const JobRequest& limits, Answer& answer);
std::optional<Fault> send_still(ImageFormat format, std::span<const uint8_t> file,
                                const JobRequest& limits, Answer& answer);

}  // namespace ernie::media
