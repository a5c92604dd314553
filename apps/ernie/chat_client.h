#pragma once

#include <boost/json/array.hpp>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace ernie::app {

// Cuts a server-sent event stream into the payloads of its "data:" lines, however it arrives.
class SseReader {
 public:
  explicit SseReader(std::function<void(std::string_view)> on_data)
      : on_data_(std::move(on_data)) {}
  void push(std::string_view bytes);

 private:
  std::function<void(std::string_view)> on_data_;
  std::string line_;
};

struct ChatSettings {
  std::string url = "http://127.0.0.1:8000";  // of the server, without /v1
  std::string api_key;
  std::string model;        // empty: what /v1/models names first
  int max_tokens = 0;       // 0: as many as fit
  double temperature = -1;  // below 0: the server's default
  bool thinking = true;
};

// Asks a running server. Blocks; one thread only.
class ChatClient {
 public:
  explicit ChatClient(ChatSettings settings) : settings_(std::move(settings)) {}

  // Finds out the model's name; says how to start a server when none answers.
  Status connect();
  const std::string& model() const { return settings_.model; }

  // Streams the answer to `messages` (OpenAI's form) and returns its text. Pieces come as they
  // are generated; `is_reasoning` tells thoughts from the answer.
  using OnPiece = std::function<void(const std::string& piece, bool is_reasoning)>;
  Result<std::string> ask(const boost::json::array& messages, const OnPiece& on_piece);

 private:
  ChatSettings settings_;
};

// A content part with the picture, or the video, of a file as a data URL.
Result<boost::json::object> image_part(const std::string& path);
Result<boost::json::object> video_part(const std::string& path);

std::string base64(const std::string& bytes);

// Without the control characters that a terminal would obey; line breaks and tabs stay.
std::string printable(std::string_view text);

}  // namespace ernie::app
