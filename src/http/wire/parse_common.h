#pragma once

#include "http/wire/field_reader.h"
#include "http/wire/parse.h"
#include "serve/request.h"

namespace ernie::http {

inline constexpr size_t kMaxTextBytes = size_t{256} << 20;  // of a part of a message
inline constexpr size_t kMaxNameBytes = 1024;               // of functions, calls and speakers
inline constexpr size_t kMaxStopStrings = 16;
inline constexpr size_t kMaxStopBytes = 1024;

// Fields that chat and completions share; max_tokens may be from `least_tokens`.
serve::GenerationOptions parse_options(FieldReader& fields, int least_tokens = 1);
// The same where there is one answer without log-probabilities: the newer APIs take these fields as
// extensions.
serve::GenerationOptions parse_options_of_one(FieldReader& fields);
// What the answer must look like, in any of the ways to say so.
std::optional<serve::AnswerFormat> parse_format(FieldReader& fields);
StreamOptions parse_stream_options(FieldReader& fields);
// Fields of either API that this server knows but does not implement.
void refuse_unsupported(FieldReader& fields);

// Tools and how they may be called, in today's form and as functions; the latter sets
// `functions_only`. Fills the request's template input and its tool use.
void parse_tools(FieldReader& fields, serve::ChatRequest* request, bool* functions_only);

// Whether and how much the model thinks, in every spelling but those of chat_template_kwargs and
// metadata, which go before.
void parse_thinking(FieldReader& fields, serve::ChatRequest* request);

// Adds a call of a past answer, with its arguments as JSON text. `name` is an error of `call` if it
// is missing.
void add_call(FieldReader& call, const std::string& id, const std::optional<std::string>& name,
              const std::string& arguments, text::ChatMessage& message);

// A list of messages, with `param` naming it in errors.
Result<std::vector<text::ChatMessage>> parse_messages(const boost::json::array& messages);

}  // namespace ernie::http
