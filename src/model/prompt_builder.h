#pragma once

#include <span>
#include <vector>

#include "model/processor.h"
#include "model/prompt.h"

namespace ernie::model {

// Token ids that a prompt's routing and positions depend on; -1 where the tokenizer has none.
struct MediaTokens {
  int32_t placeholder = -1;
  int32_t image_start = -1;
  int32_t image_end = -1;
  int32_t video_start = -1;
  int32_t video_end = -1;
  int32_t video_placeholder =
      -1;  // of transformers' form; prompts here have the other in its place

  bool is_marker(int32_t token) const {
    return token >= 0 && (token == image_start || token == image_end || token == video_start ||
                          token == video_end);
  }
};

// Appends runs of text and media to a prompt and keeps its positions and routing flags:
// a text token sits at (p, p, p) and moves p on by one; the tokens of an item of T units of h x w
// tokens sit at (p + t, p + y, p + x) and move p on by max(T, h, w) (ERNIE's own rule; transformers
// leaves T out). Placeholders and the four markers go to the vision experts.
class PromptBuilder {
 public:
  explicit PromptBuilder(const MediaTokens& ids) : ids_(ids) {}

  void add_text(std::span<const int32_t> tokens);
  void add_media(const PreparedMedia& media);

  Prompt finish() &&;

 private:
  void push(int32_t token, int32_t t, int32_t h, int32_t w, bool vision);

  MediaTokens ids_;
  Prompt prompt_;
  int32_t items_ = 0;  // so far
};

}  // namespace ernie::model
