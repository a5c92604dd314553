#include "serve/rendered_prompt.h"

#include <gtest/gtest.h>

#include "serve/testing/test_service.h"

namespace ernie::serve {
namespace {

model::MediaUnit unit(int begin, bool is_video, uint64_t hash, int item) {
  auto patches = std::make_shared<model::PatchGrid>();
  patches->frames = is_video ? 2 : 1;
  patches->height = 4;
  patches->width = 6;
  return {.begin = begin,
          .length = patches->tokens(),
          .item = item,
          .hash = {{hash, 0, 0, 0}},
          .is_video = is_video,
          .patches = std::move(patches)};
}

// "a", then the items of `units`, six tokens for each unit, then "b".
std::shared_ptr<model::Prompt> prompt_of(std::vector<model::MediaUnit> units) {
  auto prompt = std::make_shared<model::Prompt>();
  prompt->tokens.push_back(id("a"));
  prompt->tokens.insert(prompt->tokens.end(), units.size() * 6, id("<|IMAGE_PLACEHOLDER|>"));
  prompt->tokens.push_back(id("b"));
  prompt->media = std::move(units);
  return prompt;
}

TEST(RenderedPrompt, UnitsOfOneVideoAreOneItem) {
  const auto prompt = prompt_of(
      {unit(1, false, 5, 0), unit(7, true, 6, 1), unit(13, true, 7, 1), unit(19, true, 8, 2)});
  const auto shown = rendered_prompt(prompt, *tiny_tokenizer());
  ASSERT_EQ(shown.media.size(), 3u);
  EXPECT_EQ(shown.text, "a<|IMAGE_PLACEHOLDER|><|IMAGE_PLACEHOLDER|><|IMAGE_PLACEHOLDER|>b");
  const RenderedMedia& video = shown.media[1];
  EXPECT_TRUE(video.is_video);
  EXPECT_EQ(video.begin, 7);
  EXPECT_EQ(video.tokens, 12);
  EXPECT_EQ(video.frames, 4);
  EXPECT_EQ(video.height, 4);
  EXPECT_EQ(video.width, 6);
  EXPECT_FALSE(shown.media[0].is_video);
  EXPECT_EQ(shown.media[0].frames, 1);
  EXPECT_EQ(shown.media[0].hash, prompt->media[0].hash);
  EXPECT_EQ(shown.media[2].begin, 19);
}

TEST(RenderedPrompt, EveryFrameOfAVideoIsInItsHash) {
  const auto hash = [](uint64_t first, uint64_t second) {
    const auto prompt = prompt_of({unit(1, true, first, 0), unit(7, true, second, 0)});
    return rendered_prompt(prompt, *tiny_tokenizer()).media[0].hash;
  };
  EXPECT_EQ(hash(1, 2), hash(1, 2));
  EXPECT_NE(hash(1, 2), hash(1, 3));
  EXPECT_NE(hash(1, 2), hash(3, 2));
}

}  // namespace
}  // namespace ernie::serve
