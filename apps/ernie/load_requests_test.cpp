#include "load_requests.h"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include "answer_record.h"

namespace ernie::app {
namespace {

namespace json = boost::json;
using std::chrono::milliseconds;

ServeBenchOptions options() {
  ServeBenchOptions o;
  o.chat = false;
  o.input_len = 100;
  o.output_len = 40;
  o.range_ratio = 0.5;
  o.first_token_id = 300;
  o.last_token_id = 400;
  return o;
}

json::value body(const ServeBenchOptions& o, uint64_t number) {
  return json::parse(LoadRequests(o, "m").body(number));
}

TEST(LoadRequests, LengthsAndIdsStayInTheirRanges) {
  for (uint64_t i = 0; i < 50; ++i) {
    const json::value request = body(options(), i);
    const json::array& ids = request.at("prompt").as_array();
    EXPECT_GE(ids.size(), 50u);
    EXPECT_LE(ids.size(), 150u);
    for (const json::value& id : ids) {
      EXPECT_GE(id.as_int64(), 300);
      EXPECT_LE(id.as_int64(), 400);
    }
    EXPECT_GE(request.at("max_tokens").as_int64(), 20);
    EXPECT_LE(request.at("max_tokens").as_int64(), 60);
    EXPECT_TRUE(request.at_pointer("/stream_options/include_usage").as_bool());
  }
}

TEST(LoadRequests, SameSeedSameLoad) {
  ServeBenchOptions o = options();
  EXPECT_EQ(body(o, 7), body(o, 7));
  EXPECT_NE(body(o, 7), body(o, 8));
  const json::value before = body(o, 7);
  o.seed = 1;
  EXPECT_NE(body(o, 7), before);
}

TEST(LoadRequests, PicturesAreJpegs) {
  ServeBenchOptions o = options();
  o.chat = true;
  o.images = 2;
  o.image_size = {40, 30};
  const json::value request = body(o, 0);
  const json::array& parts = request.at_pointer("/messages/0/content").as_array();
  ASSERT_EQ(parts.size(), 3u);
  const auto url = [&](size_t i) { return parts[i].at_pointer("/image_url/url").as_string(); };
  EXPECT_TRUE(url(0).starts_with("data:image/jpeg;base64,/9j/"));
  EXPECT_NE(url(0), url(1));
  EXPECT_EQ(parts[2].at("type").as_string(), "text");
}

constexpr AnswerRecord::Clock::time_point kStart{};

AnswerRecord::Clock::time_point at(int ms) { return kStart + milliseconds(ms); }

TEST(AnswerRecord, TimesAStream) {
  AnswerRecord record(kStart);
  record.receive("data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n",
                 at(10));
  record.receive("data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"a\"}}]}\n\ndata: {\"cho",
                 at(50));
  record.receive("ices\":[{\"delta\":{\"content\":\"b\"},\"finish_reason\":null}]}\n\n", at(70));
  record.receive("data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n", at(80));
  record.receive(
      "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3}}\n\n"
      "data: [DONE]\n\n",
      at(90));
  EXPECT_EQ(record.failure(200), std::nullopt);
  EXPECT_DOUBLE_EQ(record.ttft(), 0.050);
  EXPECT_DOUBLE_EQ(record.latency(), 0.080);
  EXPECT_EQ(record.pieces(), 2);
  ASSERT_EQ(record.gaps().size(), 1u);
  EXPECT_FLOAT_EQ(record.gaps()[0], 0.020f);
  EXPECT_EQ(record.prompt_tokens(), 9);
  EXPECT_EQ(record.output_tokens(), 3);
}

TEST(AnswerRecord, AnAnswerWithoutTextHasATime) {
  AnswerRecord record(kStart);
  record.receive("data: {\"choices\":[{\"text\":\"\",\"finish_reason\":\"stop\"}]}\n\n", at(30));
  EXPECT_EQ(record.failure(200), std::nullopt);
  EXPECT_DOUBLE_EQ(record.ttft(), 0.030);
  EXPECT_EQ(record.output_tokens(), -1);
}

TEST(AnswerRecord, SaysWhyAnAnswerIsNoGood) {
  const auto reason = [](const std::string& bytes, long status) {
    AnswerRecord record(kStart);
    record.receive(bytes, at(1));
    return record.failure(status).value_or("");
  };
  EXPECT_EQ(reason(R"({"error":{"message":"queue full"}})", 429), "status 429: queue full");
  EXPECT_EQ(reason("<html>", 502), "status 502: <html>");
  EXPECT_EQ(reason("data: {\"error\":{\"message\":\"gone\"}}\n\n", 200),
            "error in the stream: gone");
  EXPECT_EQ(reason("data: {\"choices\":[{\"text\":\"a\",\"finish_reason\":null}]}\n\n", 200),
            "the stream ended early");
  EXPECT_EQ(reason("{}", 200), "no event stream: {}");
}

}  // namespace
}  // namespace ernie::app
