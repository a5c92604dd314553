// ernie chat: a conversation in the terminal with a running server.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <cstdio>
#include <cstdlib>
#include <iostream>

#include "arguments.h"
#include "chat_client.h"
#include "commands.h"
#include "print_error.h"

namespace ernie::app {
namespace {

namespace json = boost::json;

constexpr const char* kDim = "\x1b[2m";
constexpr const char* kPlain = "\x1b[0m";

// One conversation, line by line.
class Conversation {
 public:
  Conversation(ChatClient& client, std::string system)
      : client_(client),
        system_(std::move(system)),
        interactive_(isatty(STDIN_FILENO)),
        colored_(isatty(STDOUT_FILENO)) {
    clear();
  }

  // False after /exit.
  bool handle(const std::string& line) {
    if (line == "/exit" || line == "/quit") return false;
    if (line == "/clear") {
      clear();
    } else if (line == "/help") {
      help();
    } else if (line.rfind("/image", 0) == 0) {
      attach(image_part(argument_of(line)));
    } else if (line.rfind("/video", 0) == 0) {
      attach(video_part(argument_of(line)));
    } else if (line.rfind('/', 0) == 0 && line.find(' ') == line.npos) {
      complain("no such command: " + line + "; /help lists them");
    } else if (!line.empty()) {
      say(line);
    }
    return true;
  }

  void prompt() const {
    if (!interactive_) return;
    fmt::print("{}> ", media_.empty() ? "" : fmt::format("[{} file(s)] ", media_.size()));
    std::fflush(stdout);
  }
  void help() const {
    fmt::print(
        "/image FILE  attach a picture to the next message\n"
        "/video FILE  attach a video\n"
        "/clear       begin a new conversation\n"
        "/exit        leave (also Ctrl-D)\n");
  }
  bool interactive() const { return interactive_; }
  bool failed() const { return failed_; }

 private:
  // Behind "/image " and "/video ".
  static std::string argument_of(const std::string& line) {
    return line.size() > 7 ? line.substr(7) : "";
  }

  void clear() {
    messages_.clear();
    media_.clear();
    if (!system_.empty())
      messages_.push_back(json::object{{"role", "system"}, {"content", system_}});
  }

  void attach(Result<json::object> part) {
    if (!part) return complain(part.error().message);
    media_.push_back(std::move(*part));
  }

  void say(const std::string& text) {
    json::array content = std::move(media_);
    media_ = {};
    content.push_back(json::object{{"type", "text"}, {"text", text}});
    messages_.push_back(json::object{{"role", "user"}, {"content", std::move(content)}});
    bool dim = false;
    const auto show = [&](const std::string& piece, bool is_reasoning) {
      if (is_reasoning != dim) {
        fmt::print("{}{}", is_reasoning ? "" : "\n\n",
                   colored_ ? (is_reasoning ? kDim : kPlain) : "");
        dim = is_reasoning;
      }
      fmt::print("{}", printable(piece));
      std::fflush(stdout);
    };
    const auto answer = client_.ask(messages_, show);
    fmt::print("{}\n", dim && colored_ ? kPlain : "");
    if (!answer) {
      messages_.pop_back();
      return complain(answer.error().message);
    }
    messages_.push_back(json::object{{"role", "assistant"}, {"content", *answer}});
  }

  void complain(const std::string& message) {
    failed_ = true;
    std::fflush(stdout);
    print_error("ernie chat: {}\n", printable(message));
  }

  ChatClient& client_;
  const std::string system_;
  const bool interactive_;
  const bool colored_;
  json::array messages_;
  json::array media_;  // for the next message
  bool failed_ = false;
};

}  // namespace

int run_chat(std::vector<std::string> args) {
  ChatSettings settings;
  if (const char* key = std::getenv("ERNIE_API_KEY")) settings.api_key = key;
  std::string system;
  bool no_thinking = false;
  CLI::App app(
      "Talk to a running server. /image FILE attaches a picture, /video FILE a video, /clear "
      "begins "
      "anew, /exit leaves.\n",
      "ernie chat");
  app.add_option("--url", settings.url, "Address of the server")->capture_default_str();
  app.add_option("--api-key", settings.api_key, "Its key, if it has one; also ERNIE_API_KEY");
  app.add_option("--model", settings.model, "Name of the model; found out if left out");
  app.add_option("--system", system, "System message");
  app.add_option("--max-tokens", settings.max_tokens, "Most tokens of one answer");
  app.add_option("--temperature", settings.temperature, "0 gives the most likely answer");
  app.add_flag("--no-thinking", no_thinking, "Answer without reasoning first");
  try {
    parse_arguments(app, normalize(std::move(args)), "chat");
  } catch (const CLI::CallForHelp&) {
    fmt::print("{}", app.help());
    return 0;
  }
  settings.thinking = !no_thinking;
  while (!settings.url.empty() && settings.url.back() == '/') settings.url.pop_back();

  ChatClient client(settings);
  if (const Status connected = client.connect(); !connected)
    throw StartError(connected.error().message);
  Conversation conversation(client, system);
  if (conversation.interactive()) {
    fmt::print("{} at {}\n", printable(client.model()), settings.url);
    conversation.help();
  }
  std::string line;
  for (conversation.prompt(); std::getline(std::cin, line); conversation.prompt())
    if (!conversation.handle(line)) break;
  return conversation.failed() && !conversation.interactive() ? 1 : 0;
}

}  // namespace ernie::app
