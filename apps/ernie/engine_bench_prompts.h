#pragma once

#include <cstdint>
#include <memory>

#include "model/config.h"
#include "model/prompt.h"
#include "random_picture.h"

namespace ernie::app {

// Text tokens around the picture of picture_prompt().
constexpr int kTextAroundPicture = 16;

// Random token ids; other seeds share no beginning.
std::shared_ptr<const model::Prompt> random_prompt(const model::ModelConfig& config, int tokens,
                                                   uint64_t seed);

// Placeholder tokens of a picture of this size. Throws StartError when the model cannot take it.
int picture_tokens(const model::ModelConfig& config, PictureSize size);

// A picture between random tokens, scaled and cut as the model's processor does it. `config` has a
// vision tower.
std::shared_ptr<const model::Prompt> picture_prompt(const model::ModelConfig& config,
                                                    const media::Image& picture, uint64_t seed);

}  // namespace ernie::app
