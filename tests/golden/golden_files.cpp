#include "golden_files.h"

#include <boost/json.hpp>
#include <cstring>
#include <stdexcept>

#include "tensor/bf16.h"
#include "text/json_file.h"

namespace ernie::golden {
namespace {

namespace json = boost::json;

template <typename T>
std::vector<T> numbers(const json::value& list) {
  return json::value_to<std::vector<T>>(list);
}

std::vector<float> read_array(const json::value* value, const std::string& bytes) {
  if (value == nullptr || value->is_null()) return {};
  const json::object& array = value->get_object();
  size_t count = 1;
  for (const json::value& dim : array.at("shape").as_array()) count *= dim.to_number<size_t>();
  const char* data = bytes.data() + array.at("offset").to_number<size_t>();
  std::vector<float> out(count);
  if (array.at("dtype").as_string() == "f32") {
    std::memcpy(out.data(), data, count * sizeof(float));
  } else {
    for (size_t i = 0; i < count; ++i) {
      BF16 v;
      std::memcpy(&v, data + i * sizeof(v), sizeof(v));
      out[i] = to_float(v);
    }
  }
  return out;
}

text::ChatMessage read_message(const json::object& object) {
  text::ChatMessage message;
  message.role = object.at("role").as_string();
  if (const json::value* reasoning = object.if_contains("reasoning_content")) {
    if (reasoning->is_string()) message.reasoning_content = reasoning->as_string();
  }
  const json::value& content = object.at("content");
  if (content.is_string()) {
    message.parts.push_back({text::PartKind::kText, std::string(content.as_string())});
    return message;
  }
  for (const json::value& item : content.as_array()) {
    const json::object& part = item.as_object();
    const json::string& type = part.at("type").as_string();
    if (type == "text") {
      message.parts.push_back({text::PartKind::kText, std::string(part.at("text").as_string())});
    } else {
      message.parts.push_back(
          {type == "image" ? text::PartKind::kImage : text::PartKind::kVideo, {}});
    }
  }
  return message;
}

MediaCase read_media(const json::object& object, const std::string& bytes) {
  MediaCase media;
  media.is_video = object.at("kind").as_string() == "video";
  for (const json::value& frame : object.at("frames").as_array()) {
    const auto size = numbers<int>(frame);
    media.frames.push_back(formula_picture(size[0], size[1], size[2]));
  }
  const auto limits = numbers<int64_t>(object.at("limits"));
  (media.is_video ? media.limits.video_min_pixels : media.limits.image_min_pixels) = limits[0];
  (media.is_video ? media.limits.video_max_pixels : media.limits.image_max_pixels) = limits[1];
  const auto resized = numbers<int>(object.at("resized"));
  media.resized_height = resized[0];
  media.resized_width = resized[1];
  media.tokens = object.at("tokens").to_number<int>();
  media.rgb_hashes = numbers<std::string>(object.at("rgb_fnv1a64"));
  media.first_last_patch = read_array(object.if_contains("first_last_patch"), bytes);
  media.resampler = read_array(object.if_contains("resampler"), bytes);
  return media;
}

Case read_case(const json::object& object, const std::string& bytes) {
  Case c;
  c.name = object.at("name").as_string();
  for (const json::value& message : object.at("messages").as_array()) {
    c.chat.messages.push_back(read_message(message.as_object()));
  }
  if (object.at("enable_thinking").is_bool()) {
    c.chat.enable_thinking = object.at("enable_thinking").as_bool();
  }
  c.prompt = object.at("prompt").as_string();
  c.input_ids = numbers<int32_t>(object.at("input_ids"));
  const auto axes = numbers<std::vector<int32_t>>(object.at("position_ids"));
  for (size_t i = 0; i < axes[0].size(); ++i) {
    c.positions.push_back({axes[0][i], axes[1][i], axes[2][i]});
  }
  c.next_position = object.at("next_position").to_number<int32_t>();
  c.is_vision = numbers<uint8_t>(object.at("is_vision"));
  c.argmax = numbers<int32_t>(object.at("argmax"));
  c.logit_positions = numbers<int32_t>(object.at("logit_positions"));
  c.logits_f32 = read_array(object.if_contains("logits_f32"), bytes);
  const json::object& greedy = object.at("greedy").as_object();
  c.greedy_ids = numbers<int32_t>(greedy.at("ids"));
  c.greedy_margin = numbers<float>(greedy.at("margin"));
  c.greedy_noise = numbers<float>(greedy.at("bf16_noise"));
  const json::object& routed = object.at("routed_bf16").as_object();
  c.routed.rms = numbers<float>(routed.at("rms"));
  c.routed.max = numbers<float>(routed.at("max"));
  c.routed.router_rms = routed.at("router_rms").to_number<float>();
  c.routed.other_choices = routed.at("other_choices").to_number<int>();
  for (const json::value& media : object.at("media").as_array()) {
    c.media.push_back(read_media(media.as_object(), bytes));
  }
  return c;
}

}  // namespace

std::string folder_of(const std::string& checkpoint) { return "tests/golden/model/" + checkpoint; }

std::vector<Case> load_cases(const std::string& checkpoint) {
  const auto file = text::read_json_object(folder_of(checkpoint) + "/cases.json");
  const auto bytes = text::read_file(folder_of(checkpoint) + "/arrays.bin");
  if (!file || !bytes) throw std::runtime_error("golden files of " + checkpoint + " are missing");
  std::vector<Case> cases;
  for (const json::value& c : file->at("cases").as_array()) {
    cases.push_back(read_case(c.as_object(), *bytes));
  }
  return cases;
}

media::Image formula_picture(int width, int height, int k) {
  media::Image image{width, height, {}};
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < 3; ++c) {
        const int value = (3 + k) * x + (5 + 2 * k) * y + 71 * c + x * y / 7 + 37 * k;
        image.rgb.push_back(static_cast<uint8_t>(value % 256));
      }
    }
  }
  return image;
}

std::string fnv1a64_hex(const std::vector<uint8_t>& bytes) {
  uint64_t hash = 0xcbf29ce484222325ull;
  for (const uint8_t byte : bytes) hash = (hash ^ byte) * 0x100000001b3ull;
  char text[17];
  std::snprintf(text, sizeof(text), "%016llx", static_cast<unsigned long long>(hash));
  return text;
}

}  // namespace ernie::golden
