#include "http/api/answer.h"

#include <gtest/gtest.h>

#include "base/failure.h"
#include "http/testing/recording_writer.h"
#include "http/wire/responses_form.h"

namespace ernie::http {
namespace {

namespace json = boost::json;

serve::Delta piece(int index, std::string content) {
  return {.index = index, .content = std::move(content)};
}
serve::Delta end_of(int index) { return {.index = index, .finish_reason = "stop"}; }

const serve::PromptInfo kPrompts{.token_ids = {}, .texts = {"A", "B"}};
const Error kFull{ErrorKind::kRateLimited, "the queue is full", {}, "queue_full"};

std::shared_ptr<serve::OutputSink> answer(const AnswerOptions& options,
                                          const std::shared_ptr<RecordingWriter>& writer) {
  auto sink = make_answer(options, writer);
  sink->on_start(kPrompts);
  return sink;
}

std::string delta_of(const json::value& event, const char* key) {
  const auto& delta = event.at("choices").at(0).at("delta").as_object();
  return delta.contains(key) ? std::string(delta.at(key).as_string()) : "";
}

TEST(StreamedAnswer, EachChoiceBeginsWithItsRole) {
  const auto writer = std::make_shared<RecordingWriter>();
  const auto sink = answer({.stream = {.stream = true}, .choices = 2}, writer);
  for (const auto& delta : {piece(1, "x"), piece(0, "a"), piece(1, "y"), end_of(0), end_of(1)}) {
    sink->on_delta(delta, {});
  }
  sink->on_done({});
  ASSERT_TRUE(writer->wait());
  const auto events = writer->events();
  ASSERT_EQ(events.size(), 8u);
  std::vector<std::string> seen;
  for (size_t i = 0; i < 7; ++i) {
    const auto& choice = events[i].at("choices").at(0);
    const bool end = !choice.at("finish_reason").is_null();
    seen.push_back(std::to_string(choice.at("index").as_int64()) + delta_of(events[i], "role") +
                   delta_of(events[i], "content") + (end ? "." : ""));
  }
  EXPECT_EQ(seen,
            (std::vector<std::string>{"1assistant", "1x", "0assistant", "0a", "1y", "0.", "1."}));
  EXPECT_EQ(events[7], json::value("[DONE]"));
}

TEST(StreamedAnswer, TheUsageChunkComesLastAndOnlyOnRequest) {
  for (const bool wanted : {true, false}) {
    const auto writer = std::make_shared<RecordingWriter>();
    const auto sink = answer({.stream = {.stream = true, .include_usage = wanted}}, writer);
    sink->on_delta(end_of(0), {});
    sink->on_done({.prompt_tokens = 3, .completion_tokens = 4});
    const auto events = writer->events();
    ASSERT_EQ(events.size(), wanted ? 4u : 3u);
    if (wanted) {
      EXPECT_EQ(events[2].at("choices"), json::array());
      EXPECT_EQ(events[2].at("usage").at("total_tokens"), json::value(7));
    }
    EXPECT_FALSE(events[1].as_object().contains("usage"));
    EXPECT_EQ(events.back(), json::value("[DONE]"));
  }
}

TEST(StreamedAnswer, ContinuousUsageIsInEveryChunk) {
  const auto writer = std::make_shared<RecordingWriter>();
  const auto sink = answer({.stream = {.stream = true, .continuous_usage = true}}, writer);
  sink->on_delta(piece(0, "a"), {.completion_tokens = 1});
  sink->on_delta(end_of(0), {.completion_tokens = 2});
  sink->on_done({});
  const auto events = writer->events();
  ASSERT_EQ(events.size(), 4u);
  std::vector<int64_t> counts;
  for (size_t i = 0; i < 3; ++i)
    counts.push_back(events[i].at("usage").at("completion_tokens").as_int64());
  EXPECT_EQ(counts, (std::vector<int64_t>{1, 1, 2}));
}

TEST(StreamedAnswer, AnErrorBeforeTheFirstTokenHasItsOwnStatus) {
  const auto writer = std::make_shared<RecordingWriter>();
  answer({.stream = {.stream = true}}, writer)->on_error(kFull);
  ASSERT_TRUE(writer->wait());
  EXPECT_EQ(writer->status(), 429);
  EXPECT_EQ(writer->json().at("error").at("code"), json::value("queue_full"));
}

TEST(StreamedAnswer, ALaterErrorIsAnEvent) {
  const auto writer = std::make_shared<RecordingWriter>();
  const auto sink = answer({.stream = {.stream = true}}, writer);
  sink->on_delta(piece(0, "a"), {});
  sink->on_error(kFull);
  ASSERT_TRUE(writer->wait());
  EXPECT_EQ(writer->status(), 200);
  const auto events = writer->events();
  ASSERT_EQ(events.size(), 4u);
  EXPECT_EQ(events[2], json::parse(R"({"error":{"message":"the queue is full",
      "type":"rate_limit_error","param":null,"code":"queue_full"}})"));
  EXPECT_EQ(events[3], json::value("[DONE]"));
}

TEST(StreamedAnswer, TextOffsetsCountCharactersFromChunkToChunk) {
  const auto writer = std::make_shared<RecordingWriter>();
  const auto sink = answer({.stream = {.stream = true},
                            .show = {.logprobs = true},
                            .is_chat = false,
                            .echo = true,
                            .choices = 2},
                           writer);
  const auto token = [](int index, std::string bytes) {
    const std::string text = bytes.size() == 1 && bytes != "b" ? "\uFFFD" : bytes;
    return serve::Delta{.index = index, .logprobs = {{{text, bytes, -1.0f}, {}}}};
  };
  // "é" comes in two tokens, "图" in one; the echoed prompt has one character.
  for (const auto& delta : {token(0, "\xC3"), token(1, "b"), token(0, "\xA9"), token(0, "图"),
                            token(0, "b"), token(1, "b")}) {
    sink->on_delta(delta, {});
  }
  sink->on_done({});
  std::vector<std::vector<int64_t>> offsets(2);
  for (const auto& event : writer->events()) {
    if (!event.is_object()) continue;
    const auto& choice = event.at("choices").at(0);
    for (const auto& offset : choice.at("logprobs").at("text_offset").as_array()) {
      offsets[choice.at("index").as_int64()].push_back(offset.as_int64());
    }
  }
  EXPECT_EQ(offsets[0], (std::vector<int64_t>{1, 2, 2, 3}));
  EXPECT_EQ(offsets[1], (std::vector<int64_t>{1, 2}));
}

TEST(StreamedAnswer, AnEchoedPromptComesFirst) {
  const auto writer = std::make_shared<RecordingWriter>();
  const auto sink =
      answer({.stream = {.stream = true}, .is_chat = false, .echo = true, .choices = 4}, writer);
  for (int i = 0; i < 4; ++i) sink->on_delta(piece(i, "!"), {});
  sink->on_done({});
  std::string text;
  for (const auto& event : writer->events()) {
    if (event.is_object()) text += event.at("choices").at(0).at("text").as_string();
  }
  EXPECT_EQ(text, "A!A!B!B!");
}

// What the engine tells of a prompt of two tokens, in two parts.
void score(serve::OutputSink& sink, int index) {
  sink.on_delta({.index = index, .prompt = {{{{"A", "A", 0, 1}, {}}, 0}}}, {});
  sink.on_delta({.index = index, .prompt = {{{{"B", "B", -1.0f, 2}, {}}, 4}}}, {});
}

TEST(StreamedAnswer, TheFirstChunkHasTheLogprobsOfThePrompt) {
  const auto writer = std::make_shared<RecordingWriter>();
  const auto sink = answer({.stream = {.stream = true},
                            .show = {.logprobs = true, .echo_logprobs = 0, .prompt_logprobs = 0},
                            .is_chat = false,
                            .echo = true,
                            .choices = 2},
                           writer);
  score(*sink, 1);
  score(*sink, 0);
  for (const int index : {0, 1}) {
    sink->on_delta({.index = index, .logprobs = {{{"!", "!", -0.5f}, {}}}}, {});
  }
  sink->on_done({});
  const auto events = writer->events();
  ASSERT_EQ(events.size(), 5u);
  for (const size_t first : {0, 2}) {
    const auto& choice = events[first].at("choices").at(0);
    EXPECT_EQ(choice.at("text"), json::value(first == 0 ? "A" : "B"));
    EXPECT_EQ(choice.at("finish_reason"), json::value(nullptr));
    EXPECT_EQ(choice.at("logprobs").at("token_logprobs"), json::parse("[null,-1.0]"));
    EXPECT_EQ(choice.at("prompt_logprobs"),
              json::parse(R"([null,{"2":{"logprob":-1.0,"rank":4,"decoded_token":"B"}}])"));
    const auto& next = events[first + 1].at("choices").at(0);
    EXPECT_EQ(next.at("logprobs").at("token_logprobs"), json::parse("[-0.5]"));
    EXPECT_FALSE(next.as_object().contains("prompt_logprobs"));
  }
}

TEST(StreamedAnswer, AChatsPromptIsScoredOnce) {
  const auto writer = std::make_shared<RecordingWriter>();
  const auto sink =
      answer({.stream = {.stream = true}, .show = {.prompt_logprobs = 0}, .choices = 2}, writer);
  for (const int index : {0, 1}) {
    score(*sink, index);
    sink->on_delta(end_of(index), {});
  }
  sink->on_done({});
  std::vector<size_t> with;
  const auto events = writer->events();
  for (size_t i = 0; i < events.size(); ++i) {
    if (events[i].is_object() && events[i].as_object().contains("prompt_logprobs"))
      with.push_back(i);
  }
  EXPECT_EQ(with, (std::vector<size_t>{0}));
  EXPECT_EQ(events[0].at("prompt_logprobs").as_array().size(), 2u);
}

TEST(StreamedAnswer, AScoredPromptThatMemoryHasNoRoomForEndsTheRequest) {
  const auto writer = std::make_shared<RecordingWriter>();
  const auto sink = answer({.stream = {.stream = true}, .memory = RequestMemory(100)}, writer);
  EXPECT_THROW(score(*sink, 0), RequestFailed);
}

TEST(WholeAnswer, DeltasAreGatheredByChoice) {
  const auto writer = std::make_shared<RecordingWriter>();
  const auto sink = answer({.head = {"id", "m", 5}, .choices = 2}, writer);
  for (const auto& delta : {piece(1, "x"), piece(0, "a"), piece(1, "y"), end_of(0), end_of(1)}) {
    sink->on_delta(delta, {});
    EXPECT_FALSE(writer->answered());
  }
  sink->on_done({.completion_tokens = 5});
  ASSERT_TRUE(writer->wait());
  const auto body = writer->json();
  EXPECT_EQ(writer->status(), 200);
  EXPECT_EQ(body.at("object"), json::value("chat.completion"));
  EXPECT_EQ(body.at("choices").at(0).at("message").at("content"), json::value("a"));
  EXPECT_EQ(body.at("choices").at(1).at("message").at("content"), json::value("xy"));
  EXPECT_EQ(body.at("usage").at("completion_tokens"), json::value(5));
}

TEST(WholeAnswer, AnEchoedPromptComesFirst) {
  const auto writer = std::make_shared<RecordingWriter>();
  const auto sink = answer({.is_chat = false, .echo = true, .choices = 2}, writer);
  sink->on_delta(piece(0, "!"), {});
  sink->on_delta(piece(1, "?"), {});
  sink->on_done({});
  EXPECT_EQ(writer->json().at("choices").at(0).at("text"), json::value("A!"));
  EXPECT_EQ(writer->json().at("choices").at(1).at("text"), json::value("B?"));
}

TEST(WholeAnswer, AnErrorAtAnyTimeHasItsStatus) {
  const auto writer = std::make_shared<RecordingWriter>();
  const auto sink = answer({}, writer);
  sink->on_delta(piece(0, "a"), {});
  sink->on_error({ErrorKind::kTimeout, "too late", {}, "timeout"});
  EXPECT_EQ(writer->status(), 408);
  EXPECT_EQ(writer->json().at("error").at("type"), json::value("timeout_error"));
}

TEST(WholeAnswer, A46TakesItsShareOfAllRequestsMemoryWhileItIsGathered) {
  const auto writer = std::make_shared<RecordingWriter>();
  AnswerOptions options;
  options.memory = RequestMemory(20'000);  // half of it for what is not decoded
  const Limiter& held = *options.memory.held;
  {
    const auto sink = answer(options, writer);
    sink->on_delta(piece(0, std::string(2'000, 'x')), {});
    EXPECT_GE(held.used(), 2'000u);
    try {
      sink->on_delta(piece(0, std::string(4'000, 'x')), {});
      ADD_FAILURE() << "there was no room";
    } catch (const std::exception& e) {
      EXPECT_EQ(failure_of_request(e).code, "too_many_bytes");
      EXPECT_EQ(failure_of_request(e).kind, ErrorKind::kRateLimited);
    }
    sink->on_done({});
    EXPECT_EQ(held.used(), 0u) << "the writer has it now";
  }
  EXPECT_EQ(writer->status(), 200);
}

// A stream of an API whose last event is the whole answer.
TEST(FormedAnswer, A46TakesItsShareOfAllRequestsMemoryWhileItStreams) {
  const auto writer = std::make_shared<RecordingWriter>();
  const RequestMemory memory(200'000);
  {
    const auto sink = make_answer(responses_form({"resp_1", "m", 0}, {}), true, memory, writer);
    sink->on_delta(piece(0, "text"), {});
    const size_t of_text = memory.held->used();
    EXPECT_GT(of_text, 0u);
    serve::Delta scored = piece(0, "more");
    scored.logprobs = {{{"more", "more", -1.0f}, {}}};
    sink->on_delta(scored, {});
    EXPECT_GT(memory.held->used(), of_text + 1'000) << "as values, they take more than as they are";
    sink->on_done({});
  }
  EXPECT_EQ(memory.held->used(), 0u);
}

}  // namespace
}  // namespace ernie::http
