#include "load_requests.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <cmath>
#include <random>

#include "chat_client.h"

namespace ernie::app {
namespace {

namespace json = boost::json;

// Short common words: about one token each.
constexpr const char* kWords[] = {
    "time",   "year",   "people",   "way",   "day",    "man",     "thing",  "woman",   "life",
    "child",  "world",  "school",   "state", "family", "student", "group",  "country", "problem",
    "hand",   "part",   "place",    "case",  "week",   "company", "system", "program", "question",
    "work",   "number", "night",    "point", "home",   "water",   "room",   "mother",  "area",
    "money",  "story",  "fact",     "month", "lot",    "right",   "study",  "book",    "eye",
    "job",    "word",   "business", "issue", "side",   "kind",    "head",   "house",   "service",
    "friend", "father", "power",    "hour",  "game",   "line"};

using Random = std::mt19937_64;

int length(int mean, double ratio, Random& random) {
  const int least = std::max(1, static_cast<int>(std::floor(mean * (1 - ratio))));
  const int most = std::max(least, static_cast<int>(std::ceil(mean * (1 + ratio))));
  return std::uniform_int_distribution<int>(least, most)(random);
}

std::string words(int count, Random& random) {
  std::string text;
  for (int i = 0; i < count; ++i) {
    if (i > 0) text += ' ';
    text += kWords[random() % std::size(kWords)];
  }
  return text;
}

json::object picture_part(PictureSize size, uint64_t seed) {
  return {
      {"type", "image_url"},
      {"image_url", json::object{{"url", "data:image/jpeg;base64," +
                                             base64(encode_jpeg(random_picture(size, seed)))}}}};
}

}  // namespace

std::string LoadRequests::body(uint64_t number) const {
  const ServeBenchOptions& o = options_;
  std::seed_seq seed{o.seed, o.seed >> 32, number, number >> 32};
  Random random(seed);
  const int input = length(o.input_len, o.range_ratio, random);
  const int output = length(o.output_len, o.range_ratio, random);
  json::object body{{"model", model_},
                    {"max_tokens", output},
                    {"temperature", o.temperature},
                    {"stream", true},
                    {"stream_options", json::object{{"include_usage", true}}}};
  if (o.ignore_eos) body["ignore_eos"] = true;
  if (!o.chat) {
    json::array ids;
    std::uniform_int_distribution<int> id(o.first_token_id, o.last_token_id);
    for (int i = 0; i < input; ++i) ids.push_back(id(random));
    body["prompt"] = std::move(ids);
    return json::serialize(body);
  }
  json::value content = json::string(words(input, random));
  if (o.images > 0) {
    json::array parts;
    for (int i = 0; i < o.images; ++i) parts.push_back(picture_part(o.image_size, random()));
    parts.push_back(json::object{{"type", "text"}, {"text", std::move(content)}});
    content = std::move(parts);
  }
  body["messages"] = json::array{json::object{{"role", "user"}, {"content", std::move(content)}}};
  return json::serialize(body);
}

}  // namespace ernie::app
