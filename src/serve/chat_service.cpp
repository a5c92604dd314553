#include "serve/chat_service.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "base/failure.h"
#include "grammar/grammar_compiler.h"
#include "media/fetcher.h"
#include "serve/client_quota.h"
#include "serve/deadlines.h"
#include "serve/generation.h"
#include "serve/late_media.h"
#include "serve/prompt_builder.h"
#include "serve/request_fetches.h"
#include "serve/sampling.h"
#include "serve/task_pool.h"
#include "serve/tool_use.h"

namespace ernie::serve {
namespace {

using PromptPtr = std::shared_ptr<const model::Prompt>;

bool has_media(const ChatRequest& request) {
  return std::ranges::any_of(request.chat.messages, [](const text::ChatMessage& message) {
    return std::ranges::any_of(message.parts, [](const text::ChatPart& part) {
      return part.kind != text::PartKind::kText;
    });
  });
}

// An echo shows the prompt as the answer is shown.
void score_echo(CompletionRequest& request) {
  GenerationOptions& options = request.options;
  if (request.echo)
    options.prompt_logprobs = std::max(options.prompt_logprobs, options.top_logprobs);
}

struct PromptsSize {
  size_t count = 0;
  size_t tokens = 0;

  explicit PromptsSize(const std::vector<PromptPtr>& prompts) : count(prompts.size()) {
    for (const PromptPtr& prompt : prompts) tokens += prompt->tokens.size();
  }
};

// Passes on why there are no prompts.
class RenderErrors : public OutputSink {
 public:
  explicit RenderErrors(OnRendered done) : done_(std::move(done)) {}
  void on_start(const PromptInfo&) override {}
  void on_delta(const Delta&, const Usage&) override {}
  void on_done(const Usage&) override {}
  void on_error(const Error& error) override { done_(error); }

 private:
  OnRendered done_;
};

class ChatServiceImpl : public ChatService {
 public:
  ChatServiceImpl(Parts parts, ServiceConfig config)
      : parts_(std::move(parts)),
        config_(std::move(config)),
        quota_(config_.max_sequences_per_client, config_.max_tokens_per_client),
        grammars_(
            grammar::make_vocabulary(*parts_.tokenizer, static_cast<size_t>(parts_.vocab_size),
                                     parts_.defaults.eos_token_ids),
            config_.grammar_bytes),
        fetcher_(config_.fetch, config_.memory),
        // Of both some threads are left for others than the client with the slowest media.
        decoders_(config_.decoder_threads, std::max(1, config_.decoder_threads - 1)),
        media_(config_.media_threads, std::max(1, config_.media_threads - 2)),
        text_(config_.threads, config_.threads),
        // A thread is left for others, whose grammars wait for one of this client at most.
        compilers_(config_.grammar_threads, std::max(1, config_.grammar_threads - 1)) {}

  ~ChatServiceImpl() override { fetcher_.stop(); }  // it posts to a pool that goes before it

  bool post(ClientId client, std::function<void()> task) override {
    return text_.post(client, std::move(task));
  }
  const ServiceConfig& config() const override { return config_; }

  std::shared_ptr<Generation> chat(ChatRequest request, std::shared_ptr<OutputSink> sink) override {
    auto shared = std::make_shared<ChatRequest>(std::move(request));
    add_call_rules(*shared, *parts_.tokenizer);
    return begin(pool_of(*shared), shared->options, std::move(sink),
                 [this, shared](const GenerationPtr& generation, const BegunPtr& begun) {
                   with_prompt(
                       shared, generation,
                       [this, shared, generation, begun](auto prompts, DecodeMedia decode_media) {
                         text::AnswerRules rules{.syntax = config_.syntax,
                                                 .tool_calls = !shared->tool_use.tools.empty(),
                                                 .one_call = !shared->tool_use.parallel};
                         if (shared->split_thinking) {
                           rules.syntax.thinking = text::AnswerSyntax::Thinking::kSplit;
                         }
                         run(*generation, *begun, shared->options, shared->reasoning_limit,
                             std::move(rules), false, std::move(prompts), decode_media);
                       });
                 });
  }

  std::shared_ptr<Generation> complete(CompletionRequest request,
                                       std::shared_ptr<OutputSink> sink) override {
    auto shared = std::make_shared<CompletionRequest>(std::move(request));
    score_echo(*shared);
    return begin(text_, shared->options, std::move(sink),
                 [this, shared](const GenerationPtr& generation, const BegunPtr& begun) {
                   run(*generation, *begun, shared->options, {}, {}, shared->echo,
                       prompts_of(*shared), {});
                 });
  }

  std::shared_ptr<Generation> render(ChatRequest request, OnRendered done) override {
    auto shared = std::make_shared<ChatRequest>(std::move(request));
    add_call_rules(*shared, *parts_.tokenizer);
    return begin(pool_of(*shared), shared->options, std::make_shared<RenderErrors>(done),
                 [this, shared, done](const GenerationPtr& generation, const BegunPtr&) {
                   with_prompt(shared, generation,
                               [this, shared, generation, done](auto prompts, const DecodeMedia&) {
                                 show(*generation, done,
                                      rendered_prompts(std::move(prompts), shared->options,
                                                       shared->reasoning_limit));
                               });
                 });
  }

  std::shared_ptr<Generation> render(CompletionRequest request, OnRendered done) override {
    auto shared = std::make_shared<CompletionRequest>(std::move(request));
    score_echo(*shared);
    return begin(text_, shared->options, std::make_shared<RenderErrors>(done),
                 [this, shared, done](const GenerationPtr& generation, const BegunPtr&) {
                   show(*generation, done,
                        rendered_prompts(prompts_of(*shared), shared->options, {}));
                 });
  }

  Result<std::vector<int32_t>> encode(std::string_view text) const override {
    return encode_text(text, parts_);
  }
  std::string decode(std::span<const int32_t> ids) const override {
    return parts_.tokenizer->decode(ids, false);
  }
  int vocab_size() const override { return parts_.vocab_size; }
  SpecialTokens special_tokens() const override {
    const text::Tokenizer& all = *parts_.tokenizer;
    const auto text = [&](std::optional<int32_t> id) { return id ? all.token_text(*id) : ""; };
    return {text(all.bos_id()), text(all.eos_id()), text(all.pad_id()),
            text(all.unk_id()), text(all.cls_id()), text(all.sep_id())};
  }
  std::string_view chat_template() const override { return parts_.chat_template->source(); }

 private:
  struct Begun {
    engine::Clock::time_point arrival;
    std::shared_ptr<const grammar::CompiledGrammar> grammar;  // if the options ask for a format
    std::optional<engine::Clock::time_point> deadline;
    std::shared_ptr<const void> watch;  // over the deadline, until the engine does that
  };
  using BegunPtr = std::shared_ptr<const Begun>;
  using GenerationPtr = std::shared_ptr<GenerationState>;
  using DecodeMedia = std::function<void(engine::OnPrompt)>;

  // `work` runs on the pool, once the format of the answer, if any, is compiled on a pool of its
  // own. It does not run if the request was cancelled before its turn.
  template <typename Work>
  std::shared_ptr<Generation> begin(TaskPool& pool, const GenerationOptions& options,
                                    std::shared_ptr<OutputSink> sink, Work work) {
    auto generation =
        std::make_shared<GenerationState>(*parts_.engine, std::move(sink), parts_.on_finished);
    auto begun = std::make_shared<Begun>(Begun{.arrival = engine::Clock::now()});
    if (options.timeout_ms) {
      begun->deadline = begun->arrival + std::chrono::milliseconds(*options.timeout_ms);
      begun->watch = deadlines_.at(*begun->deadline, [late = std::weak_ptr(generation)] {
        if (const auto alive = late.lock()) alive->fail(engine::deadline_exceeded());
      });
    }
    const ClientId client = options.client;
    auto task = [generation, begun, work = std::move(work)] { work(generation, begun); };
    if (!options.format) {
      enqueue(pool, client, generation, std::move(task));
      return generation;
    }
    enqueue(compilers_, client, generation,
            [this, &pool, client, generation, begun, format = *options.format, task] {
              auto grammar = grammars_.compile(format.grammar, generation->cancelled());
              if (!grammar) {
                Error error = grammar.error();
                if (error.param.empty()) error.param = format.field;
                return generation->fail(error);
              }
              begun->grammar = std::move(*grammar);
              enqueue(pool, client, generation, task);
            });
    return generation;
  }

  // What fails ends the request, with an error for it.
  template <typename Work>
  static void guard(const GenerationPtr& generation, const Work& work) {
    try {
      work();
    } catch (const std::exception& e) {
      generation->fail(failure_of_request(e));
    }
  }

  template <typename Task>
  static void enqueue(TaskPool& pool, ClientId client, const GenerationPtr& generation, Task task) {
    guard(generation, [&] {
      const bool queued = pool.post(client, [generation, task = std::move(task)] {
        if (!generation->cancelled()) guard(generation, task);
      });
      if (!queued) {
        generation->fail(
            {ErrorKind::kUnavailable, "the server is shutting down", {}, "shutting_down"});
      }
    });
  }

  TaskPool& pool_of(const ChatRequest& request) { return has_media(request) ? media_ : text_; }

  // `then` gets the prompt when its media are there, on a thread of the request's pool, and what
  // decodes those that were left out (GenerationRequest::decode_media).
  template <typename Then>
  void with_prompt(const std::shared_ptr<ChatRequest>& request, const GenerationPtr& generation,
                   Then then) {
    const auto builder = std::make_shared<ChatPromptBuilder>(*request, parts_, config_);
    auto urls = builder->begin();
    if (!urls) return generation->fail(urls.error());
    const std::shared_ptr<const std::atomic<bool>> cancelled(generation, &generation->cancelled());
    const auto fetches = std::make_shared<RequestFetches>(fetcher_, request->options.client,
                                                          std::move(*urls), cancelled);
    read_then_build(request, builder, fetches, generation, std::move(then));
  }

  template <typename Then>
  void read_then_build(const std::shared_ptr<ChatRequest>& request,
                       const std::shared_ptr<ChatPromptBuilder>& builder,
                       const std::shared_ptr<RequestFetches>& fetches,
                       const GenerationPtr& generation, Then then) {
    const auto go_on = [this, request, builder, fetches, generation, then] {
      enqueue(media_, request->options.client, generation,
              [this, request, builder, fetches, generation, then] {
                read_then_build(request, builder, fetches, generation, then);
              });
    };
    auto read = builder->read([&] { return fetches->take([=] { guard(generation, go_on); }); },
                              generation->cancelled());
    if (!read) return generation->fail(read.error());
    if (!*read) return;
    auto prompt = builder->build(generation->cancelled(), decoders_);
    if (!prompt) return generation->fail(prompt.error());
    then(Result<std::vector<PromptPtr>>(std::vector<PromptPtr>{*prompt}),
         builder->lacks_pixels() ? decode_later(request, builder, generation) : DecodeMedia());
  }

  DecodeMedia decode_later(const std::shared_ptr<ChatRequest>& request,
                           const std::shared_ptr<ChatPromptBuilder>& builder,
                           const GenerationPtr& generation) {
    const auto late = std::make_shared<LateMedia>();
    return [this, request, builder, generation, late](engine::OnPrompt done) {
      guard(generation, [&] {
        if (!late->ask(std::move(done))) return;
        // The engine has dropped what asked it, and the builder refers to the request.
        const auto task = [this, request, builder, generation, late] {
          auto prompt = builder->complete(generation->cancelled(), decoders_);
          if (!prompt) return generation->fail(prompt.error());
          late->put(std::move(*prompt));
        };
        enqueue(media_, request->options.client, generation, task);
      });
    };
  }

  Result<std::vector<PromptPtr>> prompts_of(CompletionRequest& request) const {
    std::vector<PromptPtr> prompts;
    for (auto& prompt : request.prompts) {
      auto built =
          build_completion_prompt(std::move(prompt), request.options.cache_salt, parts_, config_);
      if (!built) return built.error();
      prompts.push_back(*built);
    }
    return prompts;
  }

  Result<engine::SamplingParams> sampling_of(const GenerationOptions& options,
                                             const model::Prompt& prompt,
                                             const ReasoningLimit& reasoning_limit,
                                             const PromptsSize& prompts) const {
    auto sampling = make_sampling_params(options, prompt.tokens, reasoning_limit, context());
    if (!sampling) return sampling;
    if (auto s = check_output_size(options, *sampling, prompts); !s) return s.error();
    return sampling;
  }

  static void show(GenerationState& generation, const OnRendered& done,
                   Result<std::vector<RenderedPrompt>> rendered) {
    if (!rendered) return generation.fail(rendered.error());
    if (generation.finish()) done(std::move(rendered));
  }

  Result<std::vector<RenderedPrompt>> rendered_prompts(
      Result<std::vector<PromptPtr>> prompts, const GenerationOptions& options,
      const ReasoningLimit& reasoning_limit) const {
    if (!prompts) return prompts.error();
    const PromptsSize size(*prompts);
    std::vector<RenderedPrompt> out;
    for (PromptPtr& prompt : *prompts) {
      auto sampling = sampling_of(options, *prompt, reasoning_limit, size);
      if (!sampling) return sampling.error();
      out.push_back(rendered_prompt(std::move(prompt), *parts_.tokenizer));
      out.back().max_tokens = sampling->max_tokens;
    }
    return out;
  }

  void run(GenerationState& generation, const Begun& begun, const GenerationOptions& options,
           const ReasoningLimit& reasoning_limit, text::AnswerRules rules, bool echo,
           Result<std::vector<PromptPtr>> prompts, const DecodeMedia& decode_media) {
    if (!prompts) return generation.fail(prompts.error());
    rules.stop = options.stop;
    rules.include_stop = options.include_stop_str_in_output;

    const PromptsSize size(*prompts);
    std::vector<engine::GenerationRequest> requests;
    std::vector<ChoiceStream> choices;
    PromptInfo info;
    Usage usage;
    for (const PromptPtr& prompt : *prompts) {
      auto sampling = sampling_of(options, *prompt, reasoning_limit, size);
      if (!sampling) return generation.fail(sampling.error());
      usage.prompt_tokens += static_cast<int>(prompt->tokens.size());
      usage.image_tokens += prompt->image_tokens;
      usage.video_tokens += prompt->video_tokens;
      if (options.return_token_ids) info.token_ids.push_back(prompt->tokens);
      if (options.return_token_ids || echo) {
        info.texts.push_back(
            parts_.tokenizer->decode(prompt->tokens, options.skip_special_tokens && echo));
      }
      for (int i = 0; i < options.n; ++i) {
        const int index = static_cast<int>(choices.size());
        choices.emplace_back(*parts_.tokenizer,
                             text::AnswerParser(*parts_.tokenizer, prompt->tokens, rules),
                             choice_options(options, index));
        engine::GenerationRequest request;
        request.id = options.request_id;
        request.client = options.client;
        request.prompt = prompt;
        request.sampling = *sampling;
        request.decode_media = decode_media;
        request.sampling.grammar = begun.grammar;
        request.sampling.grammar_after = sampling->thinking.end_token;
        request.sampling.options.seed = choice_seed(sampling->options.seed, index);
        request.deadline = begun.deadline;
        if (config_.max_waiting_time)
          request.queue_deadline = begun.arrival + *config_.max_waiting_time;
        requests.push_back(std::move(request));
      }
    }
    auto quota = quota_.acquire(options.client, requests);
    if (!quota) return generation.fail(quota.error());
    generation.start(info, usage, std::move(choices), options.n);
    for (size_t i = 0; i < requests.size(); ++i) {
      auto own = quota->split(requests[i]);
      if (!generation.submit(static_cast<int>(i), std::move(requests[i]), std::move(own))) return;
    }
  }

  SamplingContext context() const {
    return {parts_.tokenizer.get(), &parts_.defaults,
            parts_.vocab_size,      parts_.engine->config().max_model_len,
            config_.max_logprobs,   parts_.engine->sampler_limits()};
  }

  static ChoiceOptions choice_options(const GenerationOptions& options, int index) {
    return {.index = index,
            .skip_special_tokens = options.skip_special_tokens,
            .want_logprobs = options.top_logprobs >= 0,
            .want_token_ids = options.return_token_ids,
            .tokens_per_delta = options.max_streaming_response_tokens};
  }

  // Refuses answers that could not be held in memory: about 100 bytes for each token or
  // alternative.
  Status check_output_size(const GenerationOptions& options, const engine::SamplingParams& sampling,
                           const PromptsSize& prompts) const {
    const double entries = options.top_logprobs >= 0 ? options.top_logprobs + 2.0 : 1.0;
    const double prompt_entries =
        options.prompt_logprobs >= 0 ? options.prompt_logprobs + 2.0 : 0.0;
    const double bytes = 100.0 * options.n *
                         (entries * sampling.max_tokens * static_cast<double>(prompts.count) +
                          prompt_entries * static_cast<double>(prompts.tokens));
    if (bytes <= static_cast<double>(config_.max_output_bytes)) return {};
    std::string what = "n " + std::to_string(options.n) + " x max_tokens " +
                       std::to_string(sampling.max_tokens) + " x top_logprobs " +
                       std::to_string(options.top_logprobs);
    if (prompt_entries > 0) {
      what += ", and n x " + std::to_string(prompts.tokens) + " prompt tokens x prompt_logprobs " +
              std::to_string(options.prompt_logprobs);
    }
    return invalid_argument(
        "the answer could take " + std::to_string(static_cast<int64_t>(bytes / 1e6)) + " MB (" +
            what + "); the limit is " + std::to_string(config_.max_output_bytes / 1'000'000) +
            " MB; lower one of them",
        "n", "output_too_large");
  }

  Parts parts_;
  ServiceConfig config_;
  const ClientQuota quota_;
  grammar::GrammarCompiler grammars_;
  Deadlines deadlines_;
  media::Fetcher fetcher_;
  TaskPool decoders_;
  TaskPool media_;      // goes before that, because its tasks post to it
  TaskPool text_;       // goes before those, because its tasks post to them
  TaskPool compilers_;  // likewise, before all
};

}  // namespace

std::unique_ptr<ChatService> ChatService::create(Parts parts, ServiceConfig config) {
  return std::make_unique<ChatServiceImpl>(std::move(parts), std::move(config));
}

}  // namespace ernie::serve
