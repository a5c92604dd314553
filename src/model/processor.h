#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "media/image.h"
#include "model/config.h"
#include "model/prompt.h"
#include "model/video_sampling.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace ernie::model {

// What is known of a picture or a video before anything of it is decoded.
struct MediaShape {
  bool is_video = false;
  size_t frames = 1;  // of a video; an odd number repeats the last
  int height = 0;     // pixels of the first frame, by whose size all frames are scaled
  int width = 0;
};

// What an item takes once it is prepared.
struct MediaCost {
  int tokens = 0;          // placeholders, over all frames
  size_t patch_bytes = 0;  // of all frames
  int resized_width = 0;  // of a frame, pixels; while it is resized it stands in memory again, this
                          // wide and as high as it was
};

// Decodes frame `i`.
using FrameSource = std::function<Result<media::Image>(size_t i)>;

// Limits of smart_resize, in pixels.
struct ProcessorOptions {
  int64_t image_min_pixels = 4 * 28 * 28;
  int64_t image_max_pixels = 6177 * 28 * 28;
  int64_t video_min_pixels = 299 * 28 * 28;
  int64_t video_max_pixels = 1196 * 28 * 28;
  VideoSampling video;         // its max_frames also holds for videos that come as frames
  bool draw_on_frames = true;  // the time of each frame of a video
};

// An error names the limit, its value and what was expected.
Status check_options(const ProcessorOptions& options);

struct ResizedSize {
  int height = 0;
  int width = 0;
};

// Most tokens of a picture, or of a pair of a video's frames, under these limits; 0 for text
// models. A token stands for spatial_merge x spatial_merge patches.
int max_media_tokens(const ModelConfig& config, const ProcessorOptions& options);

// The size a picture is scaled to: multiples of `factor`, area within the limits, aspect ratio
// kept. As in ERNIE's and Qwen2-VL's image processors (half-to-even rounding, ratio clamped to
// 200).
Result<ResizedSize> smart_resize(int height, int width, int factor, int64_t min_pixels,
                                 int64_t max_pixels);

// A picture or video after resizing, ready to be placed in a prompt. The decoded pixels may be
// dropped.
struct PreparedMedia {
  bool is_video = false;
  std::vector<std::shared_ptr<const PatchGrid>>
      units;                       // one for an image; one per two frames of a video
  std::vector<ContentKey> hashes;  // one per unit
  int tokens = 0;                  // over all units
};

// "Prompt is too long" and "maximum context length is N tokens" are what clients look for, in
// Anthropic's and OpenAI's words, to take a shorter history or another model. `how_long` as in "at
// least 9".
Error prompt_too_long(const std::string& how_long, size_t limit, const std::string& param);

// Turns a rendered conversation and its media into the model's input. Thread-safe after
// construction.
class Processor {
 public:
  static Result<std::unique_ptr<Processor>> create(const ModelConfig& config,
                                                   std::shared_ptr<const text::Tokenizer> tokenizer,
                                                   const ProcessorOptions& options);
  virtual ~Processor() = default;

  virtual const ProcessorOptions& options() const = 0;

  // Whether a picture, or a video that comes as frames, may have so many of them.
  virtual Status check_frames(bool is_video, size_t frames) const = 0;

  virtual Result<MediaCost> cost(const MediaShape& shape) const = 0;

  // Resizes and cuts into patches. Asks for each frame once, in order, and drops it before it asks
  // for the next, so that memory is bounded by one decoded frame and the item's tokens.
  virtual Result<PreparedMedia> prepare(const MediaShape& shape,
                                        const FrameSource& source) const = 0;

  // Segments come from text::ChatTemplate; media slots refer to `media` by index.
  // Text in untrusted segments never becomes a special token. Encoding stops soon after max_tokens;
  // a longer prompt is an error (context_length_exceeded) that says at least how long it is.
  virtual Result<Prompt> process(std::span<const text::PromptSegment> segments,
                                 std::span<const PreparedMedia> media, int max_tokens) const = 0;

  // A prompt of token ids alone (completions API). Ids outside the vocabulary are errors.
  virtual Result<Prompt> from_tokens(std::vector<int32_t> tokens) const = 0;
};

}  // namespace ernie::model
