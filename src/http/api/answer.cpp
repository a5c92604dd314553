#include "http/api/answer.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/failure.h"
#include "http/api/watch.h"
#include "http/error.h"

namespace ernie::http {
namespace {

namespace json = boost::json;

constexpr const char* kEventStream = "text/event-stream; charset=utf-8";

// The text that an echoed prompt puts before choice `index`.
std::string echoed(const serve::PromptInfo& prompt, size_t index, size_t choices) {
  return prompt.texts.at(index / (choices / prompt.texts.size()));
}

constexpr size_t kBytesAsValues = 10;  // of JSON, for each of a log-probability

size_t logprobs_bytes(const serve::Delta& delta) {
  size_t bytes = delta.logprobs.size() * sizeof(delta.logprobs[0]);
  for (const auto& entry : delta.logprobs) bytes += entry.top.size() * sizeof(entry.top[0]);
  return bytes;
}

// What a delta takes once it is gathered, with the room that vectors and strings keep for more.
size_t gathered_bytes(const serve::Delta& delta) {
  size_t bytes = delta.content.size() + delta.reasoning.size() +
                 delta.token_ids.size() * sizeof(delta.token_ids[0]) + logprobs_bytes(delta);
  for (const auto& call : delta.calls) {
    bytes += sizeof(call) + call.id.size() + call.name.size() + call.arguments.size();
  }
  bytes *= 2;
  bytes += 2 * delta.prompt.size() * sizeof(delta.prompt[0]);
  for (const auto& [entry, rank] : delta.prompt) bytes += entry.top.size() * sizeof(entry.top[0]);
  return bytes;
}

void take(Limiter::Share& share, const RequestMemory& memory, size_t bytes) {
  if (!share.grow(bytes)) throw RequestFailed(memory.exhausted());
}

class WholeAnswer : public serve::OutputSink {
 public:
  WholeAnswer(AnswerOptions options, std::shared_ptr<ResponseWriter> writer)
      : options_(std::move(options)),
        writer_(std::move(writer)),
        choices_(options_.choices),
        share_(*options_.memory.held->acquire(0)) {}

  void on_start(const serve::PromptInfo& info) override {
    prompt_ = info;
    if (!options_.echo) return;
    for (size_t i = 0; i < choices_.size(); ++i) {
      choices_[i].content = echoed(prompt_, i, choices_.size());
      choices_[i].text_begin = characters(choices_[i].content);
    }
  }
  void on_delta(const serve::Delta& delta, const serve::Usage&) override {
    take(share_, options_.memory, gathered_bytes(delta));
    choices_[delta.index].add(delta);
  }
  void on_done(const serve::Usage& usage) override {
    // About what the text has.
    take(share_, options_.memory, share_.amount() + choices_.size() * prompt_bytes());
    const auto render = options_.is_chat ? chat_answer : completion_answer;
    std::string text = render(options_.head, choices_, prompt_, usage, options_.show);
    choices_.clear();
    share_ = {};  // the writer takes the text's
    writer_->send(200, "application/json", std::move(text));
  }
  void on_error(const Error& error) override { writer_->send_error(error); }

 private:
  // Of the text of the longest prompt, which every choice shows that shows any.
  size_t prompt_bytes() const {
    constexpr size_t kIdBytes = 8;  // digits and a comma
    size_t most = 0;
    for (const auto& ids : prompt_.token_ids) most = std::max(most, ids.size() * kIdBytes);
    size_t longest = 0;
    for (const auto& text : prompt_.texts) longest = std::max(longest, text.size());
    return most + longest;
  }

  AnswerOptions options_;
  std::shared_ptr<ResponseWriter> writer_;
  serve::PromptInfo prompt_;
  std::vector<GatheredChoice> choices_;
  Limiter::Share share_;
};

// The answer of an API with a form of its own.
class FormedAnswer : public serve::OutputSink {
 public:
  FormedAnswer(std::unique_ptr<AnswerForm> form, bool stream, RequestMemory memory,
               std::shared_ptr<ResponseWriter> writer)
      : form_(std::move(form)),
        stream_(stream),
        memory_(std::move(memory)),
        share_(*memory_.held->acquire(0)),
        writer_(std::move(writer)) {}

  void on_start(const serve::PromptInfo&) override {}
  void on_delta(const serve::Delta& delta, const serve::Usage& so_far) override {
    aborted_ = delta.finish_reason == "abort";
    // A form may keep the answer for its last event, and shows it as values.
    take(share_, memory_, gathered_bytes(delta) + kBytesAsValues * logprobs_bytes(delta));
    if (!stream_) return choice_.add(delta);
    std::string events = open(so_far);
    events += form_->add(delta);
    if (!events.empty()) writer_->write(events);
  }
  void on_done(const serve::Usage& usage) override {
    if (aborted_) return on_error(aborted());  // these APIs have no such ending
    if (!stream_) {
      std::string text = form_->whole(std::exchange(choice_, {}), usage);
      share_ = {};  // the writer takes the text's
      return writer_->send(200, "application/json", std::move(text));
    }
    writer_->write(open(usage) + form_->end(usage));
    writer_->finish();
  }
  void on_error(const Error& error) override {
    if (!open_) return writer_->send_error(error);
    writer_->write(form_->fail(error));
    writer_->finish_failed(error);
  }

 private:
  std::string open(const serve::Usage& usage) {
    if (std::exchange(open_, true)) return {};
    writer_->start_stream(kEventStream, {{"Cache-Control", "no-cache"}});
    return form_->begin(usage);
  }

  const std::unique_ptr<AnswerForm> form_;
  const bool stream_;
  const RequestMemory memory_;
  Limiter::Share share_;
  GatheredChoice choice_;
  bool open_ = false;
  bool aborted_ = false;
  std::shared_ptr<ResponseWriter> writer_;
};

class StreamedAnswer : public serve::OutputSink {
  struct ScoredPrompt {
    std::vector<serve::PromptLogprobs> tokens;
    Limiter::Share share;
  };

 public:
  StreamedAnswer(AnswerOptions options, std::shared_ptr<ResponseWriter> writer)
      : options_(std::move(options)),
        writer_(std::move(writer)),
        started_(options_.choices, false),
        text_length_(options_.choices, 0),
        prompts_(options_.choices) {}

  void on_start(const serve::PromptInfo& info) override { prompt_ = info; }

  void on_delta(const serve::Delta& delta, const serve::Usage& so_far) override {
    if (!delta.prompt.empty()) {
      ScoredPrompt& prompt = prompts_[delta.index];
      if (prompt.tokens.empty()) prompt.share = *options_.memory.held->acquire(0);
      take(prompt.share, options_.memory, gathered_bytes(delta));
      prompt.tokens.insert(prompt.tokens.end(), delta.prompt.begin(), delta.prompt.end());
      return;
    }
    open();
    std::string events;
    if (!started_[delta.index]) {
      started_[delta.index] = true;
      events += first_event(delta.index, so_far);
    }
    int64_t& length = text_length_[delta.index];
    events += sse_event(
        with_usage(options_.is_chat ? chat_chunk(options_.head, delta, options_.show)
                                    : completion_chunk(options_.head, delta, options_.show, length),
                   so_far));
    length += token_characters(delta);
    writer_->write(events);
  }

  void on_done(const serve::Usage& usage) override {
    open();
    std::string events;
    if (options_.stream.include_usage)
      events += sse_event(usage_chunk(options_.head, object(), usage));
    events += kSseDone;
    writer_->write(events);
    writer_->finish();
  }

  void on_error(const Error& error) override {
    if (!open_) return writer_->send_error(error);
    writer_->write("data: " + error_body(error) + "\n\n" + kSseDone);
    writer_->finish_failed(error);
  }

 private:
  const char* object() const {
    return options_.is_chat ? "chat.completion.chunk" : "text_completion";
  }

  void open() {
    if (open_) return;
    open_ = true;
    writer_->start_stream(kEventStream, {{"Cache-Control", "no-cache"}});
  }

  // What comes before the first piece of a choice: its role, or what it shows of the prompt.
  std::string first_event(int index, const serve::Usage& so_far) {
    const ScoredPrompt prompt = std::exchange(prompts_[index], {});
    if (options_.is_chat) {
      const auto role =
          with_usage(chat_role_chunk(options_.head, index, prompt_, options_.show), so_far);
      return index == 0 ? sse_event(chat_prompt_chunk(role, prompt.tokens, options_.show))
                        : sse_event(role);
    }
    if (!options_.echo && options_.show.prompt_logprobs < 0) return {};
    serve::Delta echo{.index = index};
    if (options_.echo) echo.content = echoed(prompt_, index, started_.size());
    text_length_[index] = characters(echo.content);
    auto chunk = with_usage(completion_chunk(options_.head, echo, options_.show), so_far);
    return sse_event(completion_prompt_chunk(std::move(chunk), prompt.tokens, options_.show));
  }

  json::object with_usage(json::object chunk, const serve::Usage& so_far) const {
    if (options_.stream.continuous_usage) chunk["usage"] = usage_json(so_far);
    return chunk;
  }

  AnswerOptions options_;
  std::shared_ptr<ResponseWriter> writer_;
  serve::PromptInfo prompt_;
  std::vector<bool> started_;
  std::vector<int64_t> text_length_;   // characters sent of each choice, by its tokens
  std::vector<ScoredPrompt> prompts_;  // of choices that have not started
  bool open_ = false;
};

}  // namespace

std::shared_ptr<serve::OutputSink> make_answer(AnswerOptions options,
                                               std::shared_ptr<ResponseWriter> writer) {
  if (options.stream.stream)
    return std::make_shared<StreamedAnswer>(std::move(options), std::move(writer));
  return std::make_shared<WholeAnswer>(std::move(options), std::move(writer));
}

std::shared_ptr<serve::OutputSink> make_answer(std::unique_ptr<AnswerForm> form, bool stream,
                                               const RequestMemory& memory,
                                               std::shared_ptr<ResponseWriter> writer) {
  return std::make_shared<FormedAnswer>(std::move(form), stream, memory, std::move(writer));
}

}  // namespace ernie::http
