#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <limits>

#include "serve/chat_service.h"
#include "text/json_file.h"

namespace ernie::serve {
namespace {

namespace json = boost::json;

Error bad_key(const std::string& file, const char* key, const std::string& expected) {
  return invalid_argument(file + ": \"" + key + "\" should be " + expected, key);
}

Status read_number(const json::object& config, const std::string& file, const char* key, double low,
                   double high, float* out) {
  const json::value* value = config.if_contains(key);
  if (!value || value->is_null()) return {};
  const double number = value->is_number() ? value->to_number<double>() : std::nan("");
  if (!(number >= low && number <= high)) {
    return bad_key(file, key,
                   "a number from " + std::to_string(low) + " to " + std::to_string(high));
  }
  *out = static_cast<float>(number);
  return {};
}

// 0 and -1 both mean that all tokens may be drawn.
Status read_top_k(const json::object& config, const std::string& file, int* out) {
  const json::value* value = config.if_contains("top_k");
  if (!value || value->is_null()) return {};
  if (!value->is_int64() || value->as_int64() < -1 ||
      value->as_int64() > std::numeric_limits<int>::max()) {
    return bad_key(file, "top_k", "a whole number from -1 to 2147483647");
  }
  *out = std::max(static_cast<int>(value->as_int64()), 0);
  return {};
}

Status read_do_sample(const json::object& config, const std::string& file, float* temperature) {
  const json::value* value = config.if_contains("do_sample");
  if (!value || value->is_null()) return {};
  if (!value->is_bool()) return bad_key(file, "do_sample", "true or false");
  if (!value->as_bool()) *temperature = 0;
  return {};
}

Status read_eos(const json::object& config, const std::string& file, int32_t vocab_size,
                std::vector<int32_t>* ids) {
  const json::value* value = config.if_contains("eos_token_id");
  if (!value || value->is_null()) return {};
  auto add = [&](const json::value& id) {
    if (!id.is_int64() || id.as_int64() < 0 || id.as_int64() >= vocab_size) return false;
    ids->push_back(static_cast<int32_t>(id.as_int64()));
    return true;
  };
  if (value->is_array()) {
    for (const auto& id : value->as_array()) {
      if (!add(id))
        return bad_key(file, "eos_token_id", "a token id of this model or a list of such ids");
    }
  } else if (!add(*value)) {
    return bad_key(file, "eos_token_id", "a token id of this model or a list of such ids");
  }
  return {};
}

}  // namespace

Result<GenerationDefaults> load_generation_defaults(const std::string& model_dir,
                                                    const text::Tokenizer& tokenizer) {
  GenerationDefaults defaults;
  defaults.eos_token_ids.push_back(tokenizer.eos_id());
  if (tokenizer.sep_id()) defaults.eos_token_ids.push_back(*tokenizer.sep_id());

  const std::string file = model_dir + "/generation_config.json";
  if (text::has_entry(file)) {
    const Result<json::object> parsed = text::read_json_object(file);
    if (!parsed) return parsed.error();
    const json::object& config = *parsed;
    defaults.top_p = 1.0f;  // what transformers takes where the file does not say
    const auto number = [&](const char* key, double low, double high, float& out) {
      return read_number(config, file, key, low, high, &out);
    };
    for (const Status& status :
         {number("temperature", 0, 100, defaults.temperature),
          number("top_p", 0, 1, defaults.top_p), number("min_p", 0, 1, defaults.min_p),
          number("repetition_penalty", 1e-3, 100, defaults.repetition_penalty),
          number("frequency_penalty", -2, 2, defaults.frequency_penalty),
          number("presence_penalty", -2, 2, defaults.presence_penalty),
          read_top_k(config, file, &defaults.top_k),
          read_do_sample(config, file, &defaults.temperature),
          read_eos(config, file, tokenizer.vocab_size(), &defaults.eos_token_ids)}) {
      if (!status) return status.error();
    }
  }
  auto& ids = defaults.eos_token_ids;
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return defaults;
}

}  // namespace ernie::serve
