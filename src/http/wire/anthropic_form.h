#pragma once

#include <memory>

#include "http/wire/answer_form.h"

namespace ernie::http {

// Answers of Anthropic's Messages API: https://docs.anthropic.com/en/api/messages. `head.id` begins
// with "msg_".
std::unique_ptr<AnswerForm> anthropic_form(AnswerHead head);

// What its token count answers.
std::string anthropic_count(int tokens);

}  // namespace ernie::http
