#include <gtest/gtest.h>

#include "serve/testing/test_service.h"
#include "text/test_support.h"

namespace ernie::serve {
namespace {

Result<GenerationDefaults> load(const std::string& json) {
  const text::TempFolder folder;
  folder.write("generation_config.json", json);
  return load_generation_defaults(folder.path(), *tiny_tokenizer());
}

TEST(GenerationDefaults, AreReadFromTheCheckpoint) {
  const auto defaults = *load_generation_defaults(kTinyModel, *tiny_tokenizer());
  EXPECT_EQ(defaults.temperature, 0.8f);
  EXPECT_EQ(defaults.top_p, 0.8f);
  EXPECT_EQ(defaults.repetition_penalty, 1.0f);
  EXPECT_EQ(defaults.eos_token_ids, (std::vector<int32_t>{2, 643}));
}

TEST(GenerationDefaults, WithoutAFileAreTheServersAndTheTokenizersEnds) {
  const text::TempFolder folder;
  const auto defaults = *load_generation_defaults(folder.path(), *tiny_tokenizer());
  EXPECT_EQ(defaults.temperature, 1.0f);
  EXPECT_EQ(defaults.top_p, 0.7f);
  EXPECT_EQ(defaults.eos_token_ids, (std::vector<int32_t>{id("</s>"), id("<|end_of_sentence|>")}));
}

TEST(GenerationDefaults, EverySettingOfADrawIsReadFromTheFile) {
  const auto defaults = *load(R"({"temperature": 0.6, "top_p": 0.95, "top_k": 20, "min_p": 0.05,
      "repetition_penalty": 1.2, "frequency_penalty": 0.5, "presence_penalty": -0.25})");
  EXPECT_EQ(defaults.temperature, 0.6f);
  EXPECT_EQ(defaults.top_p, 0.95f);
  EXPECT_EQ(defaults.top_k, 20);
  EXPECT_EQ(defaults.min_p, 0.05f);
  EXPECT_EQ(defaults.repetition_penalty, 1.2f);
  EXPECT_EQ(defaults.frequency_penalty, 0.5f);
  EXPECT_EQ(defaults.presence_penalty, -0.25f);
}

TEST(GenerationDefaults, AFileThatSaysNothingOfASettingTurnsItOff) {
  for (const char* json : {"{}", R"({"top_p": null, "top_k": null, "min_p": null})"}) {
    const auto defaults = *load(json);
    EXPECT_EQ(defaults.temperature, 1.0f);
    EXPECT_EQ(defaults.top_p, 1.0f) << "without a file it is 0.7";
    EXPECT_EQ(defaults.top_k, 0);
    EXPECT_EQ(defaults.min_p, 0.0f);
    EXPECT_EQ(defaults.repetition_penalty, 1.0f);
    EXPECT_EQ(defaults.frequency_penalty, 0.0f);
    EXPECT_EQ(defaults.presence_penalty, 0.0f);
  }
}

TEST(GenerationDefaults, TopKOfMinusOneIsOff) {
  EXPECT_EQ(load(R"({"top_k": -1})")->top_k, 0);
  EXPECT_EQ(load(R"({"top_k": 0})")->top_k, 0);
}

TEST(GenerationDefaults, NoSamplingMeansGreedy) {
  EXPECT_EQ(load(R"({"do_sample": false, "temperature": 0.8})")->temperature, 0.0f);
  EXPECT_EQ(load(R"({"do_sample": true, "temperature": 0.8})")->temperature, 0.8f);
}

TEST(GenerationDefaults, OneEndTokenOrSeveral) {
  EXPECT_EQ(load(R"({"eos_token_id": 5})")->eos_token_ids, (std::vector<int32_t>{2, 5, 643}));
  EXPECT_EQ(load(R"({"eos_token_id": [9, 5, 2]})")->eos_token_ids,
            (std::vector<int32_t>{2, 5, 9, 643}));
  EXPECT_TRUE(load(R"({"eos_token_id": null, "top_k": 20})"));
}

// A78
TEST(GenerationDefaults, ABrokenFileIsNamedWithItsKey) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "expected JSON"},
      {"{", "expected JSON"},
      {"[]", "JSON object"},
      {R"({"temperature": "hot"})", "temperature"},
      {R"({"temperature": -1})", "temperature"},
      {R"({"top_p": 2})", "top_p"},
      {R"({"top_k": -3})", "top_k"},
      {R"({"top_k": 1.5})", "top_k"},
      {R"({"min_p": 1.5})", "min_p"},
      {R"({"frequency_penalty": 3})", "frequency_penalty"},
      {R"({"presence_penalty": "much"})", "presence_penalty"},
      {R"({"do_sample": "no"})", "do_sample"},
      {R"({"repetition_penalty": 0})", "repetition_penalty"},
      {R"({"eos_token_id": "</s>"})", "eos_token_id"},
      {R"({"eos_token_id": [2, -1]})", "eos_token_id"},
      {R"({"eos_token_id": 1000000})", "eos_token_id"},
  };
  for (const auto& [json, expected] : cases) {
    const auto defaults = load(json);
    ASSERT_FALSE(defaults) << json;
    EXPECT_NE(defaults.error().message.find("generation_config.json"), std::string::npos) << json;
    EXPECT_NE(defaults.error().message.find(expected), std::string::npos)
        << defaults.error().message;
  }
}

}  // namespace
}  // namespace ernie::serve
