#include "engine_bench_prompts.h"

#include <algorithm>
#include <random>

#include "media/resize.h"
#include "model/patchify.h"
#include "model/prompt_builder.h"

namespace ernie::app {
namespace {

model::ResizedSize scaled(const model::ModelConfig& config, PictureSize size) {
  const model::ProcessorOptions limits;
  const auto found = model::smart_resize(size.height, size.width, 2 * config.vision->patch_size,
                                         limits.image_min_pixels, limits.image_max_pixels);
  if (!found) throw StartError("--image: " + found.error().message);
  return *found;
}

std::vector<int32_t> random_tokens(const model::ModelConfig& config, int count, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<int32_t> tokens;
  tokens.reserve(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i)
    tokens.push_back(static_cast<int32_t>(random() % static_cast<uint64_t>(config.vocab_size)));
  return tokens;
}

}  // namespace

std::shared_ptr<const model::Prompt> random_prompt(const model::ModelConfig& config, int tokens,
                                                   uint64_t seed) {
  model::PromptBuilder builder({});
  builder.add_text(random_tokens(config, tokens, seed));
  return std::make_shared<const model::Prompt>(std::move(builder).finish());
}

int picture_tokens(const model::ModelConfig& config, PictureSize size) {
  const model::ResizedSize to = scaled(config, size);
  const int window = 2 * config.vision->patch_size;
  return (to.height / window) * (to.width / window);
}

// A tokenizer, which model::Processor wants, is in no built-in geometry; the ids around the picture
// do not matter here.
std::shared_ptr<const model::Prompt> picture_prompt(const model::ModelConfig& config,
                                                    const media::Image& picture, uint64_t seed) {
  const model::ResizedSize to = scaled(config, {picture.width, picture.height});
  const media::Image resized = media::resize_bicubic(picture, to.width, to.height);
  const media::Image* frames[] = {&resized};
  auto grid =
      std::make_shared<const model::PatchGrid>(model::patchify(frames, config.vision->patch_size));
  model::PreparedMedia media;
  media.hashes.push_back(model::hash_unit(*grid, 0));
  media.tokens = grid->tokens();
  media.units.push_back(std::move(grid));

  const std::vector<int32_t> text = random_tokens(config, kTextAroundPicture, seed);
  const std::span<const int32_t> around(text);
  model::PromptBuilder builder({.placeholder = std::max(config.image_token_id, 0)});
  builder.add_text(around.first(kTextAroundPicture / 2));
  builder.add_media(media);
  builder.add_text(around.last(kTextAroundPicture / 2));
  return std::make_shared<const model::Prompt>(std::move(builder).finish());
}

}  // namespace ernie::app
