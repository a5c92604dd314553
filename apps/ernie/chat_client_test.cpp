#include "chat_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <filesystem>
#include <fstream>

#include "http/server.h"

namespace ernie::app {
namespace {

using testing::HasSubstr;

// A server whose chat route answers `events` and keeps what it was sent.
class FakeServer {
 public:
  explicit FakeServer(std::vector<std::string> events, int status = 200)
      : events_(std::move(events)) {
    auto router = std::make_shared<http::Router>();
    router->add("GET", "/v1/models", {}, [](auto, std::shared_ptr<http::ResponseWriter> writer) {
      writer->send(200, "application/json", R"({"data":[{"id":"the-model"}]})");
    });
    router->add(
        "POST", "/v1/chat/completions", {.requires_json = true},
        [this, status](http::HttpRequest request, std::shared_ptr<http::ResponseWriter> writer) {
          body = request.body;
          if (status != 200)
            return writer->send_error(invalid_argument("no such thing", "messages"));
          writer->start_stream("text/event-stream");
          for (const std::string& event : events_) writer->write(event);
          writer->finish();
        });
    server_ = std::move(*http::HttpServer::start({.port = 0}, router));
    server_->set_state(http::ServerState::kReady);
  }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(server_->port()); }

  std::string body;

 private:
  std::vector<std::string> events_;
  std::unique_ptr<http::HttpServer> server_;
};

boost::json::array hello() { return {boost::json::object{{"role", "user"}, {"content", "hello"}}}; }

std::string delta(const std::string& key, const std::string& text) {
  return "data: " +
         boost::json::serialize(
             boost::json::value{{"choices", {{{"index", 0}, {"delta", {{key, text}}}}}}}) +
         "\n\n";
}

// Without it events cut anywhere by the network would be lost.
TEST(SseReader, JoinsWhatTheNetworkCut) {
  const std::string stream = "data: one\n\n: keep-alive\ndata:two\r\n\r\nevent: x\ndata: \n\n";
  for (size_t step = 1; step < stream.size(); ++step) {
    std::vector<std::string> seen;
    SseReader reader([&](std::string_view data) { seen.emplace_back(data); });
    for (size_t at = 0; at < stream.size(); at += step) reader.push(stream.substr(at, step));
    EXPECT_THAT(seen, testing::ElementsAre("one", "two", "")) << step;
  }
}

TEST(ChatClient, StreamsReasoningAndAnswerApart) {
  FakeServer server({delta("reasoning_content", "hm"), delta("content", "Hello"),
                     delta("content", " you"), "data: {\"choices\":[],\"usage\":{}}\n\n",
                     "data: [DONE]\n\n"});
  ChatClient client({.url = server.url(), .max_tokens = 5, .thinking = false});
  ASSERT_TRUE(client.connect());
  EXPECT_EQ(client.model(), "the-model");
  std::string reasoning, content;
  const auto answer = client.ask(hello(), [&](const std::string& piece, bool is_reasoning) {
    (is_reasoning ? reasoning : content) += piece;
  });
  ASSERT_TRUE(answer);
  EXPECT_EQ(*answer, "Hello you");
  EXPECT_EQ(reasoning, "hm");
  EXPECT_EQ(content, "Hello you");
  const auto sent = boost::json::parse(server.body);
  EXPECT_EQ(sent.at("model"), "the-model");
  EXPECT_EQ(sent.at("enable_thinking"), false);
  EXPECT_EQ(sent.at("max_tokens"), 5);
  EXPECT_EQ(sent.at("messages").at(0).at("content"), "hello");
}

TEST(ChatClient, ShowsTheServersMessageOnFailure) {
  const auto nothing = [](const std::string&, bool) {};
  FakeServer refusing({}, 400);
  const auto refused = ChatClient({.url = refusing.url()}).ask(hello(), nothing);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, "status 400: no such thing");

  FakeServer failing({delta("content", "half"),
                      "data: {\"error\":{\"message\":\"device lost\"}}\n\n", "data: [DONE]\n\n"});
  const auto failed = ChatClient({.url = failing.url()}).ask(hello(), nothing);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().message, "device lost");

  FakeServer cut({delta("content", "half")});
  EXPECT_FALSE(ChatClient({.url = cut.url()}).ask(hello(), nothing));

  const Status unreachable = ChatClient({.url = "http://127.0.0.1:1"}).connect();
  ASSERT_FALSE(unreachable);
  EXPECT_THAT(unreachable.error().message, HasSubstr("ernie serve"));
}

TEST(MediaParts, AreDataUrlsAndRefuseOtherFiles) {
  const auto path =
      std::filesystem::temp_directory_path() / ("ernie_chat_" + std::to_string(getpid()) + ".bin");
  std::ofstream(path, std::ios::binary) << "GIF89a";
  const auto part = image_part(path.string());
  ASSERT_TRUE(part);
  EXPECT_EQ(part->at("type"), "image_url");
  EXPECT_EQ(part->at("image_url").at("url"), "data:image/gif;base64,R0lGODlh");
  const auto animation = video_part(path.string());
  ASSERT_TRUE(animation);
  EXPECT_EQ(animation->at("type"), "video_url");
  EXPECT_EQ(animation->at("video_url").at("url"), "data:video/mp4;base64,R0lGODlh");
  std::ofstream(path, std::ios::binary) << "\x1A\x45\xDF\xA3";
  EXPECT_FALSE(image_part(path.string()));
  EXPECT_TRUE(video_part(path.string()));
  std::ofstream(path, std::ios::binary) << "text";
  EXPECT_FALSE(image_part(path.string()));
  EXPECT_FALSE(video_part(path.string()));
  std::filesystem::remove(path);
  EXPECT_FALSE(image_part("/no/such/file.png"));
  EXPECT_FALSE(video_part("/no/such/file.mp4"));
  EXPECT_FALSE(image_part("/"));
  EXPECT_FALSE(image_part("/dev/zero"));
}

// Without it a model's text could drive the reader's terminal.
TEST(Printable, DropsControlCharacters) {
  EXPECT_EQ(printable("a\x1b[31mb\rc\td\ne\x07\x7f"), "a[31mbc\td\ne");
  EXPECT_EQ(printable("\xc2\x9b"
                      "1m\xc2\xa0ok\xe4\xbd\xa0"),
            "1m\xc2\xa0ok\xe4\xbd\xa0");
}

}  // namespace
}  // namespace ernie::app
