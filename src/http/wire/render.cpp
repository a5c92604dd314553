#include "http/wire/render.h"

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <chrono>
#include <cstdio>
#include <utility>

#include "http/wire/answer_form.h"

namespace ernie::http {

namespace json = boost::json;

namespace {

double unix_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// FastDeploy's form of a token: its text, or "bytes:\x.." when its bytes are no UTF-8 of their own.
std::string token_name(const serve::TokenProbability& token) {
  if (token.text == token.bytes || token.bytes.empty()) return token.text;
  std::string out = "bytes:";
  char hex[8];
  for (unsigned char c : token.bytes) {
    std::snprintf(hex, sizeof(hex), "\\x%02x", c);
    out += hex;
  }
  return out;
}

json::object token_entry(const serve::TokenProbability& token) {
  json::array bytes;
  for (unsigned char c : token.bytes) bytes.push_back(static_cast<int64_t>(c));
  return {{"token", token_name(token)}, {"logprob", token.logprob}, {"bytes", std::move(bytes)}};
}

json::object logprobs_entry(const serve::TokenLogprobs& entry) {
  json::object item = token_entry(entry.token);
  json::array top;
  for (const auto& alternative : entry.top) top.push_back(token_entry(alternative));
  item["top_logprobs"] = std::move(top);
  return item;
}

json::object chat_logprobs(const std::vector<serve::TokenLogprobs>& logprobs) {
  json::array content;
  for (const auto& entry : logprobs) content.push_back(logprobs_entry(entry));
  return {{"content", std::move(content)}};
}

json::object top_entry(const serve::TokenLogprobs& entry, size_t most = SIZE_MAX) {
  json::object top;
  for (size_t i = 0; i < std::min(entry.top.size(), most); ++i) {
    top[token_name(entry.top[i])] = entry.top[i].logprob;
  }
  top[token_name(entry.token)] = entry.token.logprob;  // OpenAI's list always holds it
  return top;
}

int64_t token_characters(const serve::TokenLogprobs& entry) {
  const serve::TokenProbability& token = entry.token;
  return characters(token.bytes.empty() ? token.text : token.bytes);
}

json::object completion_logprobs(const std::vector<serve::TokenLogprobs>& logprobs,
                                 int64_t offset) {
  json::array tokens;
  json::array values;
  json::array tops;
  json::array offsets;
  for (const auto& entry : logprobs) {
    tokens.emplace_back(token_name(entry.token));
    values.emplace_back(entry.token.logprob);
    offsets.emplace_back(offset);
    offset += token_characters(entry);
    tops.push_back(top_entry(entry));
  }
  return {{"tokens", std::move(tokens)},
          {"token_logprobs", std::move(values)},
          {"top_logprobs", std::move(tops)},
          {"text_offset", std::move(offsets)}};
}

json::array ids_json(const std::vector<int32_t>& ids) {
  return json::array(ids.begin(), ids.end());
}

json::object base(const AnswerHead& head, const char* object) {
  return {{"id", head.id}, {"object", object}, {"created", head.created}, {"model", head.model}};
}

json::value finish_json(const std::string& reason) {
  return reason.empty() ? json::value(nullptr) : json::value(reason);
}

json::value chat_finish(const std::string& reason, const ShowOptions& show) {
  return finish_json(show.functions_only && reason == "tool_calls" ? "function_call" : reason);
}

json::object function_json(const serve::ToolCallDelta& call) {
  return {{"name", call.name}, {"arguments", call.arguments}};
}

void add_calls(const std::vector<serve::ToolCallDelta>& calls, const ShowOptions& show,
               json::object& message) {
  if (calls.empty()) {
    message["tool_calls"] = nullptr;
  } else if (show.functions_only) {
    message["function_call"] = function_json(calls.front());
  } else {
    json::array& list = (message["tool_calls"] = json::array()).as_array();
    for (const serve::ToolCallDelta& call : calls) {
      list.push_back(
          json::object{{"id", call.id}, {"type", "function"}, {"function", function_json(call)}});
    }
  }
}

void add_call_pieces(const std::vector<serve::ToolCallDelta>& pieces, const ShowOptions& show,
                     json::object& delta) {
  json::array list;
  for (const serve::ToolCallDelta& piece : pieces) {
    json::object function{{"arguments", piece.arguments}};
    if (!piece.name.empty()) function = function_json(piece);
    if (show.functions_only) {
      delta["function_call"] = std::move(function);
      return;
    }
    json::object call{{"index", piece.index}};
    if (!piece.name.empty()) {
      call["id"] = piece.id;
      call["type"] = "function";
    }
    call["function"] = std::move(function);
    list.push_back(std::move(call));
  }
  if (!list.empty()) delta["tool_calls"] = std::move(list);
}

// A list as text; only one value stands in memory at a time.
template <typename Items, typename ToJson>
void append_list(std::string& out, const Items& items, const ToJson& to_json) {
  out += '[';
  const char* separator = "";
  for (const auto& item : items) {
    out += separator;
    out += json::serialize(json::value(to_json(item)));
    separator = ",";
  }
  out += ']';
}

void append_chat_logprobs(std::string& out, const std::vector<serve::TokenLogprobs>& logprobs) {
  out += R"({"content":)";
  append_list(out, logprobs, logprobs_entry);
  out += '}';
}

// OpenAI's lists of the prompt's tokens, if they are shown, and of those of the answer, whose text
// begins at `offset`.
void append_completion_logprobs(std::string& out, const std::vector<serve::PromptLogprobs>& prompt,
                                const std::vector<serve::TokenLogprobs>& logprobs, int64_t offset,
                                const ShowOptions& show) {
  struct Shown {
    const serve::TokenLogprobs& entry;
    size_t most;  // alternatives
    bool known;
    int64_t begin;
  };
  std::vector<Shown> all;
  int64_t begin = 0;
  const auto most = static_cast<size_t>(show.echo_logprobs);
  for (size_t i = 0; show.echo_logprobs >= 0 && i < prompt.size(); ++i) {
    all.push_back({prompt[i].logprobs, most, prompt[i].known(), begin});
    begin += token_characters(prompt[i].logprobs);
  }
  for (const serve::TokenLogprobs& entry : logprobs) {
    all.push_back({entry, SIZE_MAX, true, offset});
    offset += token_characters(entry);
  }
  const auto or_null = [](const Shown& shown, json::value value) {
    return shown.known ? std::move(value) : json::value(nullptr);
  };
  out += R"({"tokens":)";
  append_list(out, all, [](const Shown& shown) { return token_name(shown.entry.token); });
  out += R"(,"token_logprobs":)";
  append_list(out, all, [&](const Shown& s) { return or_null(s, s.entry.token.logprob); });
  out += R"(,"top_logprobs":)";
  append_list(out, all, [&](const Shown& s) { return or_null(s, top_entry(s.entry, s.most)); });
  out += R"(,"text_offset":)";
  append_list(out, all, [](const Shown& shown) { return shown.begin; });
  out += '}';
}

// vLLM's form of a token of the prompt: itself and the most probable ones, by their ids.
json::value prompt_entry(const serve::PromptLogprobs& token, size_t most) {
  if (!token.known()) return nullptr;
  json::object entry;
  const auto add = [&](const serve::TokenProbability& t, int64_t rank) {
    const std::string id = std::to_string(t.id);
    if (entry.contains(id)) return;
    entry[id] = {{"logprob", t.logprob}, {"rank", rank}, {"decoded_token", t.text}};
  };
  add(token.logprobs.token, token.rank);
  const auto& top = token.logprobs.top;
  for (size_t i = 0; i < std::min(top.size(), most); ++i) add(top[i], static_cast<int64_t>(i) + 1);
  return entry;
}

void append_prompt_logprobs(std::string& out, const std::vector<serve::PromptLogprobs>& prompt,
                            const ShowOptions& show) {
  if (show.prompt_logprobs < 0) return;
  out += R"(,"prompt_logprobs":)";
  append_list(out, prompt, [&](const serve::PromptLogprobs& token) {
    return prompt_entry(token, static_cast<size_t>(show.prompt_logprobs));
  });
}

// An object as text that another member may be appended to.
std::string open_object(const json::object& object) {
  std::string out = json::serialize(object);
  out.pop_back();
  return out + ',';
}

// The prompt that choice `index` belongs to.
size_t prompt_of(size_t index, size_t choices, size_t prompts) {
  return prompts == 0 ? 0 : index / (choices / prompts);
}

}  // namespace

json::object usage_json(const serve::Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.completion_tokens},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
          {"prompt_tokens_details",
           {{"cached_tokens", usage.cached_tokens},
            {"image_tokens", usage.image_tokens},
            {"video_tokens", usage.video_tokens}}},
          {"completion_tokens_details",
           {{"reasoning_tokens", usage.reasoning_tokens}, {"image_tokens", 0}}}};
}

void GatheredChoice::add(const serve::Delta& delta) {
  content += delta.content;
  reasoning += delta.reasoning;
  for (const serve::ToolCallDelta& piece : delta.calls) {
    if (!piece.name.empty()) calls.push_back({piece.index, piece.id, piece.name, {}});
    calls.back().arguments += piece.arguments;
  }
  token_ids.insert(token_ids.end(), delta.token_ids.begin(), delta.token_ids.end());
  logprobs.insert(logprobs.end(), delta.logprobs.begin(), delta.logprobs.end());
  if (delta.content.empty() && !delta.calls.empty()) {  // what was held back began a call
    for (size_t i = placed; i < logprobs.size(); ++i) logprobs[i].is_content = false;
  }
  if (!delta.content.empty() || !delta.calls.empty()) placed = logprobs.size();
  prompt.insert(prompt.end(), delta.prompt.begin(), delta.prompt.end());
  if (delta.finish_reason) {
    finish_reason = *delta.finish_reason;
    stop_string = delta.stop_string;
  }
}

json::array content_logprobs(const GatheredChoice& choice, size_t first, size_t last) {
  json::array out;
  for (size_t i = first; i < last; ++i) {
    if (choice.logprobs[i].is_content) out.push_back(logprobs_entry(choice.logprobs[i]));
  }
  return out;
}

std::string chat_answer(const AnswerHead& head, const std::vector<GatheredChoice>& choices,
                        const serve::PromptInfo& prompt, const serve::Usage& usage,
                        const ShowOptions& show) {
  std::string out = open_object(base(head, "chat.completion")) + R"("choices":[)";
  for (size_t i = 0; i < choices.size(); ++i) {
    const GatheredChoice& choice = choices[i];
    const bool only_calls = choice.content.empty() && !choice.calls.empty();
    json::object message{{"role", "assistant"}, {"content", choice.content}};
    if (only_calls) message["content"] = nullptr;
    message["reasoning_content"] =
        show.split_reasoning ? json::value(choice.reasoning) : json::value(nullptr);
    add_calls(choice.calls, show, message);
    if (show.token_ids) {
      message["prompt_token_ids"] = ids_json(prompt.token_ids.at(0));
      message["completion_token_ids"] = ids_json(choice.token_ids);
      message["prompt_tokens"] = prompt.texts.at(0);
      message["completion_tokens"] = choice.reasoning + choice.content;
    }
    if (i > 0) out += ',';
    out += open_object({{"index", i},
                        {"message", std::move(message)},
                        {"finish_reason", chat_finish(choice.finish_reason, show)}});
    out += R"("logprobs":)";
    if (show.logprobs)
      append_chat_logprobs(out, choice.logprobs);
    else
      out += "null";
    out += '}';
  }
  out += ']';
  append_prompt_logprobs(out, choices[0].prompt, show);
  return out + R"(,"usage":)" + json::serialize(usage_json(usage)) + '}';
}

std::string completion_answer(const AnswerHead& head, const std::vector<GatheredChoice>& choices,
                              const serve::PromptInfo& prompt, const serve::Usage& usage,
                              const ShowOptions& show) {
  std::string out = open_object(base(head, "text_completion")) + R"("choices":[)";
  for (size_t i = 0; i < choices.size(); ++i) {
    const GatheredChoice& choice = choices[i];
    json::object item{
        {"index", i}, {"text", choice.content}, {"finish_reason", choice.finish_reason}};
    if (show.token_ids) {
      const size_t p = prompt_of(i, choices.size(), prompt.token_ids.size());
      item["prompt_token_ids"] = ids_json(prompt.token_ids.at(p));
      item["completion_token_ids"] = ids_json(choice.token_ids);
      item["prompt_tokens"] = prompt.texts.at(p);
    }
    if (i > 0) out += ',';
    out += open_object(item) + R"("logprobs":)";
    if (show.logprobs)
      append_completion_logprobs(out, choice.prompt, choice.logprobs, choice.text_begin, show);
    else
      out += "null";
    append_prompt_logprobs(out, choice.prompt, show);
    out += '}';
  }
  return out + R"(],"usage":)" + json::serialize(usage_json(usage)) + '}';
}

json::object chat_role_chunk(const AnswerHead& head, int index, const serve::PromptInfo& prompt,
                             const ShowOptions& show) {
  json::object delta{{"role", "assistant"}, {"content", ""}};
  if (show.split_reasoning) delta["reasoning_content"] = "";
  if (show.token_ids) {
    delta["prompt_token_ids"] = ids_json(prompt.token_ids.at(0));
    delta["prompt_tokens"] = prompt.texts.at(0);
  }
  json::object out = base(head, "chat.completion.chunk");
  out["choices"] = json::array{
      json::object{{"index", index}, {"delta", std::move(delta)}, {"finish_reason", nullptr}}};
  return out;
}

json::object chat_chunk(const AnswerHead& head, const serve::Delta& delta,
                        const ShowOptions& show) {
  json::object part;
  if (!delta.reasoning.empty()) part["reasoning_content"] = delta.reasoning;
  if (!delta.content.empty()) part["content"] = delta.content;
  add_call_pieces(delta.calls, show, part);
  if (show.token_ids) part["completion_token_ids"] = ids_json(delta.token_ids);
  json::object choice{{"index", delta.index}, {"delta", std::move(part)}};
  if (show.logprobs) choice["logprobs"] = chat_logprobs(delta.logprobs);
  choice["finish_reason"] = chat_finish(delta.finish_reason.value_or(""), show);
  choice["arrival_time"] = unix_seconds();
  json::object out = base(head, "chat.completion.chunk");
  out["choices"] = json::array{std::move(choice)};
  return out;
}

json::object completion_chunk(const AnswerHead& head, const serve::Delta& delta,
                              const ShowOptions& show, int64_t text_begin) {
  json::object choice{{"index", delta.index}, {"text", delta.content}};
  choice["logprobs"] = show.logprobs ? json::value(completion_logprobs(delta.logprobs, text_begin))
                                     : json::value(nullptr);
  if (show.token_ids) choice["completion_token_ids"] = ids_json(delta.token_ids);
  choice["finish_reason"] = finish_json(delta.finish_reason.value_or(""));
  json::object out = base(head, "text_completion");
  out["choices"] = json::array{std::move(choice)};
  return out;
}

std::string chat_prompt_chunk(const json::object& chunk,
                              const std::vector<serve::PromptLogprobs>& prompt,
                              const ShowOptions& show) {
  std::string out = json::serialize(chunk);
  out.pop_back();
  append_prompt_logprobs(out, prompt, show);
  return out + '}';
}

std::string completion_prompt_chunk(json::object chunk,
                                    const std::vector<serve::PromptLogprobs>& prompt,
                                    const ShowOptions& show) {
  json::object choice = std::move(chunk["choices"].as_array().front().as_object());
  choice.erase("logprobs");
  chunk.erase("choices");
  std::string out = open_object(chunk) + R"("choices":[)" + open_object(choice) + R"("logprobs":)";
  if (show.logprobs)
    append_completion_logprobs(out, prompt, {}, 0, show);
  else
    out += "null";
  append_prompt_logprobs(out, prompt, show);
  return out + "}]}";
}

json::object usage_chunk(const AnswerHead& head, const char* object, const serve::Usage& usage) {
  json::object out = base(head, object);
  out["choices"] = json::array{};
  out["usage"] = usage_json(usage);
  return out;
}

int64_t characters(std::string_view text) {
  return std::count_if(text.begin(), text.end(),
                       [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; });
}

int64_t token_characters(const serve::Delta& delta) {
  int64_t sum = 0;
  for (const serve::TokenLogprobs& entry : delta.logprobs) sum += token_characters(entry);
  return sum;
}

std::string sse_event(const json::object& data) { return sse_event(json::serialize(data)); }

std::string sse_event(std::string_view json) { return "data: " + std::string(json) + "\n\n"; }

std::string typed_event(const char* type, json::object data) {
  json::object out{{"type", type}};
  for (auto& member : data) out[member.key()] = std::move(member.value());
  return std::string("event: ") + type + "\n" + sse_event(out);
}

}  // namespace ernie::http
