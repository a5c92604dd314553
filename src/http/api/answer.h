#pragma once

#include <memory>

#include "base/request_memory.h"
#include "http/message.h"
#include "http/wire/answer_form.h"
#include "http/wire/parse.h"
#include "http/wire/render.h"
#include "serve/output.h"

namespace ernie::http {

// How one request is answered.
struct AnswerOptions {
  AnswerHead head;
  StreamOptions stream;
  ShowOptions show;
  bool is_chat = true;
  bool echo = false;  // completions: the text starts with the prompt
  int choices = 1;
  RequestMemory memory;  // of all requests; a whole answer takes its share
};

// A sink that writes a whole JSON answer, or server-sent events, to `writer`. In a stream nothing
// is sent before the first token, so that an error before it has its own status; a later one is a
// last event with an error object, then [DONE].
std::shared_ptr<serve::OutputSink> make_answer(AnswerOptions options,
                                               std::shared_ptr<ResponseWriter> writer);

// The same for an API with a form of its own, which has no [DONE].
std::shared_ptr<serve::OutputSink> make_answer(std::unique_ptr<AnswerForm> form, bool stream,
                                               const RequestMemory& memory,
                                               std::shared_ptr<ResponseWriter> writer);

}  // namespace ernie::http
