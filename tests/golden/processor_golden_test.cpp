// The processor against transformers' tokens, positions, routing flags and pixels.

#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "golden_files.h"
#include "model/config.h"
#include "model/processor.h"
#include "model/testing/decoded_media.h"
#include "text/json_file.h"
#include "text/tokenizer.h"

namespace ernie {
namespace {

using golden::Case;
using golden::MediaCase;

struct Loaded {
  model::ModelConfig config;
  std::shared_ptr<const text::Tokenizer> tokenizer;
  std::unique_ptr<const text::ChatTemplate> chat_template;
};

Loaded load(const std::string& checkpoint) {
  const std::string folder = golden::folder_of(checkpoint);
  Loaded loaded;
  loaded.config = *model::load_config(folder);
  loaded.tokenizer = std::make_shared<const text::Tokenizer>(*text::Tokenizer::load(folder));
  loaded.chat_template = *text::ChatTemplate::from_checkpoint(folder);
  if (loaded.chat_template == nullptr) {
    loaded.chat_template = text::ChatTemplate::builtin(
        loaded.config.vision ? text::BuiltinTemplate::kErnieVl : text::BuiltinTemplate::kErnieText);
  }
  return loaded;
}

model::PreparedMedia prepare(const Loaded& loaded, const MediaCase& media) {
  const auto processor = model::Processor::create(loaded.config, loaded.tokenizer, media.limits);
  const auto prepared = model::testing::prepare(**processor, media.is_video, media.frames);
  if (!prepared) throw std::runtime_error(prepared.error().message);
  return *prepared;
}

// Puts patches back into a picture: [height, width, 3].
std::vector<uint8_t> picture_of(const model::PatchGrid& grid, int frame) {
  constexpr int kPatch = 14;
  const int width = grid.width * kPatch;
  std::vector<uint8_t> rgb(static_cast<size_t>(grid.height * grid.width) * 588);
  const uint8_t* in = grid.pixels.data() + static_cast<size_t>(frame) * rgb.size();
  for (int window = 0; window < grid.tokens(); ++window) {
    for (int inside = 0; inside < 4; ++inside) {
      const int row = window / (grid.width / 2) * 2 + inside / 2;
      const int col = window % (grid.width / 2) * 2 + inside % 2;
      for (int c = 0; c < 3; ++c) {
        for (int y = 0; y < kPatch; ++y) {
          for (int x = 0; x < kPatch; ++x) {
            rgb[((row * kPatch + y) * width + col * kPatch + x) * 3 + c] = *in++;
          }
        }
      }
    }
  }
  return rgb;
}

class ProcessorGolden : public ::testing::TestWithParam<const char*> {};

TEST_P(ProcessorGolden, TokensPositionsAndRoutingEqualTheReference) {
  const Loaded loaded = load(GetParam());
  for (const Case& c : golden::load_cases(GetParam())) {
    SCOPED_TRACE(c.name);
    std::vector<model::PreparedMedia> media;
    for (const MediaCase& m : c.media) media.push_back(prepare(loaded, m));
    const auto segments = loaded.chat_template->render(c.chat);
    ASSERT_TRUE(segments.ok()) << segments.error().message;
    const auto processor = model::Processor::create(loaded.config, loaded.tokenizer, {});
    ASSERT_TRUE(processor.ok()) << processor.error().message;
    const auto prompt = (*processor)->process(*segments, media, 100000);
    ASSERT_TRUE(prompt.ok()) << prompt.error().message;
    EXPECT_EQ(prompt->tokens, c.input_ids);
    EXPECT_EQ(prompt->positions, c.positions);
    EXPECT_EQ(prompt->is_vision, c.is_vision);
    EXPECT_EQ(prompt->next_position, c.next_position);
  }
}

TEST_P(ProcessorGolden, PixelsEqualTheReference) {
  const Loaded loaded = load(GetParam());
  for (const Case& c : golden::load_cases(GetParam())) {
    SCOPED_TRACE(c.name);
    for (const MediaCase& m : c.media) {
      const model::PreparedMedia prepared = prepare(loaded, m);
      EXPECT_EQ(prepared.tokens, m.tokens);
      std::vector<std::string> hashes;
      for (const auto& unit : prepared.units) {
        EXPECT_EQ(unit->height * 14, m.resized_height);
        EXPECT_EQ(unit->width * 14, m.resized_width);
        for (int f = 0; f < unit->frames; ++f) {
          hashes.push_back(golden::fnv1a64_hex(picture_of(*unit, f)));
        }
      }
      // The copy that completes an odd number of frames may be listed or not.
      if (hashes.size() == m.rgb_hashes.size() + 1) {
        EXPECT_EQ(hashes.back(), hashes[hashes.size() - 2]);
        hashes.pop_back();
      }
      EXPECT_EQ(hashes, m.rgb_hashes);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, ProcessorGolden,
                         ::testing::Values("tiny-a", "tiny-b", "tiny-text", "tiny-moe-text"));

TEST(SmartResizeGolden, AllRowsOfTheTable) {
  const auto file = text::read_json_object("tests/golden/model/smart_resize.json");
  ASSERT_TRUE(file.ok()) << file.error().message;
  const auto limits = [&](const char* key) {
    return boost::json::value_to<std::vector<int64_t>>(file->at(key));
  };
  const std::vector<int64_t> all_limits[] = {limits("image_limits"), limits("video_limits")};
  for (const auto& row : file->at("rows").as_array()) {
    const int height = row.at(0).to_number<int>();
    const int width = row.at(1).to_number<int>();
    for (int kind = 0; kind < 2; ++kind) {
      const auto size =
          model::smart_resize(height, width, 28, all_limits[kind][0], all_limits[kind][1]);
      const boost::json::value& expected = row.at(2 + kind);
      ASSERT_EQ(size.ok(), !expected.is_null()) << height << " x " << width;
      if (!size) continue;
      EXPECT_EQ(size->height, expected.at(0).to_number<int>()) << height << " x " << width;
      EXPECT_EQ(size->width, expected.at(1).to_number<int>()) << height << " x " << width;
    }
  }
}

}  // namespace
}  // namespace ernie
