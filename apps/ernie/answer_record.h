#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "chat_client.h"

namespace ernie::app {

// One streamed answer of an OpenAI-compatible server and when its parts came. One thread.
class AnswerRecord {
 public:
  using Clock = std::chrono::steady_clock;

  explicit AnswerRecord(Clock::time_point start);
  AnswerRecord(const AnswerRecord&) = delete;
  AnswerRecord& operator=(const AnswerRecord&) = delete;

  // Bytes of the response's body that came at `now`.
  void receive(std::string_view bytes, Clock::time_point now);

  // After the end, for a response with this status: why the answer is no good, if it is not.
  std::optional<std::string> failure(long status) const;

  // Seconds; of a good answer. The last event with a choice, which may only say why it ended, is
  // the end.
  double ttft() const { return gap(start_, first_); }
  double latency() const { return gap(start_, last_); }
  const std::vector<float>& gaps() const { return gaps_; }  // between pieces of text
  int pieces() const { return pieces_; }

  // As the server reports them; -1 when it does not.
  int prompt_tokens() const { return prompt_tokens_; }
  int output_tokens() const { return output_tokens_; }

 private:
  static double gap(Clock::time_point from, Clock::time_point to) {
    return std::chrono::duration<double>(to - from).count();
  }
  void on_event(std::string_view data);

  SseReader reader_;
  Clock::time_point start_, now_, first_, last_, last_piece_;
  std::vector<float> gaps_;
  int pieces_ = 0;
  int prompt_tokens_ = -1;
  int output_tokens_ = -1;
  bool choices_ = false;   // an event with a choice came
  bool finished_ = false;  // a finish_reason came
  std::string error_;      // of an event
  std::string head_;       // of the body, for errors that are no stream
};

}  // namespace ernie::app
