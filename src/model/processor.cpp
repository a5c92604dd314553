#include "model/processor.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "media/resize.h"
#include "model/patchify.h"
#include "model/prompt_builder.h"

namespace ernie::model {

Error prompt_too_long(const std::string& how_long, size_t limit, const std::string& param) {
  return invalid_argument(
      "this model's maximum context length is " + std::to_string(limit) +
          " tokens for prompt and answer together (--max-model-len), and the prompt is too long: " +
          how_long +
          " tokens; shorten the text, or send fewer or smaller pictures or fewer frames of a video "
          "(fps, max_frames)",
      param, "context_length_exceeded");
}

namespace {

using text::PromptSegment;
using text::SegmentKind;

bool is_media(const PromptSegment& segment) {
  return segment.kind == SegmentKind::kImage || segment.kind == SegmentKind::kVideo;
}

Error too_long(size_t found, size_t limit) {
  return prompt_too_long("at least " + std::to_string(found), limit, "messages");
}

class ErnieProcessor : public Processor {
 public:
  ErnieProcessor(const ModelConfig& config, std::shared_ptr<const text::Tokenizer> tokenizer,
                 const ProcessorOptions& options, const MediaTokens& ids)
      : vocab_size_(config.vocab_size),
        patch_size_(config.vision ? config.vision->patch_size : 0),
        tokenizer_(std::move(tokenizer)),
        options_(options),
        ids_(ids) {}

  const ProcessorOptions& options() const override { return options_; }

  Status check_frames(bool is_video, size_t frames) const override {
    if (patch_size_ == 0) return no_vision();
    const size_t limit = is_video ? static_cast<size_t>(options_.video.max_frames) : 1;
    if (frames >= 1 && frames <= limit) return {};
    return invalid_argument(
        "expected 1 to " + std::to_string(limit) + " frames, found " + std::to_string(frames),
        "messages", "too_many_frames");
  }

  Result<MediaCost> cost(const MediaShape& shape) const override {
    const Result<ResizedSize> size = resized(shape);
    if (!size) return size.error();
    const size_t pixels = static_cast<size_t>(size->height) * static_cast<size_t>(size->width);
    const size_t tokens = units(shape) * (pixels / static_cast<size_t>(window() * window()));
    const size_t frames = shape.is_video ? 2 * units(shape) : 1;
    return MediaCost{static_cast<int>(std::min<size_t>(tokens, std::numeric_limits<int>::max())),
                     3 * frames * pixels, size->width};
  }

  Result<PreparedMedia> prepare(const MediaShape& shape, const FrameSource& source) const override {
    const Result<ResizedSize> size = resized(shape);
    if (!size) return size.error();
    PreparedMedia prepared;
    prepared.is_video = shape.is_video;
    for (size_t first = 0; first < shape.frames; first += 2) {
      if (auto added = add_unit(shape, first, *size, source, prepared); !added) {
        return added.error();
      }
    }
    return prepared;
  }

  Result<Prompt> process(std::span<const PromptSegment> segments,
                         std::span<const PreparedMedia> media, int max_tokens) const override {
    size_t media_tokens = 0;
    for (const PromptSegment& segment : segments) {
      if (!is_media(segment)) continue;
      if (patch_size_ == 0) return no_vision();
      if (segment.media_index >= media.size() ||
          media[segment.media_index].is_video != (segment.kind == SegmentKind::kVideo)) {
        return misplaced(segment, media.size());
      }
      media_tokens += static_cast<size_t>(media[segment.media_index].tokens);
    }
    const auto limit = static_cast<size_t>(std::max(max_tokens, 0));
    if (media_tokens > limit) return too_long(media_tokens, limit);

    PromptBuilder builder(ids_);
    size_t length = media_tokens;
    for (size_t i = 0; i < segments.size();) {
      if (is_media(segments[i])) {
        builder.add_media(media[segments[i++].media_index]);
        continue;
      }
      size_t end = i;
      while (end < segments.size() && !is_media(segments[end])) ++end;
      const Result<std::vector<int32_t>> tokens =
          encode(segments.subspan(i, end - i), limit - length);
      if (!tokens) return tokens.error();
      length += tokens->size();
      if (length > limit) return too_long(length, limit);
      builder.add_text(*tokens);
      i = end;
    }
    return std::move(builder).finish();
  }

  Result<Prompt> from_tokens(std::vector<int32_t> tokens) const override {
    for (const int32_t token : tokens) {
      if (token < 0 || token >= vocab_size_) {
        return invalid_argument("prompt: expected token ids from 0 to " +
                                    std::to_string(vocab_size_ - 1) + ", found " +
                                    std::to_string(token),
                                "prompt");
      }
      if (token == ids_.placeholder || token == ids_.video_placeholder) {
        return invalid_argument("prompt: token id " + std::to_string(token) +
                                    " stands for a part of a picture or video and cannot be given "
                                    "here; send these through /v1/chat/completions",
                                "prompt");
      }
    }
    PromptBuilder builder(ids_);
    builder.add_text(tokens);
    return std::move(builder).finish();
  }

 private:
  int window() const { return 2 * patch_size_; }

  static Error no_vision() {
    return invalid_argument("this model takes text only; remove the pictures and videos",
                            "messages", "unsupported_media");
  }

  // Two frames make a unit of a video.
  static size_t units(const MediaShape& shape) { return (shape.frames + 1) / 2; }

  Result<ResizedSize> resized(const MediaShape& shape) const {
    if (patch_size_ == 0) return no_vision();
    return smart_resize(shape.height, shape.width, window(),
                        shape.is_video ? options_.video_min_pixels : options_.image_min_pixels,
                        shape.is_video ? options_.video_max_pixels : options_.image_max_pixels);
  }

  static Error misplaced(const PromptSegment& segment, size_t items) {
    const char* kind = segment.kind == SegmentKind::kVideo ? "a video" : "an image";
    return invalid_argument(std::string("the chat template wants ") + kind + " as item " +
                                std::to_string(segment.media_index) + " of the " +
                                std::to_string(items) + " pictures and videos of the request",
                            "messages");
  }

  // Neighbouring texts are one string to the tokenizer.
  Result<std::vector<int32_t>> encode(std::span<const PromptSegment> segments, size_t limit) const {
    std::vector<text::TextSegment> texts;
    for (const PromptSegment& segment : segments) {
      texts.push_back({segment.text, segment.kind == SegmentKind::kTemplate});
    }
    std::vector<int32_t> tokens = tokenizer_->encode_segments(texts, limit);
    if (ids_.placeholder >= 0 &&
        std::find(tokens.begin(), tokens.end(), ids_.placeholder) != tokens.end()) {
      return invalid_argument("the chat template wrote a picture's placeholder token as text",
                              "messages");
    }
    return tokens;
  }

  // The unit that begins at frame `first`: an image, or two frames of which the second may be
  // missing.
  Status add_unit(const MediaShape& shape, size_t first, const ResizedSize& size,
                  const FrameSource& source, PreparedMedia& prepared) const {
    std::vector<media::Image> resized;
    for (size_t i = first; i < std::min(first + 2, shape.frames); ++i) {
      const Result<media::Image> frame = source(i);
      if (!frame) return frame.error();
      resized.push_back(media::resize_bicubic(*frame, size.width, size.height));
    }
    std::vector<const media::Image*> frames{&resized.front()};
    if (shape.is_video) frames.push_back(&resized.back());
    auto grid = std::make_shared<const PatchGrid>(patchify(frames, patch_size_));
    prepared.hashes.push_back(hash_unit(*grid, static_cast<int>(prepared.units.size())));
    prepared.tokens += grid->tokens();
    prepared.units.push_back(std::move(grid));
    return {};
  }

  int vocab_size_;
  int patch_size_;  // 0 in text-only models
  std::shared_ptr<const text::Tokenizer> tokenizer_;
  ProcessorOptions options_;
  MediaTokens ids_;
};

Result<MediaTokens> media_tokens(const ModelConfig& config, const text::Tokenizer& tokenizer) {
  MediaTokens ids;
  if (!config.vision) return ids;
  const auto id = [&](const char* token) { return tokenizer.id_of(token).value_or(-1); };
  const int32_t named = id("<|IMAGE_PLACEHOLDER|>");
  ids = {config.image_token_id, id("<|IMAGE_START|>"), id("<|IMAGE_END|>"),
         id("<|VIDEO_START|>"), id("<|VIDEO_END|>"),   id("<|VIDEO_PLACEHOLDER|>")};
  if (ids.placeholder < 0) ids.placeholder = named;
  if (ids.placeholder < 0 || ids.image_start < 0 || ids.image_end < 0) {
    return invalid_argument(
        "the tokenizer has no <|IMAGE_PLACEHOLDER|>, <|IMAGE_START|> or <|IMAGE_END|>, which a "
        "vision-language model needs; complete added_tokens.json or tokenizer_config.json",
        "model");
  }
  if (named >= 0 && named != ids.placeholder) {
    return invalid_argument("config.json: im_patch_id: expected " + std::to_string(named) +
                                ", the tokenizer's id of <|IMAGE_PLACEHOLDER|>, found " +
                                std::to_string(ids.placeholder),
                            "model");
  }
  return ids;
}

}  // namespace

Status check_options(const ProcessorOptions& options) {
  const auto bad = [](const char* key, int64_t found, const std::string& expected) {
    return invalid_argument(std::string(key) + ": expected " + expected + ", found " +
                                std::to_string(found) +
                                "; set the limits of pictures with --mm-processor-kwargs",
                            "mm_processor_kwargs");
  };
  if (options.image_min_pixels < 1) {
    return bad("image_min_pixels", options.image_min_pixels, "at least 1");
  }
  if (options.video_min_pixels < 1) {
    return bad("video_min_pixels", options.video_min_pixels, "at least 1");
  }
  if (options.image_max_pixels < options.image_min_pixels) {
    return bad("image_max_pixels", options.image_max_pixels,
               "at least image_min_pixels, " + std::to_string(options.image_min_pixels));
  }
  if (options.video_max_pixels < options.video_min_pixels) {
    return bad("video_max_pixels", options.video_max_pixels,
               "at least video_min_pixels, " + std::to_string(options.video_min_pixels));
  }
  return {};
}

Result<std::unique_ptr<Processor>> Processor::create(
    const ModelConfig& config, std::shared_ptr<const text::Tokenizer> tokenizer,
    const ProcessorOptions& options) {
  if (tokenizer->vocab_size() > config.vocab_size) {
    return invalid_argument(
        "config.json: vocab_size: expected at least " + std::to_string(tokenizer->vocab_size()) +
            ", the ids of the tokenizer, found " + std::to_string(config.vocab_size),
        "model");
  }
  const Status sane = check_options(options);
  if (!sane) return sane.error();
  const Result<MediaTokens> ids = media_tokens(config, *tokenizer);
  if (!ids) return ids.error();
  return std::unique_ptr<Processor>(
      std::make_unique<ErnieProcessor>(config, std::move(tokenizer), options, *ids));
}

}  // namespace ernie::model
