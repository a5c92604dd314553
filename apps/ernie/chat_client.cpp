#include "chat_client.h"

#include <curl/curl.h>
#include <openssl/evp.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>

#include "base/ascii.h"
#include "media/image_format.h"
#include "text/json_file.h"

namespace ernie::app {
namespace {

namespace json = boost::json;

constexpr size_t kMaxMediaBytes = size_t{48} << 20;  // base64 of it fits the server's 64 MiB

size_t on_bytes(char* data, size_t size, size_t count, void* sink) {
  (*static_cast<std::function<void(std::string_view)>*>(sink))({data, size * count});
  return size * count;
}

struct Reply {
  long status = 0;
};

// GET without a body, POST with one. Bytes of the answer go to `sink` as they come.
Result<Reply> transfer(const ChatSettings& settings, const std::string& path,
                       const std::optional<std::string>& body,
                       std::function<void(std::string_view)> sink) {
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl(curl_easy_init(),
                                                                 curl_easy_cleanup);
  const std::string url = settings.url + path;
  curl_slist* list = curl_slist_append(nullptr, "Content-Type: application/json");
  if (!settings.api_key.empty())
    list = curl_slist_append(list, ("Authorization: Bearer " + settings.api_key).c_str());
  list = curl_slist_append(list, "Expect:");
  const std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> headers(list,
                                                                            curl_slist_free_all);
  curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(curl.get(), CURLOPT_CONNECTTIMEOUT, 10L);
  curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, on_bytes);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &sink);
  if (body) {
    curl_easy_setopt(curl.get(), CURLOPT_POSTFIELDS, body->data());
    curl_easy_setopt(curl.get(), CURLOPT_POSTFIELDSIZE_LARGE,
                     static_cast<curl_off_t>(body->size()));
  }
  if (const CURLcode code = curl_easy_perform(curl.get()); code != CURLE_OK)
    return Error{ErrorKind::kUnavailable,
                 "no answer from " + settings.url + ": " + curl_easy_strerror(code),
                 {},
                 {}};
  Reply reply;
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &reply.status);
  return reply;
}

// The message of an OpenAI error body, or the body itself.
Error server_error(long status, const std::string& body) {
  boost::system::error_code broken;
  const json::value value = json::parse(body, broken);
  const json::value* message = broken ? nullptr : value.find_pointer("/error/message", broken);
  const std::string text =
      message && message->is_string() ? std::string(message->as_string()) : body;
  return Error{ErrorKind::kInternal,
               status == 200 ? text : "status " + std::to_string(status) + ": " + text,
               {},
               {}};
}

Result<std::string> read_media(const std::string& path) {
  std::error_code broken;
  const uintmax_t size = std::filesystem::file_size(path, broken);
  if (broken || !std::filesystem::is_regular_file(path))
    return invalid_argument("cannot read " + path);
  if (size > kMaxMediaBytes)
    return invalid_argument(path + " is larger than " + std::to_string(kMaxMediaBytes >> 20) +
                            " MiB");
  return text::read_file(path);
}

std::span<const uint8_t> bytes_of(const std::string& file) {
  return {reinterpret_cast<const uint8_t*>(file.data()), file.size()};
}

json::object media_part(const char* type, const std::string& media_type, const std::string& file) {
  const std::string url = "data:" + media_type + ";base64," + base64(file);
  return {{"type", type}, {type, json::object{{"url", url}}}};
}

std::string text_at(const json::value& value, std::string_view pointer) {
  boost::system::error_code none;
  const json::value* found = value.find_pointer(pointer, none);
  return found && found->is_string() ? std::string(found->as_string()) : std::string();
}

}  // namespace

std::string base64(const std::string& bytes) {
  std::string out((bytes.size() + 2) / 3 * 4 + 1, '\0');
  const int n = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                reinterpret_cast<const unsigned char*>(bytes.data()),
                                static_cast<int>(bytes.size()));
  out.resize(static_cast<size_t>(n));
  return out;
}

void SseReader::push(std::string_view bytes) {
  for (const char c : bytes) {
    if (c != '\n') {
      line_ += c;
      continue;
    }
    if (!line_.empty() && line_.back() == '\r') line_.pop_back();
    if (line_.rfind("data:", 0) == 0)
      on_data_(std::string_view(line_).substr(line_.rfind("data: ", 0) == 0 ? 6 : 5));
    line_.clear();
  }
}

Status ChatClient::connect() {
  std::string body;
  const auto reply = transfer(settings_, "/v1/models", std::nullopt,
                              [&](std::string_view bytes) { body += bytes; });
  if (!reply)
    return Error{ErrorKind::kUnavailable,
                 reply.error().message + "; start one with: ernie serve --model FOLDER",
                 {},
                 {}};
  if (reply->status != 200) return server_error(reply->status, body);
  if (!settings_.model.empty()) return {};
  boost::system::error_code broken;
  const json::value value = json::parse(body, broken);
  if (!broken) settings_.model = text_at(value, "/data/0/id");
  return {};
}

Result<std::string> ChatClient::ask(const json::array& messages, const OnPiece& on_piece) {
  json::object request{{"model", settings_.model},
                       {"messages", messages},
                       {"stream", true},
                       {"enable_thinking", settings_.thinking}};
  if (settings_.max_tokens > 0) request["max_tokens"] = settings_.max_tokens;
  if (settings_.temperature >= 0) request["temperature"] = settings_.temperature;

  std::string answer;
  std::string raw;  // for an error body, which is no event stream
  std::optional<Error> failure;
  bool done = false;
  SseReader reader([&](std::string_view data) {
    if (data == "[DONE]") {
      done = true;
      return;
    }
    boost::system::error_code broken;
    const json::value event = json::parse(data, broken);
    if (broken) return;
    if (event.is_object() && event.as_object().contains("error"))
      failure = server_error(200, std::string(data));
    if (const std::string piece = text_at(event, "/choices/0/delta/reasoning_content");
        !piece.empty())
      on_piece(piece, true);
    if (const std::string piece = text_at(event, "/choices/0/delta/content"); !piece.empty()) {
      answer += piece;
      on_piece(piece, false);
    }
  });
  const auto reply = transfer(settings_, "/v1/chat/completions", json::serialize(request),
                              [&](std::string_view bytes) {
                                if (raw.size() < (64 << 10)) raw += bytes;
                                reader.push(bytes);
                              });
  if (!reply) return reply.error();
  if (reply->status != 200) return server_error(reply->status, raw);
  if (failure) return *failure;
  if (!done) return internal_error("the answer ended early");
  return answer;
}

Result<json::object> image_part(const std::string& path) {
  const Result<std::string> file = read_media(path);
  if (!file) return file.error();
  const auto format = media::sniff_image(bytes_of(*file));
  if (!format)
    return invalid_argument(path + " is no JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF or HEIC");
  return media_part("image_url", "image/" + lowercase(media::image_format_name(*format)), *file);
}

Result<json::object> video_part(const std::string& path) {
  const Result<std::string> file = read_media(path);
  if (!file) return file.error();
  if (!media::begins_like_video(bytes_of(*file)) && !media::sniff_image(bytes_of(*file)))
    return invalid_argument(path + " is no MP4, MOV, WebM, MKV, AVI, MPEG-TS, GIF or WebP");
  return media_part("video_url", "video/mp4", *file);  // the server looks at the content
}

std::string printable(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    // U+0080 to U+009F, which terminals obey too, are C2 80 to C2 9F.
    if (c == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0)
      ++i;
    else if (c == '\n' || c == '\t' || (c >= 0x20 && c != 0x7f))
      out += text[i];
  }
  return out;
}

}  // namespace ernie::app
