#include "serve/chat_service.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <future>

#include "serve/sampling.h"
#include "serve/testing/recording_sink.h"
#include "serve/testing/test_service.h"

namespace ernie::serve {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

std::shared_ptr<RecordingSink> new_sink() { return std::make_shared<RecordingSink>(); }

Script text_script(const std::string& text) { return {.tokens = tokens(ids(text))}; }

// Tokens that go on until the request is cancelled.
Script endless(const std::string& text = "a") {
  return {.tokens = tokens(ids(text)), .until_cancelled = true};
}

bool eventually(const std::function<bool()>& condition) {
  for (int i = 0; i < 1000 && !condition(); ++i) std::this_thread::sleep_for(milliseconds(10));
  return condition();
}

TEST(ChatService, AnAnswerComesInDeltasWithItsUsage) {
  Script script = text_script("The picture is red.");
  script.tokens.push_back(token(id("</s>")));
  script.tokens.back().is_stop = true;
  script.reason = engine::FinishReason::kStop;
  script.stats.cached_tokens = 3;
  TestService service(always(script));
  const auto sink = new_sink();
  service.service->chat(say("What colour?"), sink);
  const auto usage = sink->usage();
  ASSERT_TRUE(usage);
  const int n = static_cast<int>(script.tokens.size());
  EXPECT_EQ(sink->choice().content, "The picture is red.");
  EXPECT_EQ(sink->choice().finish_reason, "stop");
  EXPECT_EQ(sink->deltas().size(), static_cast<size_t>(n));  // one for each token, one for the end
  const auto requests = service.engine->requests();
  ASSERT_EQ(requests.size(), 1u);
  EXPECT_EQ(usage->prompt_tokens, static_cast<int>(requests[0].prompt->tokens.size()));
  EXPECT_EQ(usage->completion_tokens, n);
  EXPECT_EQ(usage->cached_tokens, 3);
  EXPECT_EQ(usage->reasoning_tokens, 0);
  const auto so_far = sink->so_far();
  for (size_t i = 0; i + 1 < so_far.size(); ++i) {
    EXPECT_EQ(so_far[i].completion_tokens, static_cast<int>(i) + 1);
  }
  ASSERT_TRUE(service.engine->idle());
  EXPECT_EQ(service.finish_reasons(), (std::vector<std::string>{"stop"}));
}

// A client that has its answer and asks for the metrics next finds the answer counted.
TEST(ChatService, ARequestIsRecordedBeforeItsAnswerIsComplete) {
  struct ReasonsAtTheEnd : RecordingSink {
    void on_done(const Usage& usage) override {
      reasons = service->finish_reasons();
      RecordingSink::on_done(usage);
    }
    const TestService* service = nullptr;
    std::vector<std::string> reasons;
  };
  TestService service(always(text_script("The picture is red.")));
  const auto sink = std::make_shared<ReasonsAtTheEnd>();
  sink->service = &service;
  service.service->chat(say("What colour?"), sink);
  ASSERT_TRUE(sink->usage());
  EXPECT_EQ(sink->reasons.size(), 1u);
}

TEST(ChatService, ReasoningIsSplitOffWhereAParserIsSet) {
  const Script script = text_script("I see</think>\n\nred");
  TestService service(always(script),
                      {.syntax = {.thinking = text::AnswerSyntax::Thinking::kSplit}});
  const auto thinking = new_sink();
  service.service->chat(say("What colour?", true), thinking);
  const auto usage = thinking->usage();
  ASSERT_TRUE(usage);
  EXPECT_EQ(thinking->choice().reasoning, "I see");
  EXPECT_EQ(thinking->choice().content, "red");
  EXPECT_EQ(thinking->choice().finish_reason, "length");
  EXPECT_EQ(usage->reasoning_tokens, static_cast<int>(ids("I see</think>").size()));

  const auto answering = new_sink();
  service.service->chat(say("What colour?", false), answering);
  ASSERT_TRUE(answering->usage());
  EXPECT_EQ(answering->choice().reasoning, "");
  EXPECT_EQ(answering->choice().content, "I see\n\nred");
  EXPECT_EQ(answering->usage()->reasoning_tokens, 0);
}

TEST(ChatService, ChoicesHaveTheirOwnSeedsAndTexts) {
  TestService service([](const engine::GenerationRequest&, int number) -> Result<Script> {
    Script script = text_script("answer " + std::to_string(number));
    script.stats.cached_tokens = 4;
    return script;
  });
  ChatRequest request = say("Hi");
  request.options.n = 3;
  request.options.seed = 7;
  const auto sink = new_sink();
  service.service->chat(std::move(request), sink);
  const auto usage = sink->usage();
  ASSERT_TRUE(usage);
  const auto requests = service.engine->requests();
  ASSERT_EQ(requests.size(), 3u);
  int completion = 0;
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(sink->choice(i).content, "answer " + std::to_string(i));
    EXPECT_EQ(requests[i].sampling.options.seed, choice_seed(7, i));
    EXPECT_EQ(requests[i].prompt, requests[0].prompt) << "the prompt is shared";
    completion += static_cast<int>(ids("answer " + std::to_string(i)).size());
  }
  EXPECT_EQ(usage->completion_tokens, completion);
  EXPECT_EQ(usage->prompt_tokens, static_cast<int>(requests[0].prompt->tokens.size()));
  EXPECT_EQ(usage->cached_tokens, 4) << "of the prompt, once";
}

TEST(ChatService, CompletionsTakeSeveralPromptsAndShowThem) {
  Script script = text_script("!");
  script.stats.cached_tokens = 1;
  TestService service(always(script),
                      {.syntax = {.thinking = text::AnswerSyntax::Thinking::kSplit}});
  CompletionRequest request;
  request.prompts = {std::string("Once<think>"), ids("Two")};
  request.options.n = 2;
  request.options.return_token_ids = true;
  const auto sink = new_sink();
  service.service->complete(std::move(request), sink);
  const auto usage = sink->usage();
  ASSERT_TRUE(usage);
  EXPECT_EQ(service.engine->requests().size(), 4u);
  EXPECT_EQ(usage->prompt_tokens, static_cast<int>(ids("Once<think>").size() + ids("Two").size()));
  EXPECT_EQ(usage->cached_tokens, 2);
  EXPECT_EQ(sink->info().token_ids,
            (std::vector<std::vector<int32_t>>{ids("Once<think>"), ids("Two")}));
  EXPECT_EQ(sink->info().texts, (std::vector<std::string>{"Once<think>", "Two"}));
  for (int i = 0; i < 4; ++i) EXPECT_EQ(sink->choice(i).content, "!") << "completions never split";
}

TEST(ChatService, AStopStringEndsTheEnginesRequestToo) {
  TestService service(always(endless("one two stop three four")));
  ChatRequest request = say("Hi");
  request.options.stop = {" stop"};
  const auto sink = new_sink();
  service.service->chat(std::move(request), sink);
  ASSERT_TRUE(sink->usage());
  EXPECT_EQ(sink->choice().content, "one two");
  EXPECT_EQ(sink->choice().finish_reason, "stop");
  ASSERT_TRUE(service.engine->idle());
  EXPECT_EQ(service.engine->cancelled(), (std::vector<engine::RequestHandle>{1}));
  EXPECT_EQ(service.finish_reasons(), (std::vector<std::string>{"stop"}));
}

TEST(ChatService, WhatHappensAfterAStopStringDoesNotSpoilTheAnswer) {
  Script script = text_script("one stop two");
  script.reason = engine::FinishReason::kError;
  script.error = Error{ErrorKind::kTimeout, "too late", {}, "timeout"};
  script.ignores_cancel = true;
  TestService service(always(script));
  ChatRequest request = say("Hi");
  request.options.stop = {" stop"};
  const auto sink = new_sink();
  service.service->chat(std::move(request), sink);
  ASSERT_TRUE(sink->usage());
  EXPECT_EQ(sink->choice().content, "one");
}

TEST(ChatService, AnErrorInTheMiddleEndsAllChoices) {
  TestService service([](const engine::GenerationRequest&, int number) -> Result<Script> {
    if (number == 0) return endless("aaa");
    Script script = text_script("bb");
    script.reason = engine::FinishReason::kError;
    script.error = internal_error("the device is gone");
    return script;
  });
  ChatRequest request = say("Hi");
  request.options.n = 2;
  const auto sink = new_sink();
  service.service->chat(std::move(request), sink);
  const auto error = sink->error();
  ASSERT_TRUE(error);
  EXPECT_EQ(error->message, "the device is gone");
  EXPECT_FALSE(sink->deltas().empty());
  ASSERT_TRUE(service.engine->idle());
  EXPECT_EQ(service.finish_reasons(), (std::vector<std::string>{"cancelled", "error"}));
}

TEST(ChatService, A85ARefusedChoiceEndsTheOthers) {
  TestService service([](const engine::GenerationRequest&, int number) -> Result<Script> {
    if (number == 1) return Error{ErrorKind::kRateLimited, "the queue is full", {}, "queue_full"};
    return endless();
  });
  ChatRequest request = say("Hi");
  request.options.n = 3;
  const auto sink = new_sink();
  service.service->chat(std::move(request), sink);
  const auto error = sink->error();
  ASSERT_TRUE(error);
  EXPECT_EQ(error->kind, ErrorKind::kRateLimited);
  ASSERT_TRUE(service.engine->idle());
  EXPECT_EQ(service.engine->requests().size(), 2u) << "the third is not tried";
  EXPECT_EQ(service.finish_reasons(), (std::vector<std::string>{"cancelled"}));
}

TEST(ChatService, A86DeadlinesGoToTheEngine) {
  TestService service(always(text_script("a")), {.max_waiting_time = milliseconds(300)});
  ChatRequest request = say("Hi");
  request.options.timeout_ms = 1500;
  const auto sink = new_sink();
  const auto before = engine::Clock::now();
  service.service->chat(std::move(request), sink);
  const auto after = engine::Clock::now();
  ASSERT_TRUE(sink->usage());
  const auto made = service.engine->requests()[0];
  ASSERT_TRUE(made.deadline && made.queue_deadline);
  EXPECT_GE(*made.deadline, before + milliseconds(1500));
  EXPECT_LE(*made.deadline, after + milliseconds(1500));
  EXPECT_GE(*made.queue_deadline, before + milliseconds(300));
  EXPECT_LE(*made.queue_deadline, after + milliseconds(300));

  TestService without(always(text_script("a")));
  const auto other = new_sink();
  without.service->chat(say("Hi"), other);
  ASSERT_TRUE(other->usage());
  EXPECT_FALSE(without.engine->requests()[0].deadline);
  EXPECT_FALSE(without.engine->requests()[0].queue_deadline);
}

TEST(ChatService, A88AnAnswerThatTheServerCutsShortIsAnError) {
  Script script = text_script("one two");
  script.reason = engine::FinishReason::kCancelled;
  TestService service(always(script));
  const auto sink = new_sink();
  service.service->chat(say("Hi"), sink);
  const auto error = sink->error();
  ASSERT_TRUE(error);
  EXPECT_EQ(error->kind, ErrorKind::kUnavailable);
  EXPECT_EQ(error->code, "cancelled");
}

ChatRequest of_client(ClientId client, int n) {
  ChatRequest request = say("Hi");
  request.options.client = client;
  request.options.n = n;
  return request;
}

TEST(ChatService, SequencesOfOneClientHaveALimit) {
  TestService service(always(endless()), {.max_sequences_per_client = 4});
  const auto held = service.service->chat(of_client(1, 3), new_sink());
  ASSERT_TRUE(eventually([&] { return service.engine->requests().size() == 3; }));
  const auto refused = new_sink(), never = new_sink();
  service.service->chat(of_client(1, 2), refused);
  ASSERT_TRUE(refused->error());
  EXPECT_EQ(refused->error()->kind, ErrorKind::kRateLimited);
  EXPECT_EQ(refused->error()->code, "too_many_sequences");
  EXPECT_NE(refused->error()->message.find("3 of 4 sequences"), std::string::npos);
  service.service->chat(of_client(1, 5), never);
  ASSERT_TRUE(never->error());
  EXPECT_EQ(never->error()->kind, ErrorKind::kInvalidArgument) << "later would not help";
  const auto other = service.service->chat(of_client(2, 4), new_sink());
  ASSERT_TRUE(eventually([&] { return service.engine->requests().size() == 7; }));
  held->cancel();
  other->cancel();
  ASSERT_TRUE(service.engine->idle());
  const auto last = service.service->chat(of_client(1, 4), new_sink());
  EXPECT_TRUE(eventually([&] { return service.engine->requests().size() == 11; }))
      << "what has ended counts no more";
  last->cancel();
}

TEST(ChatService, TokensOfOneClientHaveALimit) {
  TestService service(always(endless()), {.max_tokens_per_client = 250});
  const auto held = service.service->chat(of_client(1, 1), new_sink());  // 100 and its prompt
  ASSERT_TRUE(eventually([&] { return service.engine->requests().size() == 1; }));
  const auto refused = new_sink();
  service.service->chat(of_client(1, 2), refused);
  ASSERT_TRUE(refused->error());
  EXPECT_EQ(refused->error()->code, "too_many_tokens");
  EXPECT_NE(refused->error()->message.find("of 250 tokens"), std::string::npos);
  ChatRequest small = of_client(1, 2);
  small.options.max_tokens = 10;
  const auto taken = service.service->chat(std::move(small), new_sink());
  EXPECT_TRUE(eventually([&] { return service.engine->requests().size() == 3; }));
  held->cancel();
  taken->cancel();
}

TEST(ChatService, ClientsTakeTurnsInBeingPrepared) {
  TestService service(always(text_script("a")), {.threads = 1});
  std::promise<void> go;
  service.service->post(0, [&] { go.get_future().wait(); });
  for (int i = 0; i < 50; ++i) service.service->chat(of_client(1, 1), new_sink());
  const auto sink = new_sink();
  service.service->chat(of_client(2, 1), sink);
  go.set_value();
  ASSERT_TRUE(sink->wait());
  ASSERT_TRUE(eventually([&] { return service.engine->requests().size() == 51; }));
  const auto requests = service.engine->requests();
  const auto place = std::ranges::find(requests, 2u, &engine::GenerationRequest::client);
  EXPECT_LE(place - requests.begin(), 1);
}

TEST(ChatService, A87AClientThatLeavesBeforeItsTurnCostsNothing) {
  TestService service(always(text_script("a")), {.threads = 1});
  std::promise<void> go;
  service.service->post(0, [&] { go.get_future().wait(); });
  const auto sink = new_sink();
  service.service->chat(say("Hi"), sink)->cancel();
  go.set_value();
  std::promise<void> done;
  service.service->post(0, [&] { done.set_value(); });
  done.get_future().wait();
  EXPECT_TRUE(service.engine->requests().empty());
  EXPECT_FALSE(sink->started() || sink->ended());
}

TEST(ChatService, A87AClientThatLeavesWhileTokensComeFreesAllItsChoices) {
  TestService service(always(endless("a b c")));
  ChatRequest request = say("Hi");
  request.options.n = 2;
  const auto sink = new_sink();
  const auto generation = service.service->chat(std::move(request), sink);
  ASSERT_TRUE(eventually([&] { return service.engine->requests().size() == 2; }));
  generation->cancel();
  generation->cancel();
  ASSERT_TRUE(service.engine->idle());
  EXPECT_EQ(service.finish_reasons(), (std::vector<std::string>{"cancelled", "cancelled"}));
  EXPECT_FALSE(sink->ended()) << "nobody is there to be told";
}

// A71: other clients, and whoever asks for no format, wait for no slow grammar.
TEST(ChatService, SlowGrammarsOfOneClientHoldUpNobodyElse) {
  TestService service(always(text_script("a")));
  const auto ask = [&](ClientId client, std::string grammar, const auto& sink) {
    ChatRequest request = say("Hi");
    request.options.client = client;
    if (!grammar.empty()) {
      request.options.format = {{grammar::GrammarKind::kEbnf, std::move(grammar)}, "grammar"};
    }
    return service.service->chat(std::move(request), sink);
  };
  std::vector<std::shared_ptr<RecordingSink>> slow_sinks;
  std::vector<std::shared_ptr<Generation>> slow;
  for (const char* last : {"x", "y", "z"}) {
    std::string grammar = "root ::= ";
    for (int i = 0; i < 40'000; ++i) grammar += "[a-z ] ";
    slow_sinks.push_back(new_sink());
    slow.push_back(ask(1, grammar + '"' + last + '"', slow_sinks.back()));
  }
  const auto plain = new_sink();
  ask(1, "", plain);
  EXPECT_TRUE(plain->usage());
  const auto other = new_sink();
  ask(2, "root ::= \"a\"", other);
  EXPECT_TRUE(other->usage());
  for (const auto& sink : slow_sinks) EXPECT_FALSE(sink->ended());
  for (const auto& generation : slow) generation->cancel();
}

TEST(ChatService, A46AnswersTooLargeForMemoryAreRefused) {
  TestService service(always(text_script("a")), {.max_output_bytes = 1'000'000});
  const auto request_of = [](int top_logprobs) {
    ChatRequest request = say("Hi");
    request.options.max_tokens = 100;
    request.options.n = 99;  // 100 bytes a token
    request.options.top_logprobs = top_logprobs;
    return request;
  };
  const auto fits = new_sink();
  service.service->chat(request_of(-1), fits);
  EXPECT_TRUE(fits->usage());
  const auto sink = new_sink();
  service.service->chat(request_of(20), sink);
  const auto error = sink->error();
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code, "output_too_large");
  EXPECT_FALSE(sink->started());
}

// A completion whose prompt is scored with so many alternatives.
CompletionRequest scored(int prompt_logprobs, int max_tokens = 1) {
  CompletionRequest request;
  request.prompts = {std::string("The picture")};
  request.options.max_tokens = max_tokens;
  request.options.prompt_logprobs = prompt_logprobs;
  return request;
}

TEST(ChatService, TokensOfThePromptComeBeforeThoseOfTheAnswer) {
  Script script = text_script("a");
  for (const int32_t token : ids("The picture")) {
    script.prompt.push_back({token, -1.5f, 3, {{id("a"), -0.5f}}});
  }
  script.prompt.front().logprob.reset();
  script.prompt.front().rank = 0;
  TestService service(always(script));
  CompletionRequest request = scored(1);
  request.options.n = 2;
  const auto sink = new_sink();
  service.service->complete(std::move(request), sink);
  ASSERT_TRUE(sink->usage());
  for (const int index : {0, 1}) {
    const Delta all = sink->choice(index);
    ASSERT_EQ(all.prompt.size(), script.prompt.size());
    EXPECT_FALSE(all.prompt[0].known());
    std::string text;
    for (const PromptLogprobs& token : all.prompt) text += token.logprobs.token.text;
    EXPECT_EQ(text, "The picture");
    const PromptLogprobs& last = all.prompt.back();
    EXPECT_TRUE(last.known());
    EXPECT_EQ(last.rank, 3);
    EXPECT_EQ(last.logprobs.token.id, ids("The picture").back());
    EXPECT_FLOAT_EQ(last.logprobs.token.logprob, -1.5f);
    ASSERT_EQ(last.logprobs.top.size(), 1u);
    EXPECT_EQ(last.logprobs.top[0].id, id("a"));
    EXPECT_EQ(all.content, "a");
  }
}

TEST(ChatService, AnEchoWithLogprobsScoresThePromptAndNothingElseDoes) {
  TestService service(always(text_script("a")));
  const auto wanted = [&](bool echo, int logprobs, int prompt_logprobs) {
    CompletionRequest request = scored(prompt_logprobs, 0);
    request.echo = echo;
    request.options.top_logprobs = logprobs;
    const auto sink = new_sink();
    service.service->complete(std::move(request), sink);
    EXPECT_TRUE(sink->usage());
    EXPECT_EQ(service.engine->requests().back().sampling.max_tokens, 0);
    return service.engine->requests().back().sampling.prompt_logprobs;
  };
  EXPECT_EQ(wanted(true, 4, -1), 4);
  EXPECT_EQ(wanted(true, 0, -1), 0);
  EXPECT_EQ(wanted(true, 1, 3), 3);
  EXPECT_EQ(wanted(true, -1, -1), -1);
  EXPECT_EQ(wanted(false, 4, -1), -1);
  EXPECT_EQ(wanted(false, 4, 2), 2);
}

TEST(ChatService, A46LogprobsOfThePromptCountAsOutput) {
  const auto entries = static_cast<size_t>(20 + 2);
  const size_t tokens = ids("The picture").size();
  for (const bool fits : {true, false}) {
    TestService service(always(text_script("a")),
                        {.max_output_bytes = 100 * (entries * tokens + 1) - (fits ? 0 : 1)});
    const auto sink = new_sink();
    service.service->complete(scored(20), sink);
    const auto error = sink->error();
    EXPECT_EQ(error ? error->code : "", fits ? "" : "output_too_large");
  }
}

TEST(ChatService, A37PromptLogprobsHaveTheLimitOfLogprobs) {
  TestService service(always(text_script("a")));
  const auto sink = new_sink();
  service.service->complete(scored(21), sink);
  ASSERT_TRUE(sink->error());
  EXPECT_EQ(sink->error()->param, "prompt_logprobs");
}

TEST(ChatService, A91ATaskThatThrowsEndsAlone) {
  TestService service(always(text_script("a")), {.threads = 1});
  service.service->post(0, [] { throw std::bad_alloc(); });
  service.service->post(0, [] { throw std::runtime_error("anything"); });
  const auto sink = new_sink();
  service.service->chat(say("Hi"), sink);
  EXPECT_TRUE(sink->usage()) << "the pool's only thread is gone";
}

TEST(ChatService, A91ARequestWithoutMemoryIsToldSoAndEndsAlone) {
  int calls = 0;
  TestService service([&](const engine::GenerationRequest&, int) -> Result<Script> {
    ++calls;
    if (calls == 1) throw std::bad_alloc();
    if (calls == 2) throw std::runtime_error("/a/path");
    return text_script("a");
  });
  const auto without_memory = new_sink();
  service.service->chat(say("Hi"), without_memory);
  ASSERT_TRUE(without_memory->error());
  EXPECT_EQ(without_memory->error()->kind, ErrorKind::kUnavailable);
  EXPECT_EQ(without_memory->error()->code, "out_of_memory");
  const auto failed = new_sink();
  service.service->chat(say("Hi"), failed);
  ASSERT_TRUE(failed->error());
  EXPECT_EQ(failed->error()->kind, ErrorKind::kInternal);
  EXPECT_EQ(failed->error()->message.find("/a/path"), std::string::npos);
  const auto sink = new_sink();
  service.service->chat(say("Hi"), sink);
  EXPECT_TRUE(sink->usage());
}

// Fails where a real one may: when it makes the text to send.
class FailingSink : public RecordingSink {
 public:
  void on_delta(const Delta&, const Usage&) override { throw std::bad_alloc(); }
};

TEST(ChatService, A91AnAnswerThatCannotBeWrittenEndsAlone) {
  TestService service(always(text_script("a b c")));
  const auto failing = std::make_shared<FailingSink>();
  service.service->chat(say("Hi"), failing);
  const auto sink = new_sink();
  service.service->chat(say("Hi"), sink);
  ASSERT_TRUE(failing->error());
  EXPECT_EQ(failing->error()->code, "out_of_memory");
  EXPECT_TRUE(sink->usage());
  EXPECT_TRUE(service.engine->idle());
}

}  // namespace
}  // namespace ernie::serve
