#include "answer_record.h"

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

namespace ernie::app {
namespace {

namespace json = boost::json;

constexpr size_t kMaxHead = 2000;
constexpr size_t kMaxReason = 200;

const json::value* at(const json::value& value, std::string_view pointer) {
  boost::system::error_code none;
  return value.find_pointer(pointer, none);
}

bool has_text(const json::value& value, std::string_view pointer) {
  const json::value* found = at(value, pointer);
  return found && found->is_string() && !found->as_string().empty();
}

int number_at(const json::value& value, std::string_view pointer) {
  const json::value* found = at(value, pointer);
  return found && found->is_int64() ? static_cast<int>(found->as_int64()) : -1;
}

// The message of an OpenAI error, or the text itself.
std::string message_of(std::string_view text) {
  boost::system::error_code broken;
  const json::value value = json::parse(text, broken);
  for (const char* pointer : {"/error/message", "/message", "/detail"})
    if (!broken && has_text(value, pointer)) text = at(value, pointer)->as_string();
  return printable(text.substr(0, kMaxReason));
}

}  // namespace

AnswerRecord::AnswerRecord(Clock::time_point start)
    : reader_([this](std::string_view data) { on_event(data); }), start_(start) {}

void AnswerRecord::receive(std::string_view bytes, Clock::time_point now) {
  now_ = now;
  if (head_.size() < kMaxHead) head_ += bytes.substr(0, kMaxHead - head_.size());
  reader_.push(bytes);
}

void AnswerRecord::on_event(std::string_view data) {
  if (data == "[DONE]") return;
  boost::system::error_code broken;
  const json::value event = json::parse(data, broken);
  if (broken) {
    error_ = "an event that is no JSON";
    return;
  }
  if (const json::value* error = at(event, "/error"); error && !error->is_null())
    error_ = message_of(data);
  if (at(event, "/usage/completion_tokens")) {
    prompt_tokens_ = number_at(event, "/usage/prompt_tokens");
    output_tokens_ = number_at(event, "/usage/completion_tokens");
  }
  if (!at(event, "/choices/0")) return;
  choices_ = true;
  last_ = now_;
  finished_ = finished_ || has_text(event, "/choices/0/finish_reason");
  if (pieces_ == 0) first_ = now_;
  if (!has_text(event, "/choices/0/text") && !has_text(event, "/choices/0/delta/content") &&
      !has_text(event, "/choices/0/delta/reasoning_content"))
    return;
  if (pieces_ > 0) gaps_.push_back(static_cast<float>(gap(last_piece_, now_)));
  last_piece_ = now_;
  ++pieces_;
}

std::optional<std::string> AnswerRecord::failure(long status) const {
  if (status != 200) return "status " + std::to_string(status) + ": " + message_of(head_);
  if (!error_.empty()) return "error in the stream: " + error_;
  if (!choices_) return "no event stream: " + message_of(head_);
  if (!finished_) return "the stream ended early";
  return std::nullopt;
}

}  // namespace ernie::app
