#include "serve/rendered_prompt.h"

#include <algorithm>
#include <span>
#include <utility>

namespace ernie::serve {
namespace {

RenderedMedia rendered_media(std::span<const model::MediaUnit> units) {
  const model::MediaUnit& first = units.front();
  RenderedMedia out{.is_video = first.is_video, .hash = first.hash, .begin = first.begin};
  for (const model::MediaUnit& unit : units) {
    out.tokens += unit.length;
    out.frames += unit.patches->frames;
    out.height = unit.patches->height;
    out.width = unit.patches->width;
  }
  for (const model::MediaUnit& unit : units.subspan(1)) {
    out.hash = content_key(out.hash, unit.hash.words.data(), sizeof(unit.hash.words));
  }
  return out;
}

std::string text_of(const std::vector<int32_t>& tokens, const std::vector<RenderedMedia>& media,
                    const text::Tokenizer& tokenizer) {
  std::vector<int32_t> shown;
  auto next = tokens.begin();
  for (const RenderedMedia& item : media) {
    const auto placeholder = tokens.begin() + item.begin;
    shown.insert(shown.end(), next, placeholder + 1);
    next = placeholder + item.tokens;
  }
  shown.insert(shown.end(), next, tokens.end());
  return tokenizer.decode(shown, false);
}

}  // namespace

RenderedPrompt rendered_prompt(std::shared_ptr<const model::Prompt> prompt,
                               const text::Tokenizer& tokenizer) {
  RenderedPrompt out;
  for (std::span<const model::MediaUnit> rest = prompt->media; !rest.empty();) {
    const auto next = std::ranges::find_if(
        rest, [&](const model::MediaUnit& unit) { return unit.item != rest.front().item; });
    const auto count = static_cast<size_t>(next - rest.begin());
    out.media.push_back(rendered_media(rest.first(count)));
    rest = rest.subspan(count);
  }
  out.text = text_of(prompt->tokens, out.media, tokenizer);
  out.prompt = std::move(prompt);
  return out;
}

}  // namespace ernie::serve
