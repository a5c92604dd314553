#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/content_key.h"
#include "base/result.h"
#include "model/prompt.h"
#include "text/tokenizer.h"

namespace ernie::serve {

// A picture or a video in a prompt.
struct RenderedMedia {
  bool is_video = false;
  ContentKey hash;  // equal hashes: the caches take the items for the same
  int begin = 0;    // its first token in the prompt
  int tokens = 0;
  int frames = 0;  // after an odd last one is repeated; 1 for a picture
  int height = 0;  // patches
  int width = 0;
};

// A prompt as the model would get it.
struct RenderedPrompt {
  std::shared_ptr<const model::Prompt> prompt;
  std::vector<RenderedMedia> media;  // by rising begin
  std::string text;                  // the tokens of each item stand in it as a single one
  int max_tokens = 0;                // of an answer
};

using OnRendered = std::function<void(Result<std::vector<RenderedPrompt>>)>;

RenderedPrompt rendered_prompt(std::shared_ptr<const model::Prompt> prompt,
                               const text::Tokenizer& tokenizer);

}  // namespace ernie::serve
