#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>

#include "plan_report.h"

namespace ernie::app {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using Args = std::vector<std::string>;

constexpr const char* k28B = "ERNIE-4.5-VL-28B-A3B";
constexpr const char* k424B = "ERNIE-4.5-VL-424B-A47B";

PlanOptions options_of(const Args& args) {
  return parse_plan_options(args, [](const char*) { return std::nullopt; });
}

ModelPlan plan_of(const PlanOptions& options) { return plan_model(options, *options.devices); }

ModelPlan plan_of(const Args& args) { return plan_of(options_of(args)); }

std::string refusal(const Args& args) {
  try {
    options_of(args);
    return {};
  } catch (const StartError& e) {
    return e.what();
  }
}

size_t bytes_of(const model::PartSizes& parts) {
  size_t sum = 0;
  for (const model::PartSize& part : parts) sum += part.bytes;
  return sum;
}

size_t bytes_of(const model::PartSizes& parts, model::WeightPart part) {
  return parts[static_cast<size_t>(part)].bytes;
}

TEST(DeviceGroup, IsACountAndASizeOrTheCpu) {
  const DeviceGroup two = parse_device_group("2x141G");
  EXPECT_EQ(two.count, 2);
  EXPECT_EQ(two.total_bytes >> 20, 143771u);
  EXPECT_EQ((two.total_bytes - two.memory().free_bytes) >> 20, 550u);
  EXPECT_TRUE(two.known_size);
  EXPECT_FALSE(two.memory().shared_by_ranks);
  const DeviceGroup guessed = parse_device_group("1x100G");
  EXPECT_EQ(guessed.total_bytes >> 20, 101888u);
  EXPECT_FALSE(guessed.known_size);
  EXPECT_TRUE(parse_device_group("cpu").is_cpu);
  for (const char* bad : {"", "2", "2x", "x80G", "2x80", "2x80GB", "0x80G", "2x0G", "2*80G",
                          "-1x80G", "2x80G,", "65x80G", "gpu"}) {
    EXPECT_THROW(parse_device_group(bad), StartError) << bad;
  }
  EXPECT_THAT(refusal({k28B, "--gpus", "2x"}),
              AllOf(HasSubstr("--gpus is 2x"), HasSubstr("cpu"), HasSubstr("2x141G")));
}

TEST(PlanOptions, HaveServesDefaultsAndChecks) {
  const PlanOptions o = options_of({k28B});
  EXPECT_FALSE(o.devices);
  EXPECT_EQ(o.serve.engine.max_model_len, 2048);
  EXPECT_EQ(o.serve.engine.max_num_batched_tokens, 8192);
  EXPECT_EQ(o.serve.engine.max_media_tokens, 6177);
  EXPECT_THAT(refusal({k28B, "--max-num-seqs", "0"}), HasSubstr("--max-num-seqs is 0"));
  EXPECT_THAT(refusal({k28B, "--quantization", "wint3"}), HasSubstr("--quantization is wint3"));
  EXPECT_THAT(refusal({k28B, "--port", "80"}), HasSubstr("--port"));
  EXPECT_THAT(refusal({k28B, "-tp", "2"}), HasSubstr("--tensor-parallel-size"));
  EXPECT_THAT(refusal({}), HasSubstr("--model is missing"));
}

TEST(Plan, PartsAddUpToTheWeights) {
  for (const char* model : {k28B, k424B, "ERNIE-4.5-0.3B"}) {
    for (const char* quantization : {"bf16", "wint8", "wint4", "wint4-g64"}) {
      for (const char* gpus : {"1x1024G", "2x1024G"}) {
        const PlanOptions o = options_of({model, "--gpus", gpus, "--quantization", quantization});
        const ModelPlan plan = plan_of(o);
        EXPECT_TRUE(plan.fits()) << plan.problem;
        EXPECT_EQ(bytes_of(plan.each), plan.memory.weight_bytes);
        int64_t parameters = 0;
        for (const model::PartSize& part : plan.whole) parameters += part.parameters;
        EXPECT_EQ(parameters, model::count_parameters(o.config));
      }
    }
  }
}

TEST(Plan, TakesQuantizedCheckpointsAsTheyAreStored) {
  PlanOptions o = options_of({k28B, "--gpus", "1x24G"});
  o.config.quantization = *model::parse_quantization("wint4");
  const ModelPlan plan = plan_of(o);
  EXPECT_EQ(bytes_of(plan.each), plan.memory.weight_bytes);
  EXPECT_EQ(plan.memory.weight_bytes,
            plan_of({k28B, "--gpus", "1x24G", "--quantization", "wint4"}).memory.weight_bytes);
  EXPECT_THAT(plan_text(o, *o.devices, plan), HasSubstr("int4 experts, int8 elsewhere"));
  EXPECT_EQ(plan_table(o).quantizations, Args{"stored"});
  EXPECT_EQ(plan_table(o).rows[0].kv_tokens[0], plan.memory.num_blocks * 64);
}

// Sizes of the public models, in bfloat16 two bytes a parameter.
TEST(Plan, PartsAreThoseOfTheModel) {
  const ModelPlan plan = plan_of({k28B, "--gpus", "1x141G"});
  const auto parameters = [&](model::WeightPart part) {
    return plan.whole[static_cast<size_t>(part)].parameters;
  };
  using enum model::WeightPart;
  EXPECT_EQ(parameters(kEmbeddings), 103424 * 2560);
  EXPECT_EQ(parameters(kTextExperts), int64_t{27} * 64 * 3 * 1536 * 2560);
  EXPECT_EQ(parameters(kVisionExperts), int64_t{27} * 64 * 3 * 512 * 2560);
  EXPECT_EQ(parameters(kSharedExperts), int64_t{27} * 3 * 3072 * 2560);
  EXPECT_EQ(parameters(kDenseMlp), int64_t{3} * 12288 * 2560);
  EXPECT_EQ(parameters(kAttention), int64_t{28} * (2560 + 2 * 512 + 2560) * 2560);
}

TEST(Plan, TheWholeModelFitsTwoGpusInFourBits) {
  const Args wint4{k424B, "--quantization", "wint4", "--gpus"};
  const auto on = [&](const char* gpus) {
    Args args = wint4;
    args.emplace_back(gpus);
    return plan_of(args);
  };
  const ModelPlan two = on("2x141G");
  EXPECT_TRUE(two.fits()) << two.problem;
  EXPECT_GT(two.memory.num_blocks * 64, 100'000);
  const ModelPlan one = on("1x141G");
  EXPECT_THAT(one.problem, HasSubstr("not enough memory: weights take"));
  EXPECT_GT(one.memory.weight_bytes, one.memory.budget_bytes);
}

TEST(Plan, AdviceIsThatOfAStart) {
  const ModelPlan plan = plan_of({k28B, "--gpus", "1x24G", "--quantization", "wint4",
                                  "--max-model-len", "131072", "--max-num-batched-tokens", "2048"});
  ASSERT_FALSE(plan.fits());
  const size_t at = plan.problem.find("--max-model-len ");
  ASSERT_NE(at, std::string::npos) << plan.problem;
  const std::string fits = plan.problem.substr(at + 16, plan.problem.find(' ', at + 16) - at - 16);
  EXPECT_TRUE(plan_of({k28B, "--gpus", "1x24G", "--quantization", "wint4", "--max-model-len", fits,
                       "--max-num-batched-tokens", "2048"})
                  .fits())
      << fits;
}

TEST(Plan, TextOnlyDropsTheVisionParts) {
  const ModelPlan all = plan_of({k28B, "--gpus", "1x80G"});
  const ModelPlan text =
      plan_of({k28B, "--gpus", "1x80G", "--limit-mm-per-prompt", R"({"image": 0, "video": 0})"});
  for (const auto part : {model::WeightPart::kVision, model::WeightPart::kVisionExperts}) {
    EXPECT_GT(bytes_of(all.whole, part), 0u);
    EXPECT_EQ(bytes_of(text.whole, part), 0u);
  }
  EXPECT_EQ(text.memory.encoder_cache_bytes, 0u);
  EXPECT_GT(text.memory.num_blocks, all.memory.num_blocks);
}

TEST(Plan, JsonHasNumbersAndTextSaysWhetherItFits) {
  for (const char* gpus : {"2x80G", "1x24G"}) {
    const PlanOptions o = options_of({k28B, "--gpus", gpus});
    const ModelPlan plan = plan_of(o);
    const auto json = boost::json::parse(plan_json(o, *o.devices, plan)).as_object();
    EXPECT_EQ(json.at("fits").as_bool(), plan.fits());
    EXPECT_EQ(json.at("each_weight_bytes").at("total").to_number<size_t>(),
              plan.memory.weight_bytes);
    EXPECT_EQ(json.at("kv_tokens").to_number<int64_t>(), plan.memory.num_blocks * 64);
    EXPECT_EQ(json.at("devices").at("reserved_bytes").to_number<size_t>(), size_t{550} << 20);
    EXPECT_EQ(json.contains("problem"), !plan.fits());
    const std::string text = plan_text(o, *o.devices, plan);
    EXPECT_THAT(text, HasSubstr(plan.fits() ? "\nFits: " : "\nDoes not fit: "));
    EXPECT_THAT(text, HasSubstr("550 MiB reserved"));
    EXPECT_THAT(text, HasSubstr("head tied to the embedding, assumed from"));
  }
}

TEST(Plan, WithoutGpusATableSaysWhatFitsWhere) {
  const PlanOptions o = options_of({k424B});
  const PlanTable table = plan_table(o);
  EXPECT_THAT(table.quantizations, testing::ElementsAre("bf16", "wint8", "wint4"));
  ASSERT_EQ(table.rows.size(), 10u);
  for (const PlanTable::Row& row : table.rows) {
    if (row.gpus == "1x141G") {
      EXPECT_THAT(row.kv_tokens, testing::Each(0));
    }
    if (row.gpus == "2x141G") {
      EXPECT_EQ(row.kv_tokens[0], 0);
      EXPECT_GT(row.kv_tokens[2], 100'000);
    }
  }
  EXPECT_TRUE(table.any_fits());
  EXPECT_THAT(table_text(o, table), HasSubstr("2x141G"));
  const auto json = boost::json::parse(table_json(o, table));
  EXPECT_EQ(json.at("table").as_array().size(), 10u);
  EXPECT_EQ(plan_table(options_of({k28B, "--quantization", "wint4-g64"})).quantizations,
            Args{"wint4-g64"});
}

TEST(Plan, ReadsAConfigurationWithoutWeights) {
  const Args checkpoint{"tests/golden/model/tiny-a", "--gpus", "1x24G"};
  const PlanOptions with = options_of(checkpoint);
  EXPECT_TRUE(with.has_checkpoint);
  const PlanOptions without = options_of({"tests/golden/model/tiny-a/config.json"});
  EXPECT_FALSE(without.has_checkpoint);
  EXPECT_TRUE(plan_of(checkpoint).fits());
}

}  // namespace
}  // namespace ernie::app
