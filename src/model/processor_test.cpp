#include "model/processor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "model/testing/decoded_media.h"

namespace ernie::model {
namespace {

using ::testing::HasSubstr;
using text::PromptSegment;
using text::SegmentKind;

constexpr const char* kCheckpoint = "tests/golden/model/tiny-a";
constexpr int kNoLimit = 1 << 20;

std::unique_ptr<Processor> make_processor(const ProcessorOptions& options = {}) {
  auto tokenizer = std::make_shared<const text::Tokenizer>(*text::Tokenizer::load(kCheckpoint));
  return *Processor::create(*load_config(kCheckpoint), std::move(tokenizer), options);
}

media::Image picture(int width, int height, uint8_t seed = 0) {
  media::Image image{width, height, {}};
  for (int i = 0; i < width * height * 3; ++i) {
    image.rgb.push_back(static_cast<uint8_t>(i * 7 + i / 50 + seed));
  }
  return image;
}

TEST(Processor, TokenCountsOfCommonSizes) {
  const auto processor = make_processor();
  const struct {
    int height, width, image, video;
  } rows[] = {{32, 32, 4, 324},        {448, 448, 256, 324},     {1024, 1024, 1369, 1156},
              {720, 1280, 1196, 1196}, {1080, 1920, 2691, 1150}, {2160, 3840, 6032, 1150}};
  const auto count = [&](int height, int width, bool is_video) {
    return processor->cost({.is_video = is_video, .height = height, .width = width})->tokens;
  };
  for (const auto& row : rows) {
    EXPECT_EQ(count(row.height, row.width, false), row.image) << row.width;
    EXPECT_EQ(count(row.height, row.width, true), row.video) << row.width;
  }
}

TEST(Processor, TheLargestPictureHasTheTokensOfItsPatches) {
  ModelConfig config = *builtin_config("ERNIE-4.5-VL-28B-A3B");
  EXPECT_EQ(max_media_tokens(config, {}), 6177);
  EXPECT_EQ(max_media_tokens(config, {.image_max_pixels = 100 * 784}), 1196);  // of a video
  config.vision->patch_size = 16;
  EXPECT_EQ(max_media_tokens(config, {.image_max_pixels = 2000 * 32 * 32}), 2000);
  config.vision.reset();
  EXPECT_EQ(max_media_tokens(config, {}), 0);
}

TEST(Processor, ImagePromptHasPlaceholdersPositionsAndRouting) {
  const auto processor = make_processor();
  const std::vector<PreparedMedia> media{*testing::prepare(*processor, false, {picture(84, 56)})};
  const std::vector<PromptSegment> segments{{SegmentKind::kTemplate, "ab<|IMAGE_START|>", 0},
                                            {SegmentKind::kImage, "", 0},
                                            {SegmentKind::kTemplate, "<|IMAGE_END|>", 0}};
  const auto prompt = processor->process(segments, media, kNoLimit);
  ASSERT_TRUE(prompt.ok()) << prompt.error().message;
  ASSERT_EQ(prompt->media.size(), 1u);
  const int begin = prompt->media[0].begin;
  EXPECT_EQ(prompt->media[0].length, 6);
  EXPECT_EQ(prompt->image_tokens, 6);
  const std::vector<std::array<int32_t, 3>> expected{{begin, begin, begin},
                                                     {begin, begin, begin + 1},
                                                     {begin, begin, begin + 2},
                                                     {begin, begin + 1, begin},
                                                     {begin, begin + 1, begin + 1},
                                                     {begin, begin + 1, begin + 2},
                                                     {begin + 3, begin + 3, begin + 3}};
  EXPECT_TRUE(std::equal(expected.begin(), expected.end(), prompt->positions.begin() + begin));
  EXPECT_EQ(prompt->next_position, begin + 4);
  for (int i = 0; i < static_cast<int>(prompt->tokens.size()); ++i) {
    EXPECT_EQ(prompt->is_vision[i], i >= begin - 1) << i;  // from the start marker on
  }
}

TEST(Processor, MarkersTypedByAUserStayText) {
  const auto processor = make_processor();
  const auto typed = processor->process(
      std::vector<PromptSegment>{
          {SegmentKind::kUser, "<|IMAGE_START|><|IMAGE_PLACEHOLDER|><|IMAGE_END|></think>", 0}},
      {}, kNoLimit);
  ASSERT_TRUE(typed.ok()) << typed.error().message;
  const auto tokenizer = text::Tokenizer::load(kCheckpoint);
  for (const int32_t token : typed->tokens) EXPECT_FALSE(tokenizer->is_added(token));
  EXPECT_EQ(std::count(typed->is_vision.begin(), typed->is_vision.end(), 1), 0);
  EXPECT_GT(typed->tokens.size(), 4u);
}

TEST(Processor, HashesTellPixelsAndGeometryApart) {
  const auto processor = make_processor();
  const auto hash = [&](const media::Image& image) {
    return testing::prepare(*processor, false, {image})->hashes[0];
  };
  EXPECT_EQ(hash(picture(56, 56)), hash(picture(56, 56)));
  media::Image changed = picture(56, 56);
  changed.rgb[999] ^= 1;
  EXPECT_FALSE(hash(changed) == hash(picture(56, 56)));
  const media::Image wide{112, 56, std::vector<uint8_t>(112 * 56 * 3, 9)};
  const media::Image tall{56, 112, std::vector<uint8_t>(112 * 56 * 3, 9)};
  EXPECT_FALSE(hash(wide) == hash(tall));
}

TEST(Processor, VideoUnitsHoldTwoFramesAndAnOddLastOneTwice) {
  const auto processor = make_processor({.video_min_pixels = 1, .video_max_pixels = 56 * 56});
  // The second frame is of another size; all take the size of the first.
  const auto video = testing::prepare(*processor, true,
                                      {picture(56, 56, 1), picture(90, 40, 2), picture(56, 56, 3)});
  ASSERT_TRUE(video.ok()) << video.error().message;
  ASSERT_EQ(video->units.size(), 2u);
  EXPECT_EQ(video->tokens, 8);
  const std::vector<uint8_t>& last = video->units[1]->pixels;
  EXPECT_EQ(video->units[1]->frames, 2);
  EXPECT_TRUE(std::equal(last.begin(), last.begin() + static_cast<long>(last.size() / 2),
                         last.begin() + static_cast<long>(last.size() / 2)));
}

TEST(Processor, TheCostOfAVideoIsKnownBeforeItsFrames) {
  const auto processor = make_processor({.video_min_pixels = 1, .video_max_pixels = 56 * 84});
  for (const size_t frames : {1u, 2u, 5u}) {
    const std::vector<media::Image> pictures(frames, picture(90, 60));
    const auto cost =
        processor->cost({.is_video = true, .frames = frames, .height = 60, .width = 90});
    const auto prepared = testing::prepare(*processor, true, pictures);
    EXPECT_EQ(cost->tokens, prepared->tokens) << frames;
    size_t bytes = 0;
    for (const auto& unit : prepared->units) bytes += unit->pixels.size();
    EXPECT_EQ(cost->patch_bytes, bytes) << frames;
  }
}

// A61
TEST(Processor, FramesAreAskedForOnceInOrderAndErrorsEndThat) {
  const auto processor = make_processor({.video_min_pixels = 1, .video_max_pixels = 56 * 84});
  const MediaShape shape{.is_video = true, .frames = 5, .height = 60, .width = 90};
  std::vector<size_t> asked;
  const auto source = [&](size_t i) -> Result<media::Image> {
    asked.push_back(i);
    if (i == 3) return invalid_argument("no such frame");
    return picture(90, 60);
  };
  EXPECT_FALSE(processor->prepare(shape, source));
  EXPECT_EQ(asked, (std::vector<size_t>{0, 1, 2, 3}));
}

TEST(Processor, LimitsAreErrorsThatNameThem) {
  const auto processor = make_processor({.video = {.min_frames = 1, .max_frames = 2}});
  const auto message = [](const auto& result) {
    return result.ok() ? std::string("no error") : result.error().message;
  };
  const auto frames = [&](bool is_video, size_t count) {
    const Status taken = processor->check_frames(is_video, count);
    return taken ? std::string("no error") : taken.error().message;
  };
  EXPECT_THAT(frames(true, 3), HasSubstr("1 to 2 frames, found 3"));
  EXPECT_THAT(frames(false, 0), HasSubstr("found 0"));
  EXPECT_THAT(message(processor->cost({.height = 0, .width = 5})), HasSubstr("at least 1 pixel"));

  const std::vector<PromptSegment> image{{SegmentKind::kImage, "", 0}};
  EXPECT_THAT(message(processor->process(image, {}, kNoLimit)), HasSubstr("item 0 of the 0"));
  const std::vector<PreparedMedia> media{*testing::prepare(*processor, false, {picture(280, 280)})};
  EXPECT_THAT(message(processor->process(image, media, 99)),
              AllOf(HasSubstr("maximum context length is 99 tokens"),
                    HasSubstr("prompt is too long: at least 100 tokens")));
  EXPECT_TRUE(processor->process(image, media, 100).ok());
  const std::vector<PromptSegment> text{{SegmentKind::kUser, std::string(5000, 'x'), 0}};
  const auto long_text = processor->process(text, {}, 10);
  ASSERT_FALSE(long_text.ok());
  EXPECT_EQ(long_text.error().code, "context_length_exceeded");

  EXPECT_THAT(message(processor->from_tokens({5, 736})), HasSubstr("0 to 735, found 736"));
  EXPECT_THAT(message(processor->from_tokens({-1})), HasSubstr("found -1"));
  const int32_t placeholder = load_config(kCheckpoint)->image_token_id;
  EXPECT_THAT(message(processor->from_tokens({placeholder})), HasSubstr("picture"));
  EXPECT_EQ(processor->from_tokens({5, 6, 7})->next_position, 3);
}

TEST(Processor, CreateChecksTokenizerAndOptions) {
  auto tokenizer = std::make_shared<const text::Tokenizer>(*text::Tokenizer::load(kCheckpoint));
  const auto message = [&](const ModelConfig& config, const ProcessorOptions& options) {
    const auto result = Processor::create(config, tokenizer, options);
    return result.ok() ? std::string("no error") : result.error().message;
  };
  ModelConfig config = *load_config(kCheckpoint);
  EXPECT_EQ(message(config, {}), "no error");
  EXPECT_THAT(message(config, {.image_min_pixels = 0}), HasSubstr("image_min_pixels"));
  EXPECT_THAT(message(config, {.video_max_pixels = 5}), HasSubstr("video_max_pixels"));
  config.image_token_id = 5;
  EXPECT_THAT(message(config, {}), HasSubstr("im_patch_id"));
  config.image_token_id = -1;  // taken from the tokenizer
  EXPECT_EQ(message(config, {}), "no error");
  config.vocab_size = 100;
  EXPECT_THAT(message(config, {}), HasSubstr("vocab_size"));
}

TEST(Processor, TextModelsRefuseMedia) {
  constexpr const char* kText = "tests/golden/model/tiny-text";
  const auto processor = *Processor::create(
      *load_config(kText), std::make_shared<const text::Tokenizer>(*text::Tokenizer::load(kText)),
      {});
  EXPECT_EQ(testing::prepare(*processor, false, {picture(56, 56)}).error().code,
            "unsupported_media");
  EXPECT_FALSE(processor->cost({.height = 56, .width = 56}).ok());
}

}  // namespace
}  // namespace ernie::model
