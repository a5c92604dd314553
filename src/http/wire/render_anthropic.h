#pragma once

#include <boost/json/object.hpp>
#include <string>
#include <utility>
#include <vector>

#include "http/wire/render.h"
#include "serve/output.h"

// Answers of Anthropic's Messages API.
namespace ernie::http {

// A whole answer. `head.id` begins with "msg_".
std::string anthropic_answer(const AnswerHead& head, const GatheredChoice& choice,
                             const serve::Usage& usage, bool show_thinking);

// The events of a streamed answer, as text. One content block is open at a time.
class AnthropicEvents {
 public:
  AnthropicEvents(AnswerHead head, bool show_thinking)
      : head_(std::move(head)), show_thinking_(show_thinking) {}

  std::string begin(const serve::Usage& usage) const;
  std::string add(const serve::Delta& delta);
  std::string end(const serve::Usage& usage);

 private:
  enum class Block { kNone, kThinking, kText, kToolUse };

  void open(Block block, boost::json::object content, std::string& out);
  void close(std::string& out);
  void add_delta(boost::json::object delta, std::string& out) const;
  void add_text(Block block, const std::string& text, std::string& out);

  const AnswerHead head_;
  const bool show_thinking_;
  Block block_ = Block::kNone;
  int index_ = -1;  // of the block
  std::string finish_reason_;
  std::string stop_string_;
};

}  // namespace ernie::http
