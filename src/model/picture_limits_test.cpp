#include "model/picture_limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/testing/checkpoint_writer.h"

namespace ernie::model {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::TempFolder;

constexpr const char* kCheckpoint = "tests/golden/model/tiny-a";

struct File {
  std::string name;
  std::string json;
};

Result<ProcessorOptions> load(const std::vector<File>& files, const PictureLimits& given = {}) {
  const TempFolder folder;
  for (const File& file : files) folder.write(file.name, file.json);
  return load_processor_options(*load_config(kCheckpoint), folder.path(), given);
}

int tokens(const ProcessorOptions& options, int height, int width) {
  auto tokenizer = std::make_shared<const text::Tokenizer>(*text::Tokenizer::load(kCheckpoint));
  const auto processor =
      *Processor::create(*load_config(kCheckpoint), std::move(tokenizer), options);
  return processor->cost({.height = height, .width = width})->tokens;
}

TEST(PictureLimits, WithoutFilesAndFlagsAreTheChatProcessors) {
  const auto options = *load({});
  EXPECT_EQ(options.image_min_pixels, 4 * 28 * 28);
  EXPECT_EQ(options.image_max_pixels, 6177 * 28 * 28);
  EXPECT_EQ(options.video_min_pixels, 299 * 28 * 28);
  EXPECT_EQ(options.video_max_pixels, 1196 * 28 * 28);
}

TEST(PictureLimits, OfTheFileDecideHowManyTokensAPictureTakes) {
  const auto own = *load({{"preprocessor_config.json", R"({"max_pixels": 50176})"}});
  EXPECT_EQ(tokens(*load({}), 448, 476), 272);
  EXPECT_EQ(tokens(own, 448, 476), 56);
}

TEST(PictureLimits, MayBeWrittenInEveryFormOfTheProcessors) {
  for (const File& file : std::vector<File>{
           {"preprocessor_config.json", R"({"min_pixels": 784, "max_pixels": 7840})"},
           {"preprocessor_config.json", R"({"size": {"min_pixels": 784, "max_pixels": 7840}})"},
           {"preprocessor_config.json",
            R"({"size": {"shortest_edge": 784, "longest_edge": 7840}})"},
           {"preprocessor_config.json",
            R"({"image_processor": {"min_pixels": 784, "max_pixels": 7840}})"},
           {"processor_config.json",
            R"({"image_processor": {"size": {"shortest_edge": 784, "longest_edge": 7840}}})"},
           {"processor_config.json", R"({"image_min_pixels": 784, "image_max_pixels": 7840})"}}) {
    const auto options = load({file});
    ASSERT_TRUE(options.ok()) << options.error().message;
    EXPECT_EQ(options->image_min_pixels, 784) << file.json;
    EXPECT_EQ(options->image_max_pixels, 7840) << file.json;
    EXPECT_EQ(options->video_min_pixels, 299 * 28 * 28) << file.json;
  }
}

TEST(PictureLimits, OfVideosHaveFormsOfTheirOwn) {
  for (const File& file : std::vector<File>{
           {"preprocessor_config.json", R"({"video_min_pixels": 784, "video_max_pixels": 7840})"},
           {"processor_config.json",
            R"({"video_processor": {"size": {"shortest_edge": 784, "longest_edge": 7840}}})"},
           {"video_preprocessor_config.json",
            R"({"size": {"shortest_edge": 784, "longest_edge": 7840}})"}}) {
    const auto options = load({file});
    ASSERT_TRUE(options.ok()) << options.error().message;
    EXPECT_EQ(options->video_min_pixels, 784) << file.json;
    EXPECT_EQ(options->video_max_pixels, 7840) << file.json;
    EXPECT_EQ(options->image_min_pixels, 4 * 28 * 28) << file.json;
  }
}

TEST(PictureLimits, FlagsGoBeforeTheProcessorsFileAndThatBeforeThePreprocessors) {
  const std::vector<File> files{
      {"preprocessor_config.json", R"({"min_pixels": 1, "max_pixels": 2, "video_min_pixels": 3})"},
      {"processor_config.json", R"({"image_processor": {"min_pixels": 4, "max_pixels": 5000}})"}};
  const auto options = *load(files, {.image_max_pixels = 6000, .frames = {.max_frames = 7}});
  EXPECT_EQ(options.image_max_pixels, 6000);
  EXPECT_EQ(options.image_min_pixels, 4);
  EXPECT_EQ(options.video_min_pixels, 3);
  EXPECT_EQ(options.video.max_frames, 7);
}

TEST(PictureLimits, OfVideosTheFilesSayFramesAndWhetherTimesAreDrawn) {
  const auto usual = *load({});
  EXPECT_TRUE(usual.draw_on_frames);
  EXPECT_EQ(usual.video.fps, 2);
  EXPECT_EQ(usual.video.min_frames, 16);
  EXPECT_EQ(usual.video.max_frames, 180);
  const std::vector<File> files{
      {"video_preprocessor_config.json",
       R"({"min_frames": 4, "max_frames": 32, "draw_on_frames": false})"}};
  const auto own = *load(files);
  EXPECT_FALSE(own.draw_on_frames);
  EXPECT_EQ(own.video.min_frames, 4);
  EXPECT_EQ(own.video.max_frames, 32);
  EXPECT_TRUE(load(files, {.draw_on_frames = true})->draw_on_frames);
}

TEST(PictureLimits, ATargetOfFramesMovesOnlyLimitsThatNobodyGave) {
  const auto few = *load({}, {.frames = {.target_frames = 4}});
  EXPECT_EQ(few.video.min_frames, 4);
  const auto many = *load({}, {.frames = {.target_frames = 300}});
  EXPECT_EQ(many.video.max_frames, 300);
  const auto bad = load({}, {.frames = {.min_frames = 8, .target_frames = 4}});
  ASSERT_FALSE(bad);
  EXPECT_THAT(bad.error().message, AllOf(HasSubstr("video_target_frames"), HasSubstr("8 to")));
}

// The size to which CLIP's processor cuts stands in the published files and means nothing.
TEST(PictureLimits, OtherFormsOfSizeAreNoLimits) {
  for (const char* size :
       {"224", R"({"height": 224, "width": 224})", R"({"shortest_edge": 224})"}) {
    const auto options =
        load({{"preprocessor_config.json", std::string(R"({"size": )") + size + "}"}});
    ASSERT_TRUE(options.ok()) << options.error().message;
    EXPECT_EQ(options->image_min_pixels, 4 * 28 * 28) << size;
  }
}

TEST(PictureLimits, TextModelsReadNoFile) {
  const TempFolder folder;
  folder.write("preprocessor_config.json", "{");
  EXPECT_TRUE(
      load_processor_options(*load_config("tests/golden/model/tiny-text"), folder.path(), {}).ok());
}

// A78
TEST(PictureLimits, ARefusalNamesFileKeyAndValue) {
  const struct {
    const char* json;
    const char* said;
  } rows[] = {{"{", "expected JSON"},
              {R"({"max_pixels": "big"})", "max_pixels: expected a whole number"},
              {R"({"min_pixels": 0})", "min_pixels: expected a whole number from 1"},
              {R"({"size": {"max_pixels": -1}})", "size.max_pixels"},
              {R"({"image_processor": {"max_pixels": 1.5}})", "image_processor.max_pixels"},
              {R"({"image_processor": 3})", "image_processor: expected an object"},
              {R"({"do_normalize": false})", "do_normalize: expected true"},
              {R"({"image_mean": [0.5, 0.5, 0.5]})", "image_mean: expected [4.8145466E-1"},
              {R"({"resample": 2})", "resample: expected 3"}};
  for (const auto& row : rows) {
    const auto options = load({{"preprocessor_config.json", row.json}});
    ASSERT_FALSE(options.ok()) << row.json;
    EXPECT_THAT(options.error().message,
                AllOf(HasSubstr("preprocessor_config.json: "), HasSubstr(row.said)));
  }
  const auto crossed =
      load({{"preprocessor_config.json", R"({"min_pixels": 5000})"}}, {.image_max_pixels = 784});
  ASSERT_FALSE(crossed.ok());
  EXPECT_THAT(crossed.error().message,
              AllOf(HasSubstr("image_max_pixels"), HasSubstr("5000"), HasSubstr("784")));
}

}  // namespace
}  // namespace ernie::model
