#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"
#include "media/fetch.h"
#include "media/image.h"
#include "media/media_decoder.h"
#include "media/video.h"
#include "model/processor.h"
#include "serve/media_cache.h"
#include "serve/output.h"
#include "serve/rendered_prompt.h"
#include "serve/request.h"
#include "text/answer_syntax.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace ernie::serve {

// Sampling defaults of a checkpoint (generation_config.json) over the server's own, which are
// FastDeploy's.
struct GenerationDefaults {
  float temperature = 1.0f;
  float top_p = 0.7f;
  int top_k = 0;
  float min_p = 0.0f;
  float repetition_penalty = 1.0f;
  float frequency_penalty = 0.0f;
  float presence_penalty = 0.0f;
  std::vector<int32_t> eos_token_ids;
};

// Reads generation_config.json when the folder has one; a broken file is an error that names the
// key.
Result<GenerationDefaults> load_generation_defaults(const std::string& model_dir,
                                                    const text::Tokenizer& tokenizer);

struct ServiceConfig {
  text::AnswerSyntax syntax{.thinking = text::AnswerSyntax::Thinking::kShown};  // of chat
  int max_images_per_prompt = 1;
  int max_videos_per_prompt = 1;
  int max_logprobs = 20;
  int max_n = 128;
  std::optional<std::chrono::milliseconds> max_waiting_time;  // in the queue
  // Under way for one client, 0: no limit. Tokens are those of prompts and the most that answers
  // may have.
  size_t max_sequences_per_client = 0;
  size_t max_tokens_per_client = 0;
  media::FetchPolicy fetch;
  media::DecodeLimits decode;
  media::VideoLimits video;
  size_t max_media_bytes = size_t{256} << 20;   // files of one request, before they are decoded
  RequestMemory memory;                         // of all requests of the process
  size_t max_output_bytes = size_t{256} << 20;  // predicted size of one answer
  int threads = 8;                              // for parsing, templates and tokenising
  int grammar_threads = 2;                      // for compiling grammars
  size_t grammar_bytes = size_t{1} << 30;       // of all compiled grammars
  int media_threads = 8;                        // for requests with media, but for fetching these
  int decoder_threads = 4;  // that help them to decode the media of one request at once
};

// The tokens with a role, by their names in tokenizer_config.json; empty: the vocabulary has none.
struct SpecialTokens {
  std::string bos, eos, pad, unk, cls, sep;
};

struct RequestRecord {
  engine::RequestStats stats;
  std::string finish_reason;  // "stop", "length", "cancelled" or "error"
  int max_tokens = 0;
};

// Turns requests into prompts, runs them and turns tokens back into text. Thread-safe.
class ChatService {
 public:
  struct Parts {
    engine::Engine* engine = nullptr;  // outlives the service
    std::shared_ptr<const text::Tokenizer> tokenizer;
    std::shared_ptr<const text::ChatTemplate> chat_template;
    std::shared_ptr<const model::Processor> processor;
    std::shared_ptr<MediaCache> media_cache;  // of that processor; may be null
    // The same without pixels: enough where the engine's caches have what is made of them.
    std::shared_ptr<MediaCache> media_records = std::make_shared<MediaCache>(size_t{16} << 20);
    std::shared_ptr<media::MediaDecoder> media_decoder =
        std::make_shared<media::MediaDecoder>(std::string());  // a build without one
    GenerationDefaults defaults;
    int vocab_size = 0;                                     // rows of the embedding
    std::function<void(const RequestRecord&)> on_finished;  // per choice, for metrics; may be empty
  };
  static std::unique_ptr<ChatService> create(Parts parts, ServiceConfig config);
  virtual ~ChatService() = default;

  // Runs `task` on the pool for text, where clients take turns; false when the service is closing.
  virtual bool post(ClientId client, std::function<void()> task) = 0;

  // Both return at once; the prompt is prepared on the pool for text, or on that for media, so that
  // text waits for no picture. Every failure goes to the sink.
  virtual std::shared_ptr<Generation> chat(ChatRequest request,
                                           std::shared_ptr<OutputSink> sink) = 0;
  virtual std::shared_ptr<Generation> complete(CompletionRequest request,
                                               std::shared_ptr<OutputSink> sink) = 0;

  // The prompts that chat() and complete() would run, and what they would refuse; nothing is
  // generated. `done` is called once, unless the generation is cancelled before.
  virtual std::shared_ptr<Generation> render(ChatRequest request, OnRendered done) = 0;
  virtual std::shared_ptr<Generation> render(CompletionRequest request, OnRendered done) = 0;

  // The tokens of a text as complete() takes it, and the text of tokens with the special ones in
  // it. Ids are from 0 up to, without it, vocab_size().
  virtual Result<std::vector<int32_t>> encode(std::string_view text) const = 0;
  virtual std::string decode(std::span<const int32_t> ids) const = 0;
  virtual int vocab_size() const = 0;
  virtual SpecialTokens special_tokens() const = 0;
  virtual std::string_view chat_template() const = 0;  // Jinja; empty if it is built in

  virtual const ServiceConfig& config() const = 0;
};

}  // namespace ernie::serve
