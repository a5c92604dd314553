#include "model/prompt_builder.h"

#include <algorithm>
#include <utility>

namespace ernie::model {

void PromptBuilder::push(int32_t token, int32_t t, int32_t h, int32_t w, bool vision) {
  prompt_.tokens.push_back(token);
  prompt_.positions.push_back({t, h, w});
  prompt_.is_vision.push_back(vision ? 1 : 0);
}

void PromptBuilder::add_text(std::span<const int32_t> tokens) {
  for (const int32_t token : tokens) {
    const int32_t p = prompt_.next_position++;
    push(token, p, p, p, ids_.is_marker(token));
  }
}

void PromptBuilder::add_media(const PreparedMedia& media) {
  const int32_t start = prompt_.next_position;
  const auto count = static_cast<int32_t>(media.units.size());
  const int32_t height = media.units.front()->height / 2;
  const int32_t width = media.units.front()->width / 2;
  for (int32_t t = 0; t < count; ++t) {
    prompt_.media.push_back({.begin = static_cast<int32_t>(prompt_.tokens.size()),
                             .length = height * width,
                             .item = items_,
                             .hash = media.hashes[t],
                             .is_video = media.is_video,
                             .patches = media.units[t]});
    for (int32_t h = 0; h < height; ++h) {
      for (int32_t w = 0; w < width; ++w) {
        push(ids_.placeholder, start + t, start + h, start + w, true);
      }
    }
  }
  ++items_;
  (media.is_video ? prompt_.video_tokens : prompt_.image_tokens) += media.tokens;
  prompt_.next_position = start + std::max({count, height, width});
}

Prompt PromptBuilder::finish() && { return std::move(prompt_); }

}  // namespace ernie::model
