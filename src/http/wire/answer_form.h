#pragma once

#include <string>

#include "base/result.h"
#include "http/wire/render.h"
#include "serve/output.h"

namespace ernie::http {

// How an API writes the answer to one request, of one choice: whole, or as the events of a stream
// (begin(), any number of add(), then end() or fail()). Each returns what is to be sent.
class AnswerForm {
 public:
  virtual ~AnswerForm() = default;

  virtual std::string whole(GatheredChoice choice, const serve::Usage& usage) = 0;

  virtual std::string begin(const serve::Usage& of_prompt) = 0;
  virtual std::string add(const serve::Delta& delta) = 0;
  virtual std::string end(const serve::Usage& usage) = 0;
  virtual std::string fail(const Error& error) = 0;
};

// An event of a stream whose events have types.
std::string typed_event(const char* type, boost::json::object data);

}  // namespace ernie::http
