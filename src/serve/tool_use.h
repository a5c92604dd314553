#pragma once

#include "serve/request.h"
#include "text/tokenizer.h"

namespace ernie::serve {

// Makes guaranteed tool calls part of the format of the answer.
void add_call_rules(ChatRequest& request, const text::Tokenizer& tokenizer);

}  // namespace ernie::serve
