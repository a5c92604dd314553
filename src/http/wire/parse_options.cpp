#include <charconv>
#include <cmath>

#include "http/wire/parse_common.h"

namespace ernie::http {
namespace {

namespace json = boost::json;

constexpr int64_t kMaxInt = INT32_MAX;
constexpr size_t kMaxStopIds = 256;
constexpr size_t kMaxLogitBias = 1024;
constexpr size_t kMaxBadWords = 1024;
constexpr size_t kMaxSaltBytes = 256;

// OpenAI's form: an object from token id (as a string) to bias.
void parse_logit_bias(FieldReader& fields, serve::GenerationOptions* options) {
  const json::object* map = fields.object("logit_bias");
  if (!map) return;
  if (map->size() > kMaxLogitBias) {
    fields.fail("logit_bias", "has " + std::to_string(map->size()) + " entries; at most " +
                                  std::to_string(kMaxLogitBias) + " are allowed");
    return;
  }
  for (const auto& member : *map) {
    const std::string_view key = member.key();
    int32_t id = -1;
    const auto [end, ec] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (ec != std::errc() || end != key.data() + key.size() || id < 0) {
      fields.fail("logit_bias",
                  "should map token ids to numbers, got the key " + describe(json::value(key)));
      return;
    }
    const double bias = member.value().is_number() ? member.value().to_number<double>() : NAN;
    if (!(bias >= -100 && bias <= 100)) {
      fields.fail("logit_bias",
                  "should hold numbers from -100 to 100, got " + describe(member.value()));
      return;
    }
    options->logit_bias.emplace_back(id, static_cast<float>(bias));
  }
}

bool is_plain_id(const std::string& id) {
  for (char c : id) {
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '-' && c != '_' && c != '.')
      return false;
  }
  return !id.empty();
}

template <typename T>
std::optional<T> narrow(std::optional<int64_t> v) {
  if (!v) return std::nullopt;
  return static_cast<T>(*v);
}

}  // namespace

serve::GenerationOptions parse_options(FieldReader& fields, int least_tokens) {
  serve::GenerationOptions options;
  options.temperature = fields.number("temperature", 0, 2);
  options.top_p = fields.number("top_p", 0, 1);
  if (auto top_k = fields.integer("top_k", -1, kMaxInt))
    options.top_k = std::max<int64_t>(*top_k, 0);
  options.min_p = fields.number("min_p", 0, 1);
  options.repetition_penalty = fields.number("repetition_penalty", 0.01, 10);
  options.frequency_penalty = fields.number("frequency_penalty", -2, 2);
  options.presence_penalty = fields.number("presence_penalty", -2, 2);
  options.seed = narrow<uint64_t>(fields.integer("seed", 0, INT64_MAX));
  options.max_tokens = narrow<int>(fields.integer("max_tokens", least_tokens, kMaxInt));
  if (auto newer = fields.integer("max_completion_tokens", least_tokens, kMaxInt)) {
    options.max_tokens = static_cast<int>(*newer);
  }
  options.min_tokens = static_cast<int>(fields.integer("min_tokens", 0, kMaxInt).value_or(0));
  options.stop = fields.strings("stop", kMaxStopStrings, kMaxStopBytes);
  options.stop_token_ids = fields.token_ids("stop_token_ids", kMaxStopIds);
  options.include_stop_str_in_output = fields.boolean("include_stop_str_in_output").value_or(false);
  options.ignore_eos = fields.boolean("ignore_eos").value_or(false);
  options.skip_special_tokens = fields.boolean("skip_special_tokens").value_or(true);
  options.n = static_cast<int>(fields.integer("n", 1, 128).value_or(1));
  options.bad_words = fields.strings("bad_words", kMaxBadWords, kMaxStopBytes);
  options.bad_words_token_ids = fields.token_ids("bad_words_token_ids", kMaxBadWords);
  options.format = parse_format(fields);
  options.return_token_ids = fields.boolean("return_token_ids").value_or(false);
  options.max_streaming_response_tokens =
      static_cast<int>(fields.integer("max_streaming_response_tokens", 1, kMaxInt).value_or(1));
  options.timeout_ms = narrow<int>(fields.integer("timeout_ms", 1, 86'400'000));
  parse_logit_bias(fields, &options);
  if (auto id = fields.string("request_id", 128)) {
    if (!is_plain_id(*id))
      fields.fail("request_id", "may hold letters, digits, '-', '_' and '.' only");
    options.request_id = *id;
  }
  options.cache_salt = fields.string("cache_salt", kMaxSaltBytes).value_or("");
  fields.string("user", 1024);
  return options;
}

serve::GenerationOptions parse_options_of_one(FieldReader& fields) {
  serve::GenerationOptions options = parse_options(fields);
  fields.refuse("n", "this API gives one answer", 1);
  for (const char* key : {"logprobs", "prompt_logprobs", "return_token_ids", "chat_template_kwargs",
                          "continue_final_message"}) {
    fields.refuse(key, "use /v1/chat/completions", 0);
  }
  refuse_unsupported(fields);
  return options;
}

StreamOptions parse_stream_options(FieldReader& fields) {
  StreamOptions out;
  out.stream = fields.boolean("stream").value_or(false);
  const json::object* object = fields.object("stream_options");
  if (!object) return out;
  if (!out.stream) {
    fields.fail("stream_options", "is allowed only with \"stream\": true");
    return out;
  }
  FieldReader inner(*object, "stream_options.");
  out.include_usage = inner.boolean("include_usage").value_or(true);
  out.continuous_usage = inner.boolean("continuous_usage_stats").value_or(false);
  fields.adopt(inner);
  return out;
}

}  // namespace ernie::http
