#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <future>
#include <memory>
#include <string>
#include <vector>

#include "media/test_server.h"
#include "serve/chat_service.h"
#include "serve/testing/recording_sink.h"
#include "serve/testing/test_service.h"

namespace ernie::serve {
namespace {

std::shared_ptr<RecordingSink> new_sink() { return std::make_shared<RecordingSink>(); }

Script short_answer() { return {.tokens = tokens(ids("a"))}; }

const char* const kPicture =
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGNwdDAHAAF+ALm4"
    "li2nAAAAAElFTkSuQmCC";

// One thread for media, and a minute for hosts.
ServiceConfig patient() {
  ServiceConfig config{.media_threads = 1};
  config.fetch.allow_private_media = true;
  config.fetch.timeout_ms = 60'000;
  config.fetch.low_speed_s = 60;
  return config;
}

ChatRequest ask_about(const std::string& url) {
  ChatRequest request = say("What is this?");
  request.chat.messages[0].parts.push_back(image(url));
  return request;
}

// Whether the other side closes its connection, long before it would for want of an answer.
bool comes_to_its_end(int connection) {
  const timeval limit{.tv_sec = 10, .tv_usec = 0};
  setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  char bytes[1024];
  ssize_t received = 0;
  do {
    received = recv(connection, bytes, sizeof(bytes), 0);
  } while (received > 0);
  return received == 0;
}

TEST(ChatServiceMedia, A87AClientThatLeavesWhileMediaIsFetchedEndsTheFetch) {
  media::Listener host;
  TestService service(always(short_answer()), patient());
  ChatRequest request = ask_about(host.url("/a.png"));
  const auto sink = new_sink();
  const auto generation = service.service->chat(std::move(request), sink);
  const int client = accept(host.fd(), nullptr, nullptr);
  generation->cancel();
  EXPECT_TRUE(comes_to_its_end(client));
  EXPECT_TRUE(service.engine->requests().empty());
  EXPECT_FALSE(sink->ended());
  close(client);
}

// Without it a hundred pictures would take a hundred times as long as a host needs for one.
TEST(ChatServiceMedia, ARequestFetchesSeveralFilesAtOnce) {
  media::Listener silent;
  media::Listener host;
  TestService service(always(short_answer()), [] {
    ServiceConfig config = patient();
    config.max_images_per_prompt = 20;
    return config;
  }());
  ChatRequest request = ask_about(silent.url("/first.png"));
  for (int i = 0; i < 15; ++i) request.chat.messages[0].parts.push_back(image(host.url("/a.png")));
  const auto sink = new_sink();
  const auto generation = service.service->chat(std::move(request), sink);
  const int first = accept(silent.fd(), nullptr, nullptr);
  constexpr std::string_view kNoPicture = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnone";
  for (int i = 0; i < 7; ++i) {
    const int other = accept(host.fd(), nullptr, nullptr);
    send(other, kNoPicture.data(), kNoPicture.size(), MSG_NOSIGNAL);
    close(other);
  }
  EXPECT_FALSE(host.connected(50)) << "they are held until the first one has come";
  EXPECT_FALSE(sink->ended());
  send(first, kNoPicture.data(), kNoPicture.size(), MSG_NOSIGNAL);
  EXPECT_EQ(sink->error()->param, "messages[0].content[1]") << "the first in the prompt's order";
  close(first);
}

// A62
TEST(ChatServiceMedia, TextWaitsForNoPicture) {
  media::Listener host;
  TestService service(always(short_answer()), patient());
  std::vector<std::shared_ptr<Generation>> waiting;
  waiting.reserve(20);
  for (int i = 0; i < 20; ++i) {
    waiting.push_back(service.service->chat(ask_about(host.url("/a.png")), new_sink()));
  }
  const int client = accept(host.fd(), nullptr, nullptr);
  const auto sink = new_sink();
  service.service->chat(say("Hi"), sink);
  EXPECT_FALSE(sink->error());
  EXPECT_EQ(service.engine->requests().size(), 1u);
  for (const auto& generation : waiting) generation->cancel();
  close(client);
}

// A53
TEST(ChatServiceMedia, NobodyWaitsForTheHostOfAnothersPicture) {
  media::Listener host;
  TestService service(always(short_answer()), patient());
  std::vector<std::shared_ptr<RecordingSink>> waiting;
  for (int i = 0; i < 20; ++i) {
    waiting.push_back(new_sink());
    service.service->chat(ask_about(host.url("/a.png")), waiting.back());
  }
  const int client = accept(host.fd(), nullptr, nullptr);
  const auto sink = new_sink();
  service.service->chat(ask_about(kPicture), sink);
  EXPECT_TRUE(sink->usage()) << "one thread decodes";
  service.service.reset();
  for (const auto& each : waiting) EXPECT_EQ(each->error()->code, "shutting_down");
  close(client);
}

// A53
TEST(ChatServiceMedia, SlowVideosOfOneClientLeaveThreadsForOthers) {
  ServiceConfig config{.media_threads = 3};
  config.memory = RequestMemory(size_t{1} << 30);
  const auto all = config.memory.videos->acquire(config.memory.videos->limit());
  TestService service(always(short_answer()), config);
  std::vector<std::shared_ptr<Generation>> waiting;
  for (int i = 0; i < 3; ++i) {
    ChatRequest request = say("What happens?");
    request.options.client = 1;
    request.chat.messages[0].parts.push_back(video_file());
    waiting.push_back(service.service->chat(std::move(request), new_sink()));
  }
  ChatRequest other = ask_about(kPicture);
  other.options.client = 2;
  const auto sink = new_sink();
  service.service->chat(std::move(other), sink);
  EXPECT_TRUE(sink->usage());
  for (const auto& generation : waiting) generation->cancel();
}

// Without it a choice for which the caches have lost the picture would wait for ever.
TEST(ChatServiceMedia, ASeenPictureIsDecodedOnceForAllChoicesThatNeedIt) {
  TestService service(always(short_answer()), patient());
  const auto first = new_sink();
  service.service->chat(ask_about(kPicture), first);
  EXPECT_TRUE(first->usage());
  ChatRequest request = ask_about(kPicture);
  request.options.n = 3;
  const auto sink = new_sink();
  const auto generation = service.service->chat(std::move(request), sink);
  EXPECT_TRUE(sink->usage());
  auto requests = service.engine->take_requests();
  ASSERT_EQ(requests.size(), 4u);
  const auto first_prompt = requests[0].prompt;
  EXPECT_FALSE(requests[0].decode_media);
  std::vector<std::promise<std::shared_ptr<const model::Prompt>>> decoded(3);
  for (size_t choice = 0; choice < 3; ++choice) {
    EXPECT_TRUE(requests[choice + 1].prompt->media[0].patches->pixels.empty());
    requests[choice + 1].decode_media(
        [&promise = decoded[choice]](auto prompt) { promise.set_value(std::move(prompt)); });
  }
  requests.clear();  // as the engine, which needs it no more
  const auto prompt = decoded[0].get_future().get();
  EXPECT_EQ(prompt->media[0].patches->pixels, first_prompt->media[0].patches->pixels);
  EXPECT_EQ(decoded[1].get_future().get(), prompt);
  EXPECT_EQ(decoded[2].get_future().get(), prompt);
}

// Without it a decode that nobody waits for any more would go on to its end.
TEST(ChatServiceMedia, ATimeLimitOfTheRequestHoldsWhileItsMediaArePrepared) {
  media::Listener host;
  ServiceConfig config = patient();
  config.media_threads = 2;
  config.memory = RequestMemory(size_t{1} << 30);
  const auto all = config.memory.videos->acquire(config.memory.videos->limit());
  TestService service(always(short_answer()), config);
  ChatRequest fetching = ask_about(host.url("/a.png"));
  ChatRequest decoding = say("What happens?");
  decoding.chat.messages[0].parts.push_back(video_file());
  for (ChatRequest* request : {&fetching, &decoding}) {
    request->options.timeout_ms = 50;
    const auto sink = new_sink();
    service.service->chat(std::move(*request), sink);
    ASSERT_TRUE(sink->error());
    EXPECT_EQ(sink->error()->kind, ErrorKind::kTimeout);
    EXPECT_EQ(sink->error()->code, "deadline_exceeded");
  }
  EXPECT_TRUE(service.engine->requests().empty());
}

// A88
TEST(ChatServiceMedia, AGenerationThatTheServerEndsNoLongerFetches) {
  media::Listener host;
  TestService service(always(short_answer()), patient());
  const auto sink = new_sink();
  const auto generation = service.service->chat(ask_about(host.url("/a.png")), sink);
  const int client = accept(host.fd(), nullptr, nullptr);
  generation->fail({ErrorKind::kUnavailable, "the time to end is over", {}, "shutting_down"});
  EXPECT_EQ(sink->error()->code, "shutting_down");
  EXPECT_TRUE(comes_to_its_end(client));
  close(client);
}

}  // namespace
}  // namespace ernie::serve
