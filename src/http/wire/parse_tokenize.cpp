#include "http/wire/parse_tokenize.h"

#include <algorithm>
#include <utility>

#include "http/wire/parse_common.h"

namespace ernie::http {
namespace {

namespace json = boost::json;

void refuse_true(FieldReader& fields, const char* key, const char* why) {
  if (fields.boolean(key).value_or(false))
    fields.fail(key, std::string("should be false: ") + why, "unsupported_parameter");
}

// The messages and what else a chat request may say of its prompt.
Status parse_chat_form(const json::object& body, std::vector<std::string> unknown_here,
                       ParsedTokenize* out) {
  auto chat = parse_chat(body);
  if (!chat) return chat.error();
  std::erase_if(unknown_here, [&](const std::string& name) {
    return std::ranges::find(chat->unknown_fields, name) == chat->unknown_fields.end();
  });
  out->unknown_fields = std::move(unknown_here);
  out->chat = std::move(chat->request);
  return {};
}

}  // namespace

Result<ParsedTokenize> parse_tokenize(const json::object& body) {
  FieldReader fields(body);
  ParsedTokenize out;
  out.model = fields.string("model", 1024).value_or("");
  out.token_strs = fields.boolean("return_token_strs").value_or(false);
  refuse_true(fields, "add_special_tokens", "a prompt has the tokens of its text and no others");
  const bool is_chat = fields.value("messages") != nullptr;
  const auto prompt = fields.string("prompt", kMaxTextBytes);
  if (is_chat && prompt) fields.fail("prompt", "cannot come together with messages; send one");
  if (!is_chat && !prompt)
    fields.fail("prompt", "is missing: a prompt or messages are required",
                "missing_required_parameter");
  if (!is_chat) {
    for (const char* key : {"add_generation_prompt", "continue_final_message", "chat_template",
                            "chat_template_kwargs", "enable_thinking", "tools"})
      fields.refuse(key, "it belongs to messages");
  }
  fields.refuse("mm_processor_kwargs", "start the server with --mm-processor-kwargs");
  fields.refuse("media_io_kwargs", "this server cannot do it");
  if (auto s = fields.status(); !s) return s.error();
  if (is_chat) {
    if (auto s = parse_chat_form(body, fields.unread_keys(), &out); !s) return s.error();
    return out;
  }
  out.prompt = *prompt;
  out.unknown_fields = fields.unread_keys();
  return out;
}

Result<ParsedDetokenize> parse_detokenize(const json::object& body, int vocab_size,
                                          int max_tokens) {
  FieldReader fields(body);
  ParsedDetokenize out;
  out.model = fields.string("model", 1024).value_or("");
  refuse_true(fields, "skip_special_tokens", "the text of special tokens is shown too");
  const json::array* tokens = fields.array("tokens");
  if (!fields.value("tokens"))
    fields.fail("tokens", "is missing: a list of token ids is required",
                "missing_required_parameter");
  if (tokens && tokens->size() > static_cast<size_t>(max_tokens)) {
    fields.fail("tokens", "has " + std::to_string(tokens->size()) + " items; at most " +
                              std::to_string(max_tokens) + " are allowed (--max-model-len)");
  }
  if (auto s = fields.status(); !s) return s.error();
  for (const json::value& token : *tokens) {
    if (!token.is_int64() || token.as_int64() < 0 || token.as_int64() >= vocab_size) {
      return invalid_argument("tokens[" + std::to_string(out.tokens.size()) +
                                  "] should be a token id from 0 to " +
                                  std::to_string(vocab_size - 1) + ", got " + describe(token),
                              "tokens");
    }
    out.tokens.push_back(static_cast<int32_t>(token.as_int64()));
  }
  out.unknown_fields = fields.unread_keys();
  return out;
}

}  // namespace ernie::http
