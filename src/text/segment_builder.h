#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include "text/chat_template.h"

namespace ernie::text {

// Puts a prompt together; neighbouring parts of one kind become one segment.
class SegmentBuilder {
 public:
  void add(SegmentKind kind, std::string_view text) {
    if (text.empty()) return;
    if (segments_.empty() || segments_.back().kind != kind) segments_.push_back({.kind = kind});
    segments_.back().text += text;
  }
  void add_template(std::string_view text) { add(SegmentKind::kTemplate, text); }
  void add_user(std::string_view text) { add(SegmentKind::kUser, text); }
  void add_media(SegmentKind kind) {
    segments_.push_back({.kind = kind, .text = {}, .media_index = media_++});
  }

  size_t media_count() const { return media_; }
  std::vector<PromptSegment> take() { return std::move(segments_); }

 private:
  std::vector<PromptSegment> segments_;
  size_t media_ = 0;
};

}  // namespace ernie::text
