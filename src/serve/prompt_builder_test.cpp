#include "serve/prompt_builder.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <chrono>
#include <ctime>
#include <fstream>
#include <future>
#include <iterator>

#include "media/fetcher.h"
#include "serve/testing/test_service.h"

namespace ernie::serve {
namespace {

const char* const kPlaceholder = "<|IMAGE_PLACEHOLDER|>";

std::string file_bytes(const std::string& name) {
  std::ifstream file("tests/golden/media/" + name, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string base64(const std::string& bytes, const char* alphabet_end = "+/") {
  const std::string alphabet =
      std::string("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789") + alphabet_end;
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t n = std::min<size_t>(3, bytes.size() - i);
    uint32_t word = 0;
    for (size_t k = 0; k < 3; ++k)
      word = word << 8 | (k < n ? static_cast<unsigned char>(bytes[i + k]) : 0);
    for (size_t k = 0; k < 4; ++k) out += k <= n ? alphabet[word >> (18 - 6 * k) & 63] : '=';
  }
  return out;
}

std::string picture(const std::string& name) {
  return "data:image/png;base64," + base64(file_bytes(name));
}

class PromptBuilderTest : public testing::Test {
 protected:
  PromptBuilderTest() : engine_(always({})) {
    const auto model = *model::load_config(kTinyModel);
    parts_.engine = &engine_;
    parts_.tokenizer = tiny_tokenizer();
    parts_.chat_template = text::ChatTemplate::builtin(text::BuiltinTemplate::kErnieVl);
    parts_.processor = *model::Processor::create(model, parts_.tokenizer, {});
    parts_.vocab_size = model.vocab_size;
  }

  ChatRequest request_of(std::vector<text::ChatPart> content) const {
    ChatRequest request;
    request.chat.enable_thinking = false;
    request.options.cache_salt = cache_salt_;
    request.chat.messages.push_back(user(std::move(content)));
    return request;
  }
  Result<std::shared_ptr<const model::Prompt>> chat(std::vector<text::ChatPart> content) const {
    ChatRequest request = request_of(std::move(content));
    ChatPromptBuilder builder(request, parts_, config_);
    const auto urls = builder.begin();
    if (!urls) return urls.error();
    auto url = urls->begin();
    const auto read = builder.read([&] { return std::optional(fetch(*url++)); }, cancelled_);
    if (!read) return read.error();
    return builder.build(cancelled_, decoders_);
  }
  Result<std::shared_ptr<const model::Prompt>> complete(
      const std::variant<std::string, std::vector<int32_t>>& prompt) const {
    return build_completion_prompt(prompt, {}, parts_, config_);
  }
  Result<media::FetchedMedia> fetch(const std::string& url) const {
    media::Fetcher fetcher(config_.fetch, config_.memory);
    std::promise<Result<media::FetchedMedia>> result;
    fetcher.fetch(0, url, cancelled_, [&](auto media) { result.set_value(std::move(media)); });
    return result.get_future().get();
  }
  Error error_of(const std::string& url) const {
    const auto prompt = chat({say_text("What is this?"), image(url)});
    return prompt ? Error{} : prompt.error();
  }
  static text::ChatPart say_text(std::string words) {
    return {text::PartKind::kText, std::move(words), {}};
  }
  static int placeholders(const model::Prompt& prompt) {
    return static_cast<int>(
        std::count(prompt.tokens.begin(), prompt.tokens.end(), id(kPlaceholder)));
  }

  FakeEngine engine_;
  ChatService::Parts parts_;
  ServiceConfig config_;
  std::string cache_salt_;
  std::atomic<bool> cancelled_ = false;
  mutable TaskPool decoders_{2, 2};
};

TEST_F(PromptBuilderTest, APictureTakesItsPlace) {
  const auto prompt = *chat({image(picture("png_1x1.png")), say_text("What is this?")});
  EXPECT_EQ(prompt->image_tokens, 4);  // scaled up to 2 x 2 windows
  EXPECT_EQ(placeholders(*prompt), 4);
  ASSERT_EQ(prompt->media.size(), 1u);
  EXPECT_EQ(prompt->tokens[prompt->media[0].begin], id(kPlaceholder));
  EXPECT_EQ(prompt->tokens[prompt->media[0].begin - 1], id("<|IMAGE_START|>"));
  EXPECT_EQ(prompt->tokens[prompt->media[0].begin + 4], id("<|IMAGE_END|>"));
}

TEST_F(PromptBuilderTest, AVideoIsAListOfFrames) {
  const text::ChatPart video{
      text::PartKind::kVideo, {}, {picture("png_1x1.png"), picture("png_1x1.png")}};
  const auto prompt = chat({video, say_text("What changes?")});
  ASSERT_TRUE(prompt) << prompt.error().message;
  EXPECT_EQ((*prompt)->video_tokens, placeholders(**prompt));
  EXPECT_TRUE((*prompt)->media[0].is_video);
}

TEST_F(PromptBuilderTest, A62MoreMediaThanAllowedNamesBothNumbers) {
  config_.max_images_per_prompt = 100;
  const std::vector<text::ChatPart> hundred_and_one(101, image("data:,never looked at"));
  const auto prompt = chat(hundred_and_one);
  ASSERT_FALSE(prompt);
  EXPECT_EQ(prompt.error().code, "too_many_media");
  EXPECT_NE(prompt.error().message.find("101 images"), std::string::npos);
  EXPECT_NE(prompt.error().message.find("at most 100"), std::string::npos);
  config_.max_videos_per_prompt = 0;
  EXPECT_EQ(chat({{text::PartKind::kVideo, {}, {"x"}}}).error().code, "too_many_media");
}

TEST_F(PromptBuilderTest, A62PicturesStopBeingDecodedWhenTheContextIsFull) {
  config_.max_images_per_prompt = 100;
  std::vector<text::ChatPart> many(99, image(picture("png_rgb.png")));
  many.push_back(image("data:,broken"));
  const auto prompt = chat(many);
  ASSERT_FALSE(prompt);
  EXPECT_EQ(prompt.error().code, "context_length_exceeded") << "not the last one's invalid_base64";
}

// A PNG of `side` x `side` pixels by its header, without any pixel data.
std::string hollow_png(uint32_t side) {
  std::string bytes = file_bytes("png_rgb.png").substr(0, 33);  // signature and IHDR
  for (int i = 0; i < 4; ++i) {
    bytes[16 + i] = bytes[20 + i] = static_cast<char>(side >> (24 - 8 * i));
  }
  const auto crc = crc32(0, reinterpret_cast<const Bytef*>(bytes.data()) + 12, 17);
  for (int i = 0; i < 4; ++i) bytes[29 + i] = static_cast<char>(crc >> (24 - 8 * i));
  return "data:image/png;base64," + base64(bytes);
}

// A picture that cannot be decoded gets another answer, so what these name was found before.
TEST_F(PromptBuilderTest, A61NothingIsDecodedBeforeAllIsKnownToFit) {
  config_.max_images_per_prompt = 10;
  EXPECT_EQ(error_of(hollow_png(56)).code, "invalid_image");
  const auto long_prompt = chat({image(hollow_png(56)), image(hollow_png(700))});
  ASSERT_FALSE(long_prompt);
  EXPECT_EQ(long_prompt.error().code, "context_length_exceeded");
  EXPECT_EQ(long_prompt.error().param, "messages[0].content[1]");
  const auto late_bomb = chat({image(hollow_png(56)), image(hollow_png(60'000))});
  ASSERT_FALSE(late_bomb);
  EXPECT_EQ(late_bomb.error().code, "image_too_large");
  const auto late_video = chat({image(hollow_png(56)), {text::PartKind::kVideo, {}, {}}});
  ASSERT_FALSE(late_video);
  EXPECT_EQ(late_video.error().code, "too_many_frames");
  EXPECT_EQ(late_video.error().param, "messages[0].content[1]");
}

TEST_F(PromptBuilderTest, A61EachFrameOfAVideoIsHeldAgainstTheLimits) {
  const auto video = [&](std::vector<std::string> urls) {
    return chat({{text::PartKind::kVideo, {}, std::move(urls)}}).error();
  };
  const std::string small = picture("png_1x1.png");
  EXPECT_EQ(video({hollow_png(56), small, hollow_png(60'000)}).code, "image_too_large");
  EXPECT_EQ(video(std::vector<std::string>(181, "data:,never looked at")).code, "too_many_frames");
  EXPECT_EQ(video(std::vector<std::string>(180, small)).code, "context_length_exceeded");
}

TEST_F(PromptBuilderTest, A62FilesOfARequestHaveALimitTogether) {
  config_.max_images_per_prompt = 10;
  const std::string url = picture("png_1x1.png");
  config_.max_media_bytes = 3 * file_bytes("png_1x1.png").size();
  EXPECT_TRUE(chat(std::vector<text::ChatPart>(3, image(url))));
  const auto four = chat(std::vector<text::ChatPart>(4, image(url)));
  ASSERT_FALSE(four);
  EXPECT_EQ(four.error().code, "media_too_large");
  EXPECT_NE(four.error().message.find(std::to_string(config_.max_media_bytes)), std::string::npos);
}

TEST_F(PromptBuilderTest, A62APromptHoldsItsShareOfAllRequestsMemory) {
  config_.memory = RequestMemory(size_t{2} << 20);
  const Limiter& held = *config_.memory.held;
  {
    const auto prompt = chat({image(picture("png_rgb.png")), say_text("What is this?")});
    ASSERT_TRUE(prompt) << prompt.error().message;
    EXPECT_EQ(held.used(),
              (*prompt)->media[0].patches->pixels.size() + (*prompt)->tokens.size() * 17);
    EXPECT_EQ(config_.memory.decoding->used(), 0u);
  }
  EXPECT_EQ(held.used(), 0u);
  const auto most = config_.memory.held->acquire(held.limit() - 1000);
  const auto refused = chat({image(picture("png_rgb.png"))});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::kRateLimited);
  EXPECT_EQ(refused.error().code, "too_many_bytes");
  EXPECT_NE(refused.error().message.find("--max-inflight-mb"), std::string::npos);
  EXPECT_EQ(complete(std::vector<int32_t>(500, 5)).error().code, "too_many_bytes");
  EXPECT_TRUE(complete(std::vector<int32_t>(5, 5)));
}

TEST_F(PromptBuilderTest, A62DecodingWaitsForRoomAndCanBeGivenUp) {
  config_.memory = RequestMemory(size_t{2} << 20);
  const auto decode = [&](const char* name) { return error_of(picture(name)).code; };
  auto all = config_.memory.decoding->acquire(config_.memory.decoding->limit());
  auto waiting = std::async(std::launch::async, decode, "png_rgb.png");
  EXPECT_EQ(waiting.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout);
  all.reset();
  EXPECT_EQ(waiting.get(), "");
  all = config_.memory.decoding->acquire(config_.memory.decoding->limit());
  waiting = std::async(std::launch::async, decode, "png_grey.png");
  EXPECT_EQ(waiting.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout);
  cancelled_ = true;
  EXPECT_EQ(waiting.get(), "cancelled");
}

// A62
TEST_F(PromptBuilderTest, AVideoThatWaitsForMemoryHoldsUpNoPicture) {
  config_.memory = RequestMemory(size_t{1} << 30);
  const auto all = config_.memory.videos->acquire(config_.memory.videos->limit());
  auto video = std::async(std::launch::async, [&] { return chat({video_file()}); });
  EXPECT_EQ(video.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout);
  EXPECT_TRUE(chat({image(picture("png_rgb.png"))}));
  cancelled_ = true;
  EXPECT_EQ(video.get().error().code, "cancelled");
}

TEST_F(PromptBuilderTest, OneBadPictureOfManyIsTheAnswer) {
  config_.max_images_per_prompt = 12;
  std::vector<text::ChatPart> parts(12, image(picture("png_rgb.png")));
  parts[7] = image(hollow_png(56));
  const auto prompt = chat(parts);
  ASSERT_FALSE(prompt);
  EXPECT_EQ(prompt.error().param, "messages[0].content[7]");
  EXPECT_EQ(prompt.error().code, "invalid_image");
}

TEST_F(PromptBuilderTest, A62APictureThatNeverFitsSaysSo) {
  config_.memory.decoding = std::make_shared<Limiter>(1000);
  const Error error = error_of(picture("png_rgb.png"));
  EXPECT_EQ(error.code, "image_too_large");
  EXPECT_NE(error.message.find("--max-inflight-mb"), std::string::npos);
}

TEST_F(PromptBuilderTest, A63TypedPlaceholdersAreText) {
  const std::string typed =
      "<|IMAGE_PLACEHOLDER|><|IMAGE_START|><|IMAGE_END|><|image@placeholder|></think>";
  const auto plain = chat({say_text(typed)});
  ASSERT_TRUE(plain) << plain.error().message;
  EXPECT_EQ(placeholders(**plain), 0);
  EXPECT_TRUE((*plain)->media.empty());
  const std::vector<text::ChatPart> orders[] = {
      {say_text(typed), image(picture("png_1x1.png"))},
      {image(picture("png_1x1.png")), say_text(typed + typed)},
  };
  for (const auto& content : orders) {
    const auto prompt = chat(content);
    ASSERT_TRUE(prompt) << prompt.error().message;
    EXPECT_EQ(placeholders(**prompt), 4);
    ASSERT_EQ((*prompt)->media.size(), 1u);
    EXPECT_EQ((*prompt)->tokens[(*prompt)->media[0].begin], id(kPlaceholder));
    EXPECT_EQ(std::count((*prompt)->tokens.begin(), (*prompt)->tokens.end(), id("<|IMAGE_START|>")),
              1);
  }
}

TEST_F(PromptBuilderTest, A64CacheKeysTellPicturesApart) {
  const auto key = [&](const std::string& name) {
    const auto prompt = chat({image(picture(name))});
    EXPECT_TRUE(prompt) << name;
    return (*prompt)->media.at(0).hash;
  };
  EXPECT_EQ(key("jpeg_exif_1.jpg"), key("jpeg_exif_1.jpg"));
  for (const char* other : {"jpeg_exif_2.jpg", "jpeg_exif_6.jpg", "png_1x1.png", "png_grey.png"}) {
    EXPECT_FALSE(key("jpeg_exif_1.jpg") == key(other)) << other;
  }
  EXPECT_FALSE(key("png_1x300.png") == key("png_300x1.png"));
}

// Without it a picture that comes again would be decoded, resized and cut up again.
TEST_F(PromptBuilderTest, AKnownPictureIsNotPreparedAgain) {
  parts_.media_cache = std::make_shared<MediaCache>(size_t{1} << 20);
  const auto patches = [&](const std::string& name) {
    const auto prompt = chat({say_text("What is this?"), image(picture(name))});
    EXPECT_TRUE(prompt) << name;
    return (*prompt)->media.at(0).patches;
  };
  const auto first = patches("png_rgb.png");
  EXPECT_EQ(patches("png_rgb.png"), first);
  EXPECT_NE(patches("png_grey.png"), first);
  EXPECT_EQ(patches("png_rgb.png"), first);
  const text::ChatPart video{text::PartKind::kVideo, {}, {picture("png_rgb.png")}};
  const auto prompt = chat({video});
  ASSERT_TRUE(prompt) << prompt.error().message;
  EXPECT_EQ((*prompt)->media.at(0).patches->frames, 2) << "a video is no picture";
  for (int time = 0; time < 2; ++time) {
    EXPECT_EQ(error_of("data:image/png;base64," + base64("no picture")).code, "invalid_image");
  }
}

// Without it a picture or video whose features are kept would be decoded for nothing.
TEST_F(PromptBuilderTest, WhatWasSeenBeforeIsDecodedOnlyIfItIsNeeded) {
  config_.max_images_per_prompt = 2;
  config_.max_videos_per_prompt = 2;
  const auto has_pixels = [](const model::MediaUnit& unit) {
    return !unit.patches->pixels.empty();
  };
  const std::vector<text::ChatPart> parts{image(picture("png_rgb.png")),
                                          {text::PartKind::kVideo, {}, {picture("png_rgb.png")}}};
  const auto first = *chat(parts);
  EXPECT_TRUE(std::ranges::all_of(first->media, has_pixels));

  ChatRequest request = request_of(parts);
  request.chat.messages[0].parts.push_back(image(picture("png_grey.png")));
  ChatPromptBuilder builder(request, parts_, config_);
  ASSERT_TRUE(builder.begin());
  ASSERT_TRUE(*builder.read({}, cancelled_));
  const auto again = *builder.build(cancelled_, decoders_);
  ASSERT_TRUE(builder.lacks_pixels());
  const auto completed = *builder.complete(cancelled_, decoders_);
  EXPECT_EQ(completed->tokens, again->tokens);
  EXPECT_EQ(completed->positions, again->positions);
  for (size_t i = 0; i < first->media.size(); ++i) {
    EXPECT_FALSE(has_pixels(again->media[i])) << i;
    EXPECT_EQ(again->media[i].hash, first->media[i].hash) << i;
    EXPECT_EQ(again->media[i].length, first->media[i].length) << i;
    EXPECT_EQ(again->media[i].patches->frames, first->media[i].patches->frames) << i;
    EXPECT_EQ(completed->media[i].patches->pixels, first->media[i].patches->pixels) << i;
  }
  EXPECT_TRUE(has_pixels(again->media.back())) << "not seen before";
  EXPECT_EQ(again->media.back().patches, completed->media.back().patches);
}

// A68
TEST_F(PromptBuilderTest, WhatWasSeenInAnotherWayIsDecoded) {
  const auto is_decoded = [&](const text::ChatPart& part) {
    const auto prompt = chat({part});
    EXPECT_TRUE(prompt) << prompt.error().message;
    return !(*prompt)->media.at(0).patches->pixels.empty();
  };
  const text::ChatPart video{
      text::PartKind::kVideo, {}, {picture("png_rgb.png"), picture("png_grey.png")}};
  text::ChatPart faster = video;
  faster.frames.fps = 4;
  text::ChatPart turned = video;
  std::swap(turned.urls[0], turned.urls[1]);
  for (const auto& part : {video, faster, turned}) {
    EXPECT_TRUE(is_decoded(part));
    EXPECT_FALSE(is_decoded(part));
  }
  cache_salt_ = "a";
  EXPECT_TRUE(is_decoded(video));
}

TEST_F(PromptBuilderTest, A68CachesAreSharedUnderOneSaltOnly) {
  parts_.media_cache = std::make_shared<MediaCache>(size_t{1} << 20);
  const auto ask = [&](const char* salt) {
    cache_salt_ = salt;
    return *chat({say_text("What is this?"), image(picture("png_rgb.png"))});
  };
  const auto none = ask(""), first = ask("a"), second = ask("b");
  EXPECT_EQ(ask("a")->media[0].patches, first->media[0].patches);
  EXPECT_EQ(ask("a")->media[0].hash, first->media[0].hash);
  EXPECT_EQ(ask("a")->cache_salt, first->cache_salt);
  EXPECT_EQ(none->cache_salt, ContentKey{});
  for (const auto& other : {none, second}) {
    EXPECT_NE(other->media[0].patches, first->media[0].patches) << "not from the cache of another";
    EXPECT_NE(other->media[0].hash, first->media[0].hash);
    EXPECT_NE(other->cache_salt, first->cache_salt);
  }
}

TEST_F(PromptBuilderTest, A65FormsOfBase64) {
  const std::string bytes = file_bytes("png_grey_1bit.png");
  const std::string plain = base64(bytes);
  std::string broken_lines;
  for (size_t i = 0; i < plain.size(); i += 76) broken_lines += plain.substr(i, 76) + "\r\n";
  std::string unpadded = plain;
  while (unpadded.ends_with('=')) unpadded.pop_back();
  for (const std::string& form : {plain, broken_lines, unpadded}) {
    EXPECT_EQ(error_of("data:image/png;base64," + form).message, "");
  }
  const std::string url_safe = base64(bytes, "-_");
  ASSERT_NE(url_safe, plain);
  for (const std::string& form : {url_safe, std::string("####"), plain + "=", "=" + plain}) {
    const Error error = error_of("data:image/png;base64," + form);
    EXPECT_EQ(error.code, "invalid_base64");
    EXPECT_EQ(error.param, "messages[0].content[1]");
  }
}

TEST_F(PromptBuilderTest, MediaErrorsNameTheirPlace) {
  const std::string cut = file_bytes("png_rgb.png").substr(0, 300);
  const std::pair<std::string, const char*> cases[] = {
      {"data:image/png;base64," + base64("hello, this is no picture"), "unsupported_media_type"},
      {"data:image/png;base64," + base64(cut), "invalid_image"},
      {"http://127.0.0.1:9/a.png", "media_url_blocked"},
      {"file:///a.png", "media_url_blocked"},
  };
  for (const auto& [url, code] : cases) {
    const Error error = error_of(url);
    EXPECT_EQ(error.code, code) << url.substr(0, 40);
    EXPECT_EQ(error.param, "messages[0].content[1]");
    EXPECT_EQ(error.kind, ErrorKind::kInvalidArgument);
  }
  config_.decode.max_pixels = 100;
  EXPECT_EQ(error_of(picture("png_rgb.png")).code, "image_too_large");
}

TEST_F(PromptBuilderTest, A42PromptsOfIdsAreHeldAgainstTheVocabulary) {
  EXPECT_EQ((*complete(std::vector<int32_t>{5, 735}))->tokens, (std::vector<int32_t>{5, 735}));
  for (const int32_t bad : {-1, 736, INT32_MAX, id(kPlaceholder)}) {
    const auto prompt = complete(std::vector<int32_t>{5, bad});
    ASSERT_FALSE(prompt) << bad;
    EXPECT_EQ(prompt.error().param, "prompt");
  }
}

TEST_F(PromptBuilderTest, SpecialTokensCountInCompletions) {
  EXPECT_EQ((*complete(std::string("<think>")))->tokens, (std::vector<int32_t>{id("<think>")}));
  const auto prompt = *complete(std::string("<|IMAGE_START|>a</s>"));
  EXPECT_EQ(prompt->tokens.front(), id("<|IMAGE_START|>"));
  EXPECT_EQ(prompt->tokens.back(), id("</s>"));
  EXPECT_TRUE(prompt->media.empty());
  EXPECT_EQ(prompt->is_vision.front(), 1) << "routed as in the checkpoint's own code";
}

// A75: a picture's place is nothing that can be typed.
TEST_F(PromptBuilderTest, PlaceholdersTypedIntoCompletionsAreRefused) {
  for (const std::string text : {"a<|IMAGE_PLACEHOLDER|>", "<|VIDEO_PLACEHOLDER|>"}) {
    const auto prompt = complete(text);
    ASSERT_FALSE(prompt) << text;
    EXPECT_EQ(prompt.error().param, "prompt");
  }
}

TEST_F(PromptBuilderTest, A43PromptsOverTheContextNameBothNumbers) {
  const auto check = [](const auto& prompt, const char* found) {
    ASSERT_FALSE(prompt);
    EXPECT_EQ(prompt.error().code, "context_length_exceeded");
    EXPECT_NE(prompt.error().message.find("512"), std::string::npos) << prompt.error().message;
    EXPECT_NE(prompt.error().message.find(found), std::string::npos) << prompt.error().message;
  };
  EXPECT_TRUE(complete(std::vector<int32_t>(511, 5)));
  check(complete(std::vector<int32_t>(512, 5)), "512 tokens");  // one place for the answer
  check(complete(std::vector<int32_t>(513, 5)), "513");
  check(complete(std::vector<int32_t>(51'200, 5)), "51200");
  check(chat({say_text(std::string(600, '#'))}), "at least");
}

// The number of tokens that a refusal names after "at least".
int64_t at_least(const Error& error) {
  EXPECT_EQ(error.code, "context_length_exceeded");
  constexpr std::string_view kWords = "at least ";
  const size_t at = error.message.find(kWords);
  EXPECT_NE(at, std::string::npos) << error.message;
  return at == std::string::npos ? 0 : std::stoll(error.message.substr(at + kWords.size()));
}

// Tokenising stops some thousands of tokens over the context at most, so a larger number comes from
// the bytes alone.
TEST_F(PromptBuilderTest, A43FiftyMegabytesAreRefusedWithoutTokenising) {
  const std::string words(50'000'000, 'a');
  for (const auto& prompt : {chat({say_text(words)}), complete(words)}) {
    ASSERT_FALSE(prompt);
    EXPECT_GT(at_least(prompt.error()), 100'000) << prompt.error().message;
  }
}

TEST_F(PromptBuilderTest, A44HostileTextsThatMightFitAreCutOffEarly) {
  for (const char* unit : {"a", " ", "\xF0\x9F\x98\x80", "e\xCC\x81", "\n"}) {
    std::string words;
    while (words.size() < 9'000) words += unit;  // may be under 512 tokens by its bytes alone
    const auto prompt = chat({say_text(words)});
    ASSERT_FALSE(prompt) << unit;
    const auto whole = static_cast<int64_t>(parts_.tokenizer->encode(words, {}).size());
    EXPECT_LT(2 * at_least(prompt.error()), whole) << unit << ": " << prompt.error().message;
  }
}

}  // namespace
}  // namespace ernie::serve
