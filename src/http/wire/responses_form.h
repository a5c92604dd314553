#pragma once

#include <boost/json/object.hpp>
#include <memory>

#include "http/wire/answer_form.h"

namespace ernie::http {

// Answers of OpenAI's Responses API: https://platform.openai.com/docs/api-reference/responses.
// `head.id` begins with "resp_"; `echo` is what the response shows of its request.
std::unique_ptr<AnswerForm> responses_form(AnswerHead head, boost::json::object echo);

}  // namespace ernie::http
