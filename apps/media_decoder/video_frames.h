#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "answer.h"
#include "media/decode_job.h"
#include "video_index.h"
#include "video_input.h"

namespace ernie::media {

// Decodes the frames with these numbers (rising) and answers with each as RGB of the size in
// `facts`, alpha over white. A frame that cannot be decoded is replaced by the one shown before it,
// or by the next where there is none.
std::optional<Fault> send_frames(std::span<const uint8_t> file, const JobRequest& request,
                                 std::span<const uint32_t> numbers, Answer& answer);

}  // namespace ernie::media
