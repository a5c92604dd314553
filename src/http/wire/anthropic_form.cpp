#include "http/wire/anthropic_form.h"

#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <utility>

#include "http/error.h"

namespace ernie::http {
namespace {

namespace json = boost::json;

json::object usage_of(const serve::Usage& usage) {
  return {{"input_tokens", usage.prompt_tokens - usage.cached_tokens},
          {"cache_creation_input_tokens", 0},
          {"cache_read_input_tokens", usage.cached_tokens},
          {"output_tokens", usage.completion_tokens}};
}

json::value stop_reason(const std::string& finish_reason, const std::string& stop_string) {
  if (finish_reason == "length") return "max_tokens";
  if (finish_reason == "tool_calls") return "tool_use";
  if (finish_reason.empty()) return nullptr;
  return stop_string.empty() ? "end_turn" : "stop_sequence";
}

json::value or_null(const std::string& text) {
  return text.empty() ? json::value(nullptr) : json::value(text);
}

json::object message_head(const AnswerHead& head) {
  return {{"id", head.id}, {"type", "message"}, {"role", "assistant"}, {"model", head.model}};
}

json::object tool_use(const std::string& id, const std::string& name) {
  return {{"type", "tool_use"}, {"id", id}, {"name", name}, {"input", json::object()}};
}

// One content block is open at a time.
class AnthropicForm : public AnswerForm {
 public:
  explicit AnthropicForm(AnswerHead head) : head_(std::move(head)) {}

  std::string whole(GatheredChoice choice, const serve::Usage& usage) override;
  std::string begin(const serve::Usage& usage) override;
  std::string add(const serve::Delta& delta) override;
  std::string end(const serve::Usage& usage) override;
  std::string fail(const Error& error) override {
    return "event: error\ndata: " + error_body(error, ErrorForm::kAnthropic) + "\n\n";
  }

 private:
  enum class Block { kNone, kThinking, kText, kToolUse };

  void open(Block block, json::object content, std::string& out);
  void close(std::string& out);
  void add_delta(json::object delta, std::string& out) const;
  void add_text(Block block, const std::string& text, std::string& out);

  const AnswerHead head_;
  Block block_ = Block::kNone;
  int index_ = -1;  // of the block
  std::string finish_reason_;
  std::string stop_string_;
};

std::string AnthropicForm::whole(GatheredChoice choice, const serve::Usage& usage) {
  json::array content;
  if (!choice.reasoning.empty()) {
    content.push_back({{"type", "thinking"}, {"thinking", choice.reasoning}, {"signature", ""}});
  }
  if (!choice.content.empty()) {
    content.push_back({{"type", "text"}, {"text", choice.content}});
  }
  for (const serve::ToolCallDelta& call : choice.calls) {
    json::object block = tool_use(call.id, call.name);
    boost::system::error_code code;
    json::value input = json::parse(call.arguments, code);
    if (!code && input.is_object()) block["input"] = std::move(input);  // else the call was cut
    content.push_back(std::move(block));
  }
  json::object out = message_head(head_);
  out["content"] = std::move(content);
  out["stop_reason"] = stop_reason(choice.finish_reason, choice.stop_string);
  out["stop_sequence"] = or_null(choice.stop_string);
  out["usage"] = usage_of(usage);
  return json::serialize(out);
}

std::string AnthropicForm::begin(const serve::Usage& usage) {
  json::object message = message_head(head_);
  message["content"] = json::array();
  message["stop_reason"] = nullptr;
  message["stop_sequence"] = nullptr;
  message["usage"] = usage_of(usage);
  return typed_event("message_start", {{"message", std::move(message)}}) + typed_event("ping", {});
}

void AnthropicForm::open(Block block, json::object content, std::string& out) {
  close(out);
  block_ = block;
  out += typed_event("content_block_start",
                     {{"index", ++index_}, {"content_block", std::move(content)}});
}

void AnthropicForm::close(std::string& out) {
  if (block_ == Block::kThinking) {
    add_delta({{"type", "signature_delta"}, {"signature", ""}}, out);
  }
  if (block_ != Block::kNone) out += typed_event("content_block_stop", {{"index", index_}});
  block_ = Block::kNone;
}

void AnthropicForm::add_delta(json::object delta, std::string& out) const {
  out += typed_event("content_block_delta", {{"index", index_}, {"delta", std::move(delta)}});
}

void AnthropicForm::add_text(Block block, const std::string& text, std::string& out) {
  if (text.empty()) return;
  const bool thinking = block == Block::kThinking;
  const char* key = thinking ? "thinking" : "text";
  if (block_ != block) {
    json::object content{{"type", key}, {key, ""}};
    if (thinking) content["signature"] = "";
    open(block, std::move(content), out);
  }
  add_delta({{"type", std::string(key) + "_delta"}, {key, text}}, out);
}

std::string AnthropicForm::add(const serve::Delta& delta) {
  std::string out;
  add_text(Block::kThinking, delta.reasoning, out);
  add_text(Block::kText, delta.content, out);
  for (const serve::ToolCallDelta& piece : delta.calls) {
    if (!piece.name.empty()) open(Block::kToolUse, tool_use(piece.id, piece.name), out);
    if (piece.arguments.empty()) continue;
    add_delta({{"type", "input_json_delta"}, {"partial_json", piece.arguments}}, out);
  }
  if (delta.finish_reason) {
    finish_reason_ = *delta.finish_reason;
    stop_string_ = delta.stop_string;
  }
  return out;
}

std::string AnthropicForm::end(const serve::Usage& usage) {
  std::string out;
  close(out);
  json::object delta{{"stop_reason", stop_reason(finish_reason_, stop_string_)},
                     {"stop_sequence", or_null(stop_string_)}};
  out += typed_event("message_delta", {{"delta", std::move(delta)}, {"usage", usage_of(usage)}});
  return out + typed_event("message_stop", {});
}

}  // namespace

std::unique_ptr<AnswerForm> anthropic_form(AnswerHead head) {
  return std::make_unique<AnthropicForm>(std::move(head));
}

std::string anthropic_count(int tokens) {
  return json::serialize(json::object{{"input_tokens", tokens}});
}

}  // namespace ernie::http
