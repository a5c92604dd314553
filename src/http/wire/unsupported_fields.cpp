#include <boost/json/parse.hpp>
#include <vector>

#include "http/wire/parse_common.h"

// Fields of OpenAI, FastDeploy, vLLM, llama.cpp and Ollama that change the meaning of an answer and
// that this server does not have.
namespace ernie::http {
namespace {

namespace json = boost::json;

struct Unsupported {
  const char* key;
  const char* off = "null";  // JSON of a value that asks for nothing
};

constexpr Unsupported kUnsupported[] = {
    // OpenAI
    {"audio"},
    {"modalities", R"(["text"])"},
    {"prediction"},
    {"web_search_options"},
    {"verbosity", R"("medium")"},
    // FastDeploy
    {"logits_processors_args"},
    {"include_draft_logprobs"},
    {"include_logprobs_decode_token"},
    {"temp_scaled_logprobs"},
    {"top_p_normalized_logprobs"},
    {"completion_token_ids"},
    {"mm_hashes"},
    {"response_max_tokens"},
    {"disaggregate_info"},
    // vLLM
    {"priority", "0"},
    {"use_beam_search"},
    {"length_penalty", "1"},
    {"early_stopping"},
    {"truncate_prompt_tokens"},
    {"mm_processor_kwargs"},
    {"documents"},
    {"allowed_token_ids"},
    {"logits_processors"},
    {"repetition_detection"},
    {"detokenize", "true"},
    {"include_reasoning", "true"},
    // llama.cpp and Ollama
    {"repeat_penalty", "1"},
    {"repeat_last_n"},
    {"typical_p", "1"},
    {"tfs_z", "1"},
    {"top_a", "0"},
    {"mirostat", "0"},
    {"dry_multiplier", "0"},
    {"xtc_probability", "0"},
    {"dynatemp_range", "0"},
    {"top_n_sigma", "-1"},
    {"samplers"},
    {"n_probs", "0"},
    {"n_predict", "-1"},
    {"options"},
};

}  // namespace

void refuse_unsupported(FieldReader& fields) {
  static const std::vector<json::value> off_values = [] {
    std::vector<json::value> values;
    for (const Unsupported& field : kUnsupported) values.push_back(json::parse(field.off));
    return values;
  }();
  for (size_t i = 0; i < off_values.size(); ++i) {
    fields.refuse(kUnsupported[i].key, "this server cannot do it", off_values[i]);
  }
  fields.refuse("chat_template",
                "a template cannot come with a request; start the server with --chat-template");
}

}  // namespace ernie::http
