#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine_bench_options.h"
#include "serve_bench_options.h"

namespace ernie::app {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using Args = std::vector<std::string>;

EngineBenchOptions engine_options(const Args& args) {
  return parse_engine_bench_options(args, [](const char*) { return std::nullopt; });
}

template <typename F>
std::string refusal_of(const F& parse) {
  try {
    parse();
    return {};
  } catch (const StartError& e) {
    return e.what();
  }
}

std::string engine_refusal(Args args) {
  args.insert(args.begin(), {"--model", "ERNIE-4.5-VL-28B-A3B"});
  return refusal_of([&] { engine_options(args); });
}

std::string serve_refusal(Args args) {
  args.insert(args.begin(), {"--max-concurrency", "1"});
  return refusal_of([&] { parse_serve_bench_options(args); });
}

TEST(EngineBenchOptions, SizesTheEngineForItsMeasurements) {
  const EngineBenchOptions o = engine_options({"--model", "ERNIE-4.5-VL-28B-A3B", "--batch", "1,40",
                                               "--prefill", "512,3000", "--image", "640x480"});
  EXPECT_THAT(o.batches, ElementsAre(1, 40));
  EXPECT_THAT(o.prefill, ElementsAre(512, 3000));
  EXPECT_EQ(o.image_tokens, 23 * 17);
  EXPECT_EQ(o.serve.engine.load_choice, model::LoadChoice::kDummy);
  EXPECT_EQ(o.serve.engine.max_num_seqs, 40);
  EXPECT_EQ(o.serve.engine.max_model_len, 3001);
  EXPECT_GE(o.serve.engine.num_gpu_blocks_override, 40 * 256 / 64);
  EXPECT_EQ(o.serve.engine.max_media_tokens, o.image_tokens);
}

TEST(EngineBenchOptions, CutsTheModelToItsFirstLayers) {
  const EngineBenchOptions o = engine_options(
      {"--model", "ERNIE-4.5-VL-424B-A47B", "--layers=5", "--shard=8", "--prefill=none"});
  EXPECT_EQ(o.config.num_layers, 5);
  EXPECT_FALSE(o.config.is_moe_layer(2));
  EXPECT_TRUE(o.config.is_moe_layer(4));
  EXPECT_EQ(o.shard, 8);
  EXPECT_EQ(o.serve.engine.tensor_parallel_size, 1);
  EXPECT_TRUE(o.prefill.empty());
}

TEST(EngineBenchOptions, RefusesWhatCannotBeMeasured) {
  EXPECT_THAT(engine_refusal({"--batch", "1,0"}),
              AllOf(HasSubstr("--batch is 1,0"), HasSubstr("256")));
  EXPECT_THAT(engine_refusal({"--batch", "257"}), HasSubstr("--batch is 257"));
  EXPECT_THAT(engine_refusal({"--prefill", "12x"}), HasSubstr("--prefill is 12x"));
  EXPECT_THAT(engine_refusal({"--prefill", "200000"}), HasSubstr("131072"));
  EXPECT_THAT(engine_refusal({"--output-len", "2"}), HasSubstr("--output-len is 2"));
  EXPECT_THAT(engine_refusal({"--image", "640"}), HasSubstr("--image is 640"));
  EXPECT_THAT(engine_refusal({"--repeats", "0"}), HasSubstr("--repeats is 0"));
  EXPECT_THAT(engine_refusal({"--layers", "1"}),
              AllOf(HasSubstr("--layers is 1"), HasSubstr("2 to 28")));
  EXPECT_THAT(engine_refusal({"--shard", "3"}), HasSubstr("--shard 3"));
  EXPECT_THAT(engine_refusal({"--shard", "2", "-tp", "2"}), HasSubstr("--tensor-parallel-size"));
  EXPECT_THAT(engine_refusal({"--max-num-seqs", "8"}), HasSubstr("at least 64 (--batch)"));
  EXPECT_THAT(engine_refusal({"--port", "1"}), HasSubstr("ernie bench engine --help"));
  EXPECT_THAT(refusal_of([] { engine_options({}); }), HasSubstr("ERNIE-4.5-VL-28B-A3B"));
  EXPECT_THAT(refusal_of([] {
                engine_options({"--model", "/nowhere"});
              }),
              HasSubstr("ERNIE-4.5-VL-28B-A3B"));
  EXPECT_THAT(refusal_of([] {
                engine_options({"--model", "ERNIE-4.5-0.3B", "--image", "64x64"});
              }),
              HasSubstr("text only"));
}

TEST(EngineBenchOptions, HelpListsItsFlagsAndThoseOfTheEngine) {
  const std::string help = engine_bench_help();
  for (const char* flag :
       {"--batch", "--prefill", "--shard", "--device", "--load-choices", "--dtype"})
    EXPECT_THAT(help, HasSubstr(flag));
  for (const char* flag : {"--port", "--api-key", "--reasoning-parser", "--config"})
    EXPECT_THAT(help, testing::Not(HasSubstr(flag)));
}

TEST(ServeBenchOptions, TakesALoad) {
  const ServeBenchOptions o = parse_serve_bench_options(
      {"--url", "http://host:1/v1/", "--request-rate", "2.5", "--endpoint", "chat", "--images", "2",
       "--image-size", "300x200", "--random-range-ratio", "0.5", "--percentiles", "50,99.9"});
  EXPECT_EQ(o.url, "http://host:1");
  EXPECT_TRUE(o.chat);
  EXPECT_EQ(o.request_rate, 2.5);
  EXPECT_EQ(o.image_size.width, 300);
  EXPECT_EQ(o.image_size.height, 200);
  EXPECT_THAT(o.percentiles, ElementsAre(50, 99.9));
}

TEST(ServeBenchOptions, RefusesWhatIsNoLoad) {
  EXPECT_THAT(refusal_of([] { parse_serve_bench_options({}); }),
              AllOf(HasSubstr("--max-concurrency"), HasSubstr("--request-rate")));
  EXPECT_THAT(serve_refusal({"--url", "host:80"}), HasSubstr("--url is host:80"));
  EXPECT_THAT(refusal_of([] {
                parse_serve_bench_options({"--max-concurrency", "0"});
              }),
              HasSubstr("--max-concurrency is 0"));
  EXPECT_THAT(serve_refusal({"--request-rate", "-1"}), HasSubstr("--request-rate is -1"));
  EXPECT_THAT(serve_refusal({"--num-prompts", "0"}), HasSubstr("--num-prompts is 0"));
  EXPECT_THAT(serve_refusal({"--random-range-ratio", "1"}), HasSubstr("--random-range-ratio is 1"));
  EXPECT_THAT(serve_refusal({"--endpoint", "both"}), HasSubstr("--endpoint is both"));
  EXPECT_THAT(serve_refusal({"--images", "1"}), HasSubstr("--endpoint chat"));
  EXPECT_THAT(serve_refusal({"--percentiles", "101"}), HasSubstr("--percentiles is 101"));
  EXPECT_THAT(serve_refusal({"--token-ids", "9-3"}), HasSubstr("--token-ids is 9-3"));
  EXPECT_THAT(serve_refusal({"--what"}), HasSubstr("ernie bench serve --help"));
}

}  // namespace
}  // namespace ernie::app
