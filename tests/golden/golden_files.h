#pragma once

#include <boost/json/object.hpp>
#include <string>
#include <vector>

#include "media/image.h"
#include "model/processor.h"
#include "text/chat_template.h"

// Reading the files of tests/golden/model, whose README.md describes them.
namespace ernie::golden {

// Checkpoint folders with a cases.json.
std::string folder_of(const std::string& checkpoint);

struct MediaCase {
  bool is_video = false;
  std::vector<media::Image> frames;
  model::ProcessorOptions limits;
  int resized_height = 0;
  int resized_width = 0;
  int tokens = 0;
  std::vector<std::string> rgb_hashes;  // FNV-1a of each frame after resizing, hexadecimal
  std::vector<float> first_last_patch;  // [2, 588]
  std::vector<float> resampler;         // [tokens, hidden], or empty
};

// transformers in bfloat16 where every token takes the experts it takes in float32.
struct RoutedNoise {
  std::vector<float> rms;  // of the logits' errors, per row: the logit positions, then the steps
  std::vector<float> max;
  float router_rms = 0;   // of the errors of all probabilities of all routers
  int other_choices = 0;  // of experts, that were overruled
};

struct Case {
  std::string name;
  text::ChatInput chat;
  std::string prompt;
  std::vector<int32_t> input_ids;
  std::vector<std::array<int32_t, 3>> positions;
  int32_t next_position = 0;
  std::vector<uint8_t> is_vision;
  std::vector<int32_t> argmax;
  std::vector<int32_t> logit_positions;
  std::vector<float> logits_f32;  // [positions, vocab]
  std::vector<int32_t> greedy_ids;
  std::vector<float> greedy_margin;
  std::vector<float> greedy_noise;
  RoutedNoise routed;
  std::vector<MediaCase> media;
};

std::vector<Case> load_cases(const std::string& checkpoint);

// Picture k of the README's formula.
media::Image formula_picture(int width, int height, int k);

std::string fnv1a64_hex(const std::vector<uint8_t>& bytes);

}  // namespace ernie::golden
