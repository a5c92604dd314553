#include <algorithm>
#include <boost/json.hpp>

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
  boost::json::error_code ec;
  const double number = value->to_number<double>(ec);
  if (ec || !(number >= low && number <= high)) {
    return bad_key(file, key,
                   "a number from " + std::to_string(low) + " to " + std::to_string(high));
  }
  *out = static_cast<float>(number);
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
    float top_k = 0;
    for (const Status& status :
         {read_number(config, file, "temperature", 0, 100, &defaults.temperature),
          read_number(config, file, "top_p", 0, 1, &defaults.top_p),
          read_number(config, file, "top_k", 0, 1e9, &top_k),
          read_number(config, file, "repetition_penalty", 1e-3, 100, &defaults.repetition_penalty),
          read_eos(config, file, tokenizer.vocab_size(), &defaults.eos_token_ids)}) {
      if (!status) return status.error();
    }
    defaults.top_k = static_cast<int>(top_k);
    const json::value* do_sample = config.if_contains("do_sample");
    if (do_sample && do_sample->is_bool() && !do_sample->as_bool()) defaults.temperature = 0;
  }
  auto& ids = defaults.eos_token_ids;
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return defaults;
}

}  // namespace ernie::serve
