#include "http/wire/responses_form.h"

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <utility>

#include "http/error.h"

namespace ernie::http {
namespace {

namespace json = boost::json;

json::object usage_of(const serve::Usage& usage) {
  return {{"input_tokens", usage.prompt_tokens},
          {"input_tokens_details", {{"cached_tokens", usage.cached_tokens}}},
          {"output_tokens", usage.completion_tokens},
          {"output_tokens_details", {{"reasoning_tokens", usage.reasoning_tokens}}},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens}};
}

enum class ItemKind { kReasoning, kMessage, kCall };

// An item of the output.
struct Item {
  ItemKind kind = ItemKind::kMessage;
  std::string id;
  serve::ToolCallDelta call;
  std::string text;  // of a call: its arguments
  // The message's among the answer's log-probabilities.
  size_t first_logprob = 0;
  size_t last_logprob = 0;

  json::array logprobs(const GatheredChoice& answer) const {
    return content_logprobs(answer, first_logprob, last_logprob);
  }

  json::object part(const GatheredChoice& answer) const {
    if (kind == ItemKind::kReasoning) return {{"type", "reasoning_text"}, {"text", text}};
    return {{"type", "output_text"},
            {"text", text},
            {"annotations", json::array()},
            {"logprobs", logprobs(answer)}};
  }

  json::object shown(const char* status, const GatheredChoice* answer) const {
    json::array content;
    if (answer) content.push_back(part(*answer));
    switch (kind) {
      case ItemKind::kReasoning:
        return {{"id", id},
                {"type", "reasoning"},
                {"status", status},
                {"summary", json::array()},
                {"content", std::move(content)}};
      case ItemKind::kMessage:
        return {{"id", id},
                {"type", "message"},
                {"status", status},
                {"role", "assistant"},
                {"content", std::move(content)}};
      default:
        return {{"id", id},           {"type", "function_call"}, {"status", status},
                {"call_id", call.id}, {"name", call.name},       {"arguments", answer ? text : ""}};
    }
  }
};

class ResponsesForm : public AnswerForm {
 public:
  ResponsesForm(AnswerHead head, json::object echo)
      : head_(std::move(head)), echo_(std::move(echo)) {}

  std::string whole(GatheredChoice choice, const serve::Usage& usage) override {
    if (!choice.reasoning.empty()) add_item(ItemKind::kReasoning, {}).text = choice.reasoning;
    if (!choice.content.empty()) {
      Item& message = add_item(ItemKind::kMessage, {});
      message.text = choice.content;
      message.last_logprob = choice.placed;
    }
    for (const serve::ToolCallDelta& call : choice.calls) {
      add_item(ItemKind::kCall, call).text = call.arguments;
    }
    answer_ = std::move(choice);
    return json::serialize(response(status(), &usage, nullptr));
  }

  std::string begin(const serve::Usage&) override {
    std::string out;
    for (const char* type : {"response.created", "response.in_progress"}) {
      add_event(type, {{"response", response("in_progress", nullptr, nullptr)}}, out);
    }
    return out;
  }

  std::string add(const serve::Delta& delta) override {
    std::string out;
    const size_t placed = answer_.placed;
    answer_.add(delta);
    add_text(ItemKind::kReasoning, delta.reasoning, placed, out);
    add_text(ItemKind::kMessage, delta.content, placed, out);
    for (const serve::ToolCallDelta& piece : delta.calls) {
      if (!piece.name.empty()) open(ItemKind::kCall, piece, out);
      add_piece(piece.arguments, placed, out);
    }
    return out;
  }

  std::string end(const serve::Usage& usage) override {
    std::string out;
    close(out);
    const bool complete = answer_.finish_reason != "length";
    add_event(complete ? "response.completed" : "response.incomplete",
              {{"response", response(status(), &usage, nullptr)}}, out);
    return out;
  }

  std::string fail(const Error& error) override {
    std::string out;
    add_event("response.failed", {{"response", response("failed", nullptr, &error)}}, out);
    return out;
  }

 private:
  const char* status() const {
    return answer_.finish_reason == "length" ? "incomplete" : "completed";
  }

  json::object response(const char* status, const serve::Usage* usage, const Error* error) const {
    json::array output;
    for (size_t i = 0; i < items_.size(); ++i) {
      const bool cut = i + 1 == items_.size() && answer_.finish_reason == "length";
      output.push_back(items_[i].shown(cut ? "incomplete" : "completed", &answer_));
    }
    json::object out{{"id", head_.id},
                     {"object", "response"},
                     {"created_at", head_.created},
                     {"status", status},
                     {"error", nullptr},
                     {"incomplete_details", nullptr},
                     {"model", head_.model},
                     {"output", std::move(output)},
                     {"previous_response_id", nullptr},
                     {"store", false},
                     {"truncation", "disabled"},
                     {"usage", nullptr}};
    if (answer_.finish_reason == "length") {
      out["incomplete_details"] = {{"reason", "max_output_tokens"}};
    }
    if (usage) out["usage"] = usage_of(*usage);
    if (error) {
      const std::string code = error->code.empty() ? "server_error" : error->code;
      out["error"] = {{"code", code}, {"message", error->message}};
    }
    for (const auto& member : echo_) out[member.key()] = member.value();
    return out;
  }

  Item& add_item(ItemKind kind, const serve::ToolCallDelta& call) {
    constexpr const char* kPrefixes[] = {"rs_", "msg_", "fc_"};
    const std::string id =
        kPrefixes[static_cast<int>(kind)] + head_.id + "_" + std::to_string(items_.size());
    items_.push_back({kind, id, call, {}, 0, 0});
    return items_.back();
  }

  void add_event(const char* type, json::object data, std::string& out) {
    data["sequence_number"] = sequence_++;
    out += typed_event(type, std::move(data));
  }

  // What events about the last item begin with.
  json::object place() const {
    json::object out{{"item_id", items_.back().id}, {"output_index", items_.size() - 1}};
    if (items_.back().kind != ItemKind::kCall) out["content_index"] = 0;
    return out;
  }

  void open(ItemKind kind, const serve::ToolCallDelta& call, std::string& out) {
    close(out);
    is_open_ = true;
    const Item& item = add_item(kind, call);
    add_event("response.output_item.added",
              {{"output_index", items_.size() - 1}, {"item", item.shown("in_progress", nullptr)}},
              out);
    if (kind == ItemKind::kCall) return;
    json::object added = place();
    added["part"] = item.part(answer_);
    add_event("response.content_part.added", std::move(added), out);
  }

  void close(std::string& out) {
    if (!std::exchange(is_open_, false)) return;
    const Item& item = items_.back();
    json::object done = place();
    if (item.kind == ItemKind::kCall) {
      done["name"] = item.call.name;
      done["arguments"] = item.text;
      add_event("response.function_call_arguments.done", std::move(done), out);
    } else {
      done["text"] = item.text;
      const bool message = item.kind == ItemKind::kMessage;
      if (message) done["logprobs"] = item.logprobs(answer_);
      add_event(message ? "response.output_text.done" : "response.reasoning_text.done",
                std::move(done), out);
      json::object part = place();
      part["part"] = item.part(answer_);
      add_event("response.content_part.done", std::move(part), out);
    }
    add_event("response.output_item.done",
              {{"output_index", items_.size() - 1}, {"item", item.shown("completed", &answer_)}},
              out);
  }

  // The answer's log-probabilities from `placed` on belong to the text.
  void add_text(ItemKind kind, const std::string& text, size_t placed, std::string& out) {
    if (text.empty()) return;
    if (!is_open_ || items_.back().kind != kind) {
      open(kind, {}, out);
      items_.back().first_logprob = placed;
    }
    items_.back().last_logprob = answer_.placed;
    add_piece(text, placed, out);
  }

  void add_piece(const std::string& text, size_t placed, std::string& out) {
    if (text.empty()) return;
    constexpr const char* kTypes[] = {"response.reasoning_text.delta", "response.output_text.delta",
                                      "response.function_call_arguments.delta"};
    Item& item = items_.back();
    item.text += text;
    json::object delta = place();
    delta["delta"] = text;
    if (item.kind == ItemKind::kMessage) {
      delta["logprobs"] = content_logprobs(answer_, placed, item.last_logprob);
    }
    add_event(kTypes[static_cast<int>(item.kind)], std::move(delta), out);
  }

  const AnswerHead head_;
  const json::object echo_;
  std::vector<Item> items_;
  GatheredChoice answer_;
  bool is_open_ = false;  // the last item may grow
  int sequence_ = 0;
};

}  // namespace

std::unique_ptr<AnswerForm> responses_form(AnswerHead head, json::object echo) {
  return std::make_unique<ResponsesForm>(std::move(head), std::move(echo));
}

}  // namespace ernie::http
