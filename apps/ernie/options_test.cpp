#include "options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "web_files.h"

namespace ernie::app {
namespace {

using testing::HasSubstr;

using Variables = std::map<std::string, std::string>;

ServeOptions parse(std::vector<std::string> args, Variables variables = {}) {
  return parse_serve_options(std::move(args), [variables](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  });
}

// The message of the StartError that these arguments give; empty if they are accepted.
std::string refusal(std::vector<std::string> args, Variables variables = {}) {
  args.insert(args.begin(), {"--model", "m"});
  try {
    parse(std::move(args), std::move(variables));
    return {};
  } catch (const StartError& e) {
    return e.what();
  }
}

class TempFile {
 public:
  explicit TempFile(const std::string& content)
      : path_(std::filesystem::temp_directory_path() /
              ("ernie_options_" + std::to_string(getpid()) + ".yaml")) {
    std::ofstream(path_) << content;
  }
  ~TempFile() { std::filesystem::remove(path_); }
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

const std::vector<std::string> kSeedLine = {"--model",
                                            "baidu/ERNIE-4.5-VL-424B-A47B-Paddle",
                                            "--port",
                                            "8180",
                                            "--metrics-port",
                                            "8181",
                                            "--engine-worker-queue-port",
                                            "8182",
                                            "--tensor-parallel-size",
                                            "8",
                                            "--max-model-len",
                                            "131072",
                                            "--max-num-seqs",
                                            "16",
                                            "--limit-mm-per-prompt",
                                            R"({"image": 100, "video": 100})",
                                            "--reasoning-parser",
                                            "ernie-45-vl",
                                            "--gpu-memory-utilization",
                                            "0.85",
                                            "--max-num-batched-tokens",
                                            "384",
                                            "--enable-mm"};

void expect_seed_options(const ServeOptions& o) {
  EXPECT_EQ(o.model, "baidu/ERNIE-4.5-VL-424B-A47B-Paddle");
  EXPECT_EQ(o.server.port, 8180);
  EXPECT_EQ(o.metrics_port, 8181);
  EXPECT_EQ(o.engine.tensor_parallel_size, 8);
  EXPECT_EQ(o.engine.max_model_len, 131072);
  EXPECT_EQ(o.engine.max_num_seqs, 16);
  EXPECT_EQ(o.service.max_images_per_prompt, 100);
  EXPECT_EQ(o.service.max_videos_per_prompt, 100);
  EXPECT_EQ(o.service.syntax.thinking, text::AnswerSyntax::Thinking::kSplit);
  EXPECT_EQ(o.engine.gpu_memory_utilization, 0.85);
  EXPECT_EQ(o.engine.max_num_batched_tokens, 384);
}

// Without it FastDeploy's published launch line could stop working.
TEST(ServeOptions, TakesFastDeploysLaunchLine) {
  const ServeOptions options = parse(kSeedLine);
  expect_seed_options(options);
  ASSERT_EQ(options.notes.size(), 2u);
  EXPECT_THAT(options.notes,
              testing::UnorderedElementsAre(HasSubstr("--engine-worker-queue-port is not needed"),
                                            HasSubstr("--enable-mm is not needed")));
  std::vector<std::string> underscores = kSeedLine;
  for (std::string& arg : underscores)
    if (arg.rfind("--", 0) == 0) std::replace(arg.begin() + 2, arg.end(), '-', '_');
  expect_seed_options(parse(underscores));
}

TEST(ServeOptions, HaveFastDeploysDefaults) {
  const ServeOptions o = parse({"m"});  // a positional model
  EXPECT_EQ(o.model, "m");
  EXPECT_EQ(o.server.host, "127.0.0.1");
  EXPECT_EQ(o.server.port, 8000);
  EXPECT_EQ(o.server.max_concurrency, 512);
  EXPECT_TRUE(o.server.api_keys.empty());
  EXPECT_FALSE(o.metrics_port);
  EXPECT_EQ(o.web, !web_files().empty());
  EXPECT_FALSE(parse({"m", "--no-web"}).web);
  EXPECT_EQ(o.engine.max_model_len, 2048);
  EXPECT_EQ(o.engine.max_num_seqs, 8);
  EXPECT_EQ(o.engine.max_num_batched_tokens, 8192);
  EXPECT_EQ(o.engine.block_size, 64);
  EXPECT_TRUE(o.engine.enable_prefix_caching);
  EXPECT_TRUE(o.engine.enable_chunked_prefill);
  EXPECT_EQ(o.engine.max_encoder_cache, -1);
  EXPECT_EQ(o.service.max_images_per_prompt, 1);
  EXPECT_EQ(o.service.max_logprobs, 20);
  EXPECT_FALSE(o.service.max_waiting_time);
  EXPECT_EQ(o.graceful_timeout.count(), 0);
  EXPECT_TRUE(o.notes.empty());
}

TEST(ServeOptions, TheNameThatClientsSeeIsNoPath) {
  const auto name = [](std::vector<std::string> args) {
    return parse(std::move(args)).served_model_name;
  };
  const auto folder = std::filesystem::temp_directory_path() / "ernie_options_model";
  std::filesystem::create_directory(folder);
  EXPECT_EQ(name({folder.string()}), "ernie_options_model");
  EXPECT_EQ(name({folder.string() + "//"}), "ernie_options_model");
  EXPECT_EQ(name({folder.string() + "/../ernie_options_model/."}), "ernie_options_model");
  EXPECT_EQ(name({"/"}), "model");
  EXPECT_EQ(name({"baidu/ERNIE-4.5-VL-28B-A3B-PT"}), "baidu/ERNIE-4.5-VL-28B-A3B-PT");
  EXPECT_EQ(name({folder.string(), "--served-model-name", "a/b"}), "a/b");
  EXPECT_FALSE(parse({"m"}).check_model_name);
  EXPECT_TRUE(parse({"m", "--served-model-name", "n"}).check_model_name);
  std::filesystem::remove(folder);
}

TEST(ServeOptions, MemoryOfRequestsGrowsWithTheLargestOne) {
  const auto room = [](std::vector<std::string> args) {
    const ServeOptions options = parse(std::move(args));
    EXPECT_EQ(options.service.memory.held, options.server.memory.held) << "one for the process";
    return (options.server.memory.held->limit() + options.server.memory.decoding->limit()) >> 20;
  };
  EXPECT_EQ(room({"m"}), 2048u);
  EXPECT_EQ(room({"m", "--max-request-mb", "1024"}), 8192u);
  EXPECT_EQ(room({"m", "--max-inflight-mb", "600"}), 600u);
  EXPECT_EQ(parse({"m", "--max-grammar-mb", "100"}).service.grammar_bytes, size_t{100} << 20);
}

TEST(ServeOptions, WithoutPicturesAndVideosOnlyTextIsServed) {
  const auto text_only = [](const char* limits) {
    return parse({"m", "--limit-mm-per-prompt", limits}).engine.text_only;
  };
  EXPECT_FALSE(parse({"m"}).engine.text_only);
  EXPECT_FALSE(text_only(R"({"image": 0})"));
  EXPECT_TRUE(text_only(R"({"image": 0, "video": 0})"));
}

TEST(ServeOptions, QuantizationTakesFastDeploysNamesAndMixes) {
  const auto of = [](const std::string& text) {
    return parse({"m", "--quantization", text}).engine.quantization;
  };
  const WeightFormat int8{WeightType::kInt8}, int4{WeightType::kInt4},
      grouped{WeightType::kInt4, 64};
  EXPECT_FALSE(parse({"m"}).engine.quantization);
  EXPECT_FALSE(of(R"({"kv_cache_quant_type": "int8"})"));
  EXPECT_EQ(of("bf16"), model::Quantization{});
  EXPECT_EQ(of("BFLOAT16"), model::Quantization{});
  EXPECT_EQ(of("wint8"), (model::Quantization{int8, int8, int8}));
  EXPECT_EQ(of("WINT4"), (model::Quantization{int8, int4, int4}));
  EXPECT_EQ(of("wint4-g64"), (model::Quantization{int8, grouped, grouped}));
  EXPECT_EQ(of(R"({"quantization": "mix_quant", "dense_quant_type": "wint4",
                   "moe_quant_type": "wint4", "image_moe_quant_type": "wint8"})"),
            (model::Quantization{int4, int4, int8}));
  EXPECT_EQ(of(R"({"moe_quant_type": "wint4"})"), (model::Quantization{{}, int4, int4}));
}

TEST(ServeOptions, TheCacheTakesTheNamesOfVllmAndFastDeploy) {
  const auto of = [](std::vector<std::string> args) {
    args.insert(args.begin(), "m");
    return parse(args).engine.kv_type();
  };
  EXPECT_EQ(of({}), KvType::kBF16);
  EXPECT_EQ(of({"--dtype", "float32"}), KvType::kF32);
  EXPECT_EQ(of({"--kv-cache-dtype", "auto"}), KvType::kBF16);
  EXPECT_EQ(of({"--kv-cache-dtype", "bfloat16"}), KvType::kBF16);
  EXPECT_EQ(of({"--kv_cache_dtype=INT8"}), KvType::kInt8);
  EXPECT_EQ(of({"--kv-cache-dtype", "fp8"}), KvType::kFp8);
  EXPECT_EQ(of({"--kv-cache-dtype", "fp8_e4m3", "--dtype", "float32"}), KvType::kFp8);
  EXPECT_EQ(of({"--quantization", R"({"kv_cache_quant_type": "int8"})"}), KvType::kInt8);
  EXPECT_EQ(of({"--quantization", R"({"kv_cache_quant_type": "float8_e4m3fn"})"}), KvType::kFp8);
  EXPECT_EQ(of({"--quantization", R"({"kv_cache_quant_type": "block_wise_fp8"})",
                "--kv-cache-dtype", "fp8"}),
            KvType::kFp8);
}

TEST(ServeOptions, TheBatchBudgetNeverExceedsWhatSequencesCanHold) {
  EXPECT_EQ(
      parse({"m", "--max-model-len", "256", "--max-num-seqs", "2"}).engine.max_num_batched_tokens,
      512);
  EXPECT_EQ(parse({"m", "--max-model-len", "16384", "--no-enable-chunked-prefill"})
                .engine.max_num_batched_tokens,
            16384);
}

// Without it the cache could be too small for the pictures of one step, or not be turned off.
TEST(ServeOptions, TheEncoderCacheHoldsAStepOrNothing) {
  const ServeOptions raised = parse({"m", "--max_encoder_cache", "100"});
  EXPECT_EQ(raised.engine.max_encoder_cache, 8192);
  EXPECT_THAT(raised.notes, testing::ElementsAre(HasSubstr("--max-encoder-cache 100 is raised")));
  for (const int tokens : {-1, 0, 8192, 20000}) {
    const ServeOptions o = parse({"m", "--max-encoder-cache", std::to_string(tokens)});
    EXPECT_EQ(o.engine.max_encoder_cache, tokens);
    EXPECT_TRUE(o.notes.empty());
  }
}

TEST(ServeOptions, TheProcessorCacheIsGivenInGiB) {
  EXPECT_EQ(parse({"m"}).media_cache_bytes, size_t{256} << 20);
  EXPECT_EQ(parse({"m", "--max-processor-cache", "-1"}).media_cache_bytes, size_t{256} << 20);
  EXPECT_EQ(parse({"m", "--max_processor_cache=0.5"}).media_cache_bytes, size_t{512} << 20);
  EXPECT_EQ(parse({"m", "--max-processor-cache", "0"}).media_cache_bytes, 0u);
}

// Without it a value out of range would fail later, or not at all, and without the flag's name.
TEST(ServeOptions, NameFlagValueAndLimitOfABadValue) {
  const struct {
    std::vector<std::string> args;
    const char* message;
  } cases[] = {
      {{"--max-num-seqs", "0"}, "--max-num-seqs is 0; it must be 1 to 256"},
      {{"--max-num-seqs", "257"}, "--max-num-seqs is 257"},
      {{"--max-model-len", "15"}, "--max-model-len is 15; it must be at least 16"},
      {{"--gpu-memory-utilization", "1.01"}, "--gpu-memory-utilization is 1.01"},
      {{"--gpu-memory-utilization", "0"}, "--gpu-memory-utilization is 0"},
      {{"--port", "65536"}, "--port is 65536"},
      {{"--port", "-1"}, "--port is -1"},
      {{"--port", "http"}, "--port"},
      {{"--max-num-batched-tokens", "7"}, "at least --max-num-seqs (8)"},
      {{"--max-num-batched-tokens", "16385"}, "--max-model-len x --max-num-seqs (16384)"},
      {{"--max-num-batched-tokens", "63"}, "at least --block-size (64)"},
      {{"--max-num-batched-tokens", "2047", "--no-enable-chunked-prefill"}, "without chunked"},
      {{"--tensor-parallel-size", "0"}, "--tensor-parallel-size is 0"},
      {{"--block-size", "0"}, "--block-size is 0"},
      {{"--max-encoder-cache", "-2"},
       "--max-encoder-cache is -2; it must be -1 (planned), 0 (off)"},
      {{"--max-encoder-cache", "much"}, "--max-encoder-cache"},
      {{"--max-processor-cache", "-0.5"}, "--max-processor-cache is -0.5; it must be -1 (0.25)"},
      {{"--max-processor-cache", "nan"}, "--max-processor-cache is nan"},
      {{"--max-waiting-time", "-2"}, "--max-waiting-time is -2"},
      {{"--max-waiting-time", "0"}, "--max-waiting-time is 0; it must be -1 (no limit) or 0.001"},
      {{"--max-waiting-time", "1e18"}, "-1 (no limit) or 0.001 to 1000000000 seconds"},
      {{"--seed", "18446744073709551616"}, "--seed: 18446744073709551616 is not a number from 0"},
      {{"--cpu-threads", "1000000"},
       "--cpu-threads is 1000000; it must be 0 (one per core) to 1024"},
      {{"--max-logprobs", "-2"}, "--max-logprobs is -2"},
      {{"--max-concurrency", "0"}, "--max-concurrency is 0"},
      {{"--max-inflight-mb", "511"}, "--max-inflight-mb is 511; it must be 512 (8 x"},
      {{"--max-inflight-mb", "1048577"}, "to 1048576"},
      {{"--max-grammar-mb", "63"}, "--max-grammar-mb is 63; it must be 64 to 1048576"},
      {{"--timeout-graceful-shutdown", "-1"}, "--timeout-graceful-shutdown is -1"},
      {{"--dtype", "int8"}, "--dtype is int8; it must be bfloat16 or float32"},
      {{"--load-choices", "fast"}, "--load-choices is fast"},
      {{"--quantization", "fp3"}, "--quantization is fp3; it must be bf16, wint8, wint4"},
      {{"--quantization", "wint4-g16"}, "--quantization is wint4-g16"},
      {{"--quantization", "{\"moe_quant_type\": \"fp8\"}"},
       "--quantization: \"moe_quant_type\" is fp8"},
      {{"--kv-cache-dtype", "fp8_e5m2"},
       "--kv-cache-dtype is fp8_e5m2; it must be auto, bfloat16, int8 or fp8 (e4m3)"},
      {{"--kv-cache-dtype", "bfloat16", "--dtype", "float32"},
       "--kv-cache-dtype is bfloat16; it must be auto, int8 or fp8 with --dtype float32"},
      {{"--kv-cache-dtype", "int8", "--quantization",
        "{\"kv_cache_quant_type\": \"float8_e4m3fn\"}"},
       "--kv-cache-dtype is int8, but \"kv_cache_quant_type\" of --quantization is fp8"},
      {{"--quantization", "{\"kv_cache_quant_type\": \"int4_zp\"}"},
       "\"kv_cache_quant_type\" is \"int4_zp\"; it must be \"int8\""},
      {{"--quantization", "{\"moe_type\": \"wint4\"}"}, "unknown \"moe_type\""},
      {{"--reasoning-parser", "qwen3"}, "ernie-45-vl"},
      {{"--allowed-local-media-path", "/no/such/folder"}, "must be a folder"},
      {{"--chat-template", "/no/such/file"}, "--chat-template is /no/such/file"},
      {{"--tokenizer", "other"}, "--tokenizer is other"},
      {{"--no-such-flag"}, "--no-such-flag"},
      {{"--api-key", ""}, "--api-key is empty"},
  };
  for (const auto& c : cases) EXPECT_THAT(refusal(c.args), HasSubstr(c.message)) << c.args[0];
}

// Whatever the number is, it is taken or refused by the name of its flag.
TEST(ServeOptions, NumericFlagsTakeOrRefuseAnyNumber) {
  ServeFlags flags;
  CLI::App app;
  add_serve_flags(app, flags);
  int numeric = 0;
  for (const CLI::Option* option : app.get_options()) {
    const std::string type = option->get_type_name();
    if (type != "INT" && type != "UINT" && type != "FLOAT") continue;
    ++numeric;
    const std::string flag = "--" + option->get_lnames().front();
    for (const char* value : {"-9223372036854775808",
                              "-2147483649",
                              "-2147483648",
                              "-2",
                              "-1",
                              "-0",
                              "0",
                              "1",
                              "2",
                              "2147483646",
                              "2147483647",
                              "2147483648",
                              "9223372036854775807",
                              "18446744073709551615",
                              "1e308",
                              "1e309",
                              "-1e308",
                              "1e-320",
                              "nan",
                              "inf",
                              "-inf",
                              "",
                              "0x10",
                              "1e",
                              "one"}) {
      const std::string argument = flag + "=" + value;
      const std::string message = refusal({argument});
      if (message.empty()) continue;
      EXPECT_THAT(message, HasSubstr(flag)) << argument;
    }
  }
  EXPECT_GE(numeric, 20);
}

TEST(ServeOptions, NoModelIsAnError) { EXPECT_THROW(parse({}), StartError); }

TEST(ServeOptions, FlagsOfOtherFeaturesSayWhyTheyAreRefused) {
  EXPECT_THAT(refusal({"--speculative-config", "{}"}), HasSubstr("not implemented"));
  EXPECT_THAT(refusal({"--splitwise_role=prefill"}), HasSubstr("--splitwise-role of FastDeploy"));
  EXPECT_THAT(refusal({"--swap-space", "4"}), HasSubstr("--gpu-memory-utilization"));
}

TEST(ServeOptions, MediaLimitsAreMergedOverTheDefaults) {
  const ServeOptions o = parse({"m", "--limit-mm-per-prompt", R"({"image": 5, "audio": 1})"});
  EXPECT_EQ(o.service.max_images_per_prompt, 5);
  EXPECT_EQ(o.service.max_videos_per_prompt, 1);
  for (const char* bad : {"[1]", "5", "{image: 1}", R"({"image": "5"})", R"({"image": -1})",
                          R"({"image": 1.5})", R"({"picture": 1})"})
    EXPECT_THAT(refusal({"--limit-mm-per-prompt", bad}), HasSubstr("--limit-mm-per-prompt")) << bad;
}

TEST(ServeOptions, GraphConfigTurnsGraphsOffOrBoundsThem) {
  EXPECT_TRUE(parse({"m"}).engine.use_graphs);
  EXPECT_FALSE(
      parse({"m", "--graph-optimization-config", R"({"use_cudagraph": false})"}).engine.use_graphs);
  const ServeOptions o =
      parse({"m", "--graph-optimization-config",
             R"({"use_cudagraph": true, "cudagraph_capture_sizes": [1, 32, 8]})"});
  EXPECT_TRUE(o.engine.use_graphs);
  EXPECT_EQ(o.engine.max_graph_seqs, 32);
  for (const char* bad : {"[1]", R"({"use_cudagraph": 1})", R"({"cudagraph_capture_sizes": []})",
                          R"({"cudagraph_capture_sizes": [0]})", R"({"graphs": true})"})
    EXPECT_THAT(refusal({"--graph-optimization-config", bad}),
                HasSubstr("--graph-optimization-config"))
        << bad;
}

TEST(ServeOptions, ProcessorKwargsSetSizesAndFrames) {
  const ServeOptions o =
      parse({"m", "--mm-processor-kwargs",
             R"({"image_max_pixels": 784000, "video_max_pixels": 78400, "video_min_pixels": 784,
           "spatial_conv_size": 2, "video_fps": 0.5, "video_target_frames": -1, "video_max_frames": 64,
           "video_frames_sample": "middle", "draw_on_frames": false})"});
  EXPECT_EQ(o.picture_limits.image_max_pixels, 784000);
  EXPECT_EQ(o.picture_limits.image_min_pixels, std::nullopt) << "the model's";
  EXPECT_EQ(o.picture_limits.frames.fps, 0.5);
  EXPECT_EQ(o.picture_limits.frames.target_frames, -1);
  EXPECT_EQ(o.picture_limits.frames.max_frames, 64);
  EXPECT_EQ(o.picture_limits.frames.frames_sample, "middle");
  EXPECT_EQ(o.picture_limits.draw_on_frames, false);
  for (const char* bad :
       {R"({"image_max_pixels": "1"})", R"({"max_pixels": 1})", R"({"spatial_conv_size": 3})",
        R"({"image_max_pixels": 0})", R"({"video_frames_sample": 1})", R"({"video_fps": "2"})",
        R"({"draw_on_frames": 1})"})
    EXPECT_THAT(refusal({"--mm-processor-kwargs", bad}), HasSubstr("--mm-processor-kwargs")) << bad;
}

TEST(ServeOptions, EnvironmentVariablesCount) {
  const ServeOptions o =
      parse({"m", "--api-key", "a", "--api-key", "b"}, {{"FD_API_KEY", "c,d"},
                                                        {"FD_SAMPLING_CLASS", "rejection"},
                                                        {"FD_DISABLE_CHUNKED_PREFILL", "1"}});
  EXPECT_THAT(o.server.api_keys, testing::ElementsAre("a", "b", "c", "d"));
  EXPECT_FALSE(o.engine.enable_chunked_prefill);
  EXPECT_THAT(refusal({}, {{"FD_SAMPLING_CLASS", "best"}}), HasSubstr("FD_SAMPLING_CLASS is best"));
}

TEST(ServeOptions, ShortAndNegatedFlags) {
  EXPECT_EQ(parse({"m", "-tp", "2"}).engine.tensor_parallel_size, 2);
  EXPECT_FALSE(parse({"m", "--no-enable-prefix-caching"}).engine.enable_prefix_caching);
  EXPECT_TRUE(parse({"m", "--enable-prefix-caching"}).engine.enable_prefix_caching);
  EXPECT_TRUE(parse({"m", "--check-invariants"}).engine.check_invariants);
  EXPECT_FALSE(parse({"m", "--max-waiting-time", "-1"}).service.max_waiting_time);
  EXPECT_EQ(parse({"m", "--max-waiting-time", "0.5"}).service.max_waiting_time,
            std::chrono::milliseconds(500));
  EXPECT_EQ(parse({"m", "--port", "1", "--port", "2"}).server.port, 2);
  EXPECT_FALSE(parse({"m", "--port", "9000", "--metrics-port", "9000"}).metrics_port);
}

// Without it a YAML file could be read differently from the flags it stands for.
TEST(ServeOptions, ConfigFileGivesFlagsAndTheCommandLineWins) {
  const TempFile file(R"(
model: from-file
port: 9001
max_num_seqs: 4
api-key: [k1, k2]
limit-mm-per-prompt: {image: 7, video: 2}
enable-prefix-caching: false
max-encoder-cache: 0
max-waiting-time: -1
)");
  const ServeOptions o = parse({"--config", file.path(), "--port", "9002"});
  EXPECT_EQ(o.model, "from-file");
  EXPECT_EQ(o.server.port, 9002);
  EXPECT_EQ(o.engine.max_num_seqs, 4);
  EXPECT_THAT(o.server.api_keys, testing::ElementsAre("k1", "k2"));
  EXPECT_EQ(o.service.max_images_per_prompt, 7);
  EXPECT_EQ(o.engine.max_encoder_cache, 0);
  EXPECT_FALSE(o.engine.enable_prefix_caching);
  EXPECT_THAT(parse({"--config=" + file.path(), "--api-key", "k3", "--enable-prefix-caching"})
                  .server.api_keys,
              testing::ElementsAre("k3"));
}

TEST(ServeOptions, WhatIsNoNumberIsRefusedWithItsFlag) {
  for (const char* text : {"", " 1", "0x10", "1.5", "abc", "2147483648", "1e308"}) {
    EXPECT_THAT(refusal({"--cpu-threads", text}),
                testing::AllOf(HasSubstr("--cpu-threads is \""), HasSubstr("whole number")))
        << text;
  }
  EXPECT_THAT(refusal({"--gpu-memory-utilization", ""}), HasSubstr("must be a number"));
}

TEST(ServeOptions, KeysMayComeFromAFile) {
  {
    const TempFile keys("\n first \r\nsecond\n\n");
    EXPECT_THAT(parse({"m", "--api-key", "k", "--api-key-file", keys.path()}).server.api_keys,
                testing::ElementsAre("k", "first", "second"));
  }
  const TempFile none("\n  \n");
  EXPECT_THAT(refusal({"--api-key-file", none.path()}), HasSubstr("has no key"));
  EXPECT_THAT(refusal({"--api-key-file", "/no/such/file"}),
              testing::AllOf(HasSubstr("--api-key-file"), HasSubstr("/no/such/file")));
  EXPECT_THAT(refusal({"--cache-salt-by-key"}), HasSubstr("needs --api-key"));
}

TEST(ServeOptions, ConfigFileErrorsNameTheFileAndTheKey) {
  EXPECT_THAT(refusal({"--config", "/no/such.yaml"}), HasSubstr("/no/such.yaml"));
  {
    const TempFile file("prot: 1");
    EXPECT_THAT(refusal({"--config", file.path()}), HasSubstr("unknown key \"prot\""));
  }
  {
    const TempFile file("swap-space: 1");
    EXPECT_THAT(refusal({"--config", file.path()}), HasSubstr("not supported here"));
  }
  {
    const TempFile file("- a\n- b\n");
    EXPECT_THAT(refusal({"--config", file.path()}), HasSubstr("must be a map"));
  }
  {
    const TempFile file("a: [1\n");
    EXPECT_THAT(refusal({"--config", file.path()}), HasSubstr("line"));
  }
}

// Without it the help could lose its groups or a flag.
TEST(ServeOptions, HelpIsGrouped) {
  const std::string help = serve_help();
  size_t at = 0;
  for (const char* group : {"Model:", "Server:", "Capacity:", "Requests:", "Accepted for"}) {
    const size_t found = help.find(group);
    ASSERT_NE(found, help.npos) << group;
    EXPECT_GT(found, at) << group;
    at = found;
  }
  EXPECT_THAT(help, HasSubstr("--limit-mm-per-prompt"));
}

}  // namespace
}  // namespace ernie::app
