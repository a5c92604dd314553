#include "http/api/answer.h"

#include <boost/json/serialize.hpp>
#include <utility>
#include <vector>

#include "http/error.h"

namespace ernie::http {
namespace {

namespace json = boost::json;

// The text that an echoed prompt puts before choice `index`.
std::string echoed(const serve::PromptInfo& prompt, size_t index, size_t choices) {
  return prompt.texts.at(index / (choices / prompt.texts.size()));
}

class WholeAnswer : public serve::OutputSink {
 public:
  WholeAnswer(AnswerOptions options, std::shared_ptr<ResponseWriter> writer)
      : options_(std::move(options)), writer_(std::move(writer)), choices_(options_.choices) {}

  void on_start(const serve::PromptInfo& info) override {
    prompt_ = info;
    if (!options_.echo) return;
    for (size_t i = 0; i < choices_.size(); ++i) {
      choices_[i].content = echoed(prompt_, i, choices_.size());
      choices_[i].text_begin = characters(choices_[i].content);
    }
  }
  void on_delta(const serve::Delta& delta, const serve::Usage&) override {
    choices_[delta.index].add(delta);
  }
  void on_done(const serve::Usage& usage) override {
    const auto render = options_.is_chat ? chat_answer : completion_answer;
    writer_->send(200, "application/json",
                  json::serialize(render(options_.head, choices_, prompt_, usage, options_.show)));
  }
  void on_error(const Error& error) override { writer_->send_error(error); }

 private:
  AnswerOptions options_;
  std::shared_ptr<ResponseWriter> writer_;
  serve::PromptInfo prompt_;
  std::vector<GatheredChoice> choices_;
};

class StreamedAnswer : public serve::OutputSink {
 public:
  StreamedAnswer(AnswerOptions options, std::shared_ptr<ResponseWriter> writer)
      : options_(std::move(options)),
        writer_(std::move(writer)),
        started_(options_.choices, false),
        text_length_(options_.choices, 0) {}

  void on_start(const serve::PromptInfo& info) override { prompt_ = info; }

  void on_delta(const serve::Delta& delta, const serve::Usage& so_far) override {
    open();
    std::string events;
    if (!started_[delta.index]) {
      started_[delta.index] = true;
      if (options_.is_chat) {
        events +=
            event(chat_role_chunk(options_.head, delta.index, prompt_, options_.show), so_far);
      } else if (options_.echo) {
        serve::Delta echo;
        echo.index = delta.index;
        echo.content = echoed(prompt_, delta.index, started_.size());
        events += event(completion_chunk(options_.head, echo, options_.show), so_far);
        text_length_[delta.index] = characters(echo.content);
      }
    }
    int64_t& length = text_length_[delta.index];
    events +=
        event(options_.is_chat ? chat_chunk(options_.head, delta, options_.show)
                               : completion_chunk(options_.head, delta, options_.show, length),
              so_far);
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
    writer_->finish();
  }

 private:
  const char* object() const {
    return options_.is_chat ? "chat.completion.chunk" : "text_completion";
  }

  void open() {
    if (open_) return;
    open_ = true;
    writer_->start_stream("text/event-stream; charset=utf-8", {{"Cache-Control", "no-cache"}});
  }

  std::string event(json::object chunk, const serve::Usage& so_far) const {
    if (options_.stream.continuous_usage) chunk["usage"] = usage_json(so_far);
    return sse_event(chunk);
  }

  AnswerOptions options_;
  std::shared_ptr<ResponseWriter> writer_;
  serve::PromptInfo prompt_;
  std::vector<bool> started_;
  std::vector<int64_t> text_length_;  // characters sent of each choice, by its tokens
  bool open_ = false;
};

}  // namespace

std::shared_ptr<serve::OutputSink> make_answer(AnswerOptions options,
                                               std::shared_ptr<ResponseWriter> writer) {
  if (options.stream.stream)
    return std::make_shared<StreamedAnswer>(std::move(options), std::move(writer));
  return std::make_shared<WholeAnswer>(std::move(options), std::move(writer));
}

}  // namespace ernie::http
