#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "serve/chat_service.h"
#include "serve/testing/fake_engine.h"

namespace ernie::serve {

// The small checkpoint of tests/golden/model; tests run in the repository's root.
inline const char* const kTinyModel = "tests/golden/model/tiny-a";

inline std::shared_ptr<const text::Tokenizer> tiny_tokenizer() {
  static const auto tokenizer =
      std::make_shared<const text::Tokenizer>(*text::Tokenizer::load(kTinyModel));
  return tokenizer;
}

inline int32_t id(const std::string& token) { return *tiny_tokenizer()->id_of(token); }
inline std::vector<int32_t> ids(const std::string& text) { return tiny_tokenizer()->encode(text); }

// A chat service with the real tokenizer, template and image processor of the small checkpoint
// over a fake engine.
struct TestService {
  explicit TestService(FakeEngine::Play play, ServiceConfig config = {})
      : engine(std::make_unique<FakeEngine>(std::move(play))) {
    const auto model = *model::load_config(kTinyModel);
    ChatService::Parts parts;
    parts.engine = engine.get();
    parts.tokenizer = tiny_tokenizer();
    parts.chat_template = text::ChatTemplate::builtin(text::BuiltinTemplate::kErnieVl);
    parts.processor = *model::Processor::create(model, parts.tokenizer, {});
    parts.defaults = *load_generation_defaults(kTinyModel, *parts.tokenizer);
    parts.vocab_size = model.vocab_size;
    parts.on_finished = [this](const RequestRecord& record) {
      std::lock_guard lock(mutex_);
      records_.push_back(record);
    };
    service = ChatService::create(std::move(parts), std::move(config));
  }
  // The service goes first, as in the program: its threads use the engine.
  ~TestService() {
    service.reset();
    engine.reset();
  }

  // How the engine's requests ended, sorted; call it when the engine is idle.
  std::vector<std::string> finish_reasons() const {
    std::lock_guard lock(mutex_);
    std::vector<std::string> out;
    for (const RequestRecord& record : records_) out.push_back(record.finish_reason);
    std::sort(out.begin(), out.end());
    return out;
  }

  std::unique_ptr<FakeEngine> engine;
  std::unique_ptr<ChatService> service;

 private:
  mutable std::mutex mutex_;
  std::vector<RequestRecord> records_;
};

// Every request gets this answer.
inline FakeEngine::Play always(Script script) {
  return [script](const engine::GenerationRequest&, int) -> Result<Script> { return script; };
}

inline text::ChatMessage user(std::vector<text::ChatPart> parts) {
  return {.role = "user", .parts = std::move(parts)};
}

inline ChatRequest say(std::string text, bool thinking = false) {
  ChatRequest request;
  request.chat.messages.push_back(user({{text::PartKind::kText, std::move(text), {}}}));
  request.chat.enable_thinking = thinking;
  request.options.max_tokens = 100;
  return request;
}

inline text::ChatPart image(std::string url) {
  return {text::PartKind::kImage, {}, {std::move(url)}};
}
// It says nothing that a decoder would know.
inline text::ChatPart video_file() {
  return {text::PartKind::kVideo, {}, {"data:video/mp4;base64,AAAA"}, true, {}};
}

}  // namespace ernie::serve
