#include "serve/sampling.h"

#include <gtest/gtest.h>

#include <limits>
#include <set>

#include "serve/testing/test_service.h"

namespace ernie::serve {
namespace {

constexpr int kVocab = 736;
constexpr int kMaxLen = 512;

class Sampling : public testing::Test {
 protected:
  Result<engine::SamplingParams> make(const GenerationOptions& options,
                                      const std::string& prompt = "Hi",
                                      std::optional<int> reasoning = {}) const {
    return make_sampling_params(
        options, ids(prompt), {.tokens = reasoning},
        {tiny_tokenizer().get(), &defaults_, kVocab, kMaxLen, max_logprobs_, limits_});
  }
  std::string param_of_error(const GenerationOptions& options) const {
    const auto params = make(options);
    return params ? "" : params.error().param;
  }

  int max_logprobs_ = 20;
  ops::SamplerLimits limits_{.top_logprobs = 32, .logit_biases = 4, .banned_tokens = 4096};
  GenerationDefaults defaults_{.temperature = 0.8f,
                               .top_p = 0.9f,
                               .top_k = 5,
                               .min_p = 0.02f,
                               .repetition_penalty = 1.1f,
                               .frequency_penalty = 0.2f,
                               .presence_penalty = 0.3f,
                               .eos_token_ids = {2, 643}};
};

TEST_F(Sampling, AbsentOptionsTakeTheModelsDefaults) {
  const auto params = *make({});
  EXPECT_EQ(params.options.temperature, 0.8f);
  EXPECT_EQ(params.options.top_p, 0.9f);
  EXPECT_EQ(params.options.top_k, 5);
  EXPECT_EQ(params.options.min_p, 0.02f);
  EXPECT_EQ(params.options.repetition_penalty, 1.1f);
  EXPECT_EQ(params.options.frequency_penalty, 0.2f);
  EXPECT_EQ(params.options.presence_penalty, 0.3f);
  EXPECT_EQ(params.stop_token_ids, (std::vector<int32_t>{2, 643}));
  EXPECT_EQ(params.options.top_logprobs, -1);
  EXPECT_EQ(params.max_tokens, kMaxLen - static_cast<int>(ids("Hi").size()));
}

TEST_F(Sampling, OptionsOfTheRequestCount) {
  GenerationOptions options;
  options.temperature = 0.5f;
  options.top_p = 0.6f;
  options.top_k = 7;
  options.min_p = 0.1f;
  options.repetition_penalty = 1.2f;
  options.frequency_penalty = 0.3f;
  options.presence_penalty = 0.4f;
  options.seed = 11;
  options.max_tokens = 20;
  options.min_tokens = 30;
  options.top_logprobs = 3;
  options.stop_token_ids = {7};
  options.ignore_eos = true;
  const auto params = *make(options);
  EXPECT_EQ(params.options.temperature, 0.5f);
  EXPECT_EQ(params.options.top_p, 0.6f);
  EXPECT_EQ(params.options.top_k, 7);
  EXPECT_EQ(params.options.min_p, 0.1f);
  EXPECT_EQ(params.options.repetition_penalty, 1.2f);
  EXPECT_EQ(params.options.frequency_penalty, 0.3f);
  EXPECT_EQ(params.options.presence_penalty, 0.4f);
  EXPECT_EQ(params.options.seed, 11u);
  EXPECT_EQ(params.max_tokens, 20);
  EXPECT_EQ(params.min_tokens, 20) << "no more than max_tokens";
  EXPECT_EQ(params.options.top_logprobs, 3);
  EXPECT_EQ(params.stop_token_ids, (std::vector<int32_t>{7}));
}

TEST_F(Sampling, ARequestDrawsFromAModelThatIsGreedyByDefault) {
  defaults_.temperature = 0.0f;  // do_sample: false
  EXPECT_EQ(make({})->options.temperature, 0.0f);
  GenerationOptions options;
  options.temperature = 0.5f;
  EXPECT_EQ(make(options)->options.temperature, 0.5f);
}

TEST_F(Sampling, TopPZeroIsGreedy) {
  GenerationOptions options;
  options.top_p = 0.0f;
  EXPECT_EQ(make(options)->options.temperature, 0.0f);
}

TEST_F(Sampling, WithoutASeedEachRequestDrawsItsOwn) {
  EXPECT_NE(make({})->options.seed, make({})->options.seed);
}

TEST_F(Sampling, ChoicesHaveSeedsOfTheirOwn) {
  std::set<uint64_t> seeds;
  for (int i = 0; i < 128; ++i) seeds.insert(choice_seed(7, i));
  EXPECT_EQ(seeds.size(), 128u);
  EXPECT_EQ(choice_seed(7, 0), 7u) << "the first choice repeats an answer with n = 1";
  EXPECT_EQ(choice_seed(7, 3), choice_seed(7, 3));
}

TEST_F(Sampling, A35MaxTokensIsCutToTheContext) {
  GenerationOptions options;
  options.max_tokens = 1'000'000;
  EXPECT_EQ(make(options)->max_tokens, kMaxLen - static_cast<int>(ids("Hi").size()));
}

TEST_F(Sampling, MinTokensBeyondTheContextIsRefused) {
  GenerationOptions options;
  options.min_tokens = 512;
  EXPECT_EQ(param_of_error(options), "min_tokens");
}

TEST_F(Sampling, A37TopLogprobsHaveALimit) {
  GenerationOptions options;
  options.top_logprobs = 20;
  EXPECT_TRUE(make(options));
  options.top_logprobs = 21;
  EXPECT_EQ(param_of_error(options), "top_logprobs");
}

TEST_F(Sampling, WhatTheDeviceCannotDoIsRefused) {
  max_logprobs_ = std::numeric_limits<int>::max();
  GenerationOptions options;
  options.top_logprobs = 32;
  EXPECT_TRUE(make(options));
  options.top_logprobs = 33;
  EXPECT_EQ(param_of_error(options), "top_logprobs");
  options = {};
  for (int id = 0; id < 4; ++id) options.logit_bias.emplace_back(id, 1.0f);
  EXPECT_TRUE(make(options));
  options.logit_bias.emplace_back(4, 1.0f);
  EXPECT_EQ(param_of_error(options), "logit_bias");
  options = {};
  limits_.banned_tokens = 8;
  options.bad_words_token_ids = {10, 11, 12, 13, 14, 15};  // and two stop tokens
  EXPECT_TRUE(make(options));
  options.bad_words_token_ids.push_back(16);
  EXPECT_EQ(param_of_error(options), "bad_words");
}

TEST_F(Sampling, A38IdsMustBeOfTheVocabulary) {
  GenerationOptions options;
  options.logit_bias = {{735, 1.0f}};
  EXPECT_EQ(make(options)->logit_bias, options.logit_bias);
  options.logit_bias = {{736, 1.0f}};
  EXPECT_EQ(param_of_error(options), "logit_bias");
  options = {};
  options.stop_token_ids = {735};
  EXPECT_TRUE(make(options));
  options.stop_token_ids = {736};
  EXPECT_EQ(param_of_error(options), "stop_token_ids");
  options = {};
  options.bad_words_token_ids = {736};
  EXPECT_EQ(param_of_error(options), "bad_words_token_ids");
}

TEST_F(Sampling, A40BadWordsAreBannedAtTheStartAndAfterASpace) {
  using Words = std::vector<std::vector<int32_t>>;
  std::vector<std::string> words;
  std::vector<int32_t> extra;
  const auto banned = [&] { return make({.bad_words = words, .bad_words_token_ids = extra}); };
  words = {"he"};
  std::vector<int32_t> both{id("he"), id("\u2581he")};
  std::sort(both.begin(), both.end());
  EXPECT_EQ(banned()->bad_token_ids, both);
  EXPECT_TRUE(banned()->bad_words.empty());
  words = {"purple"};  // one token after a space only
  EXPECT_EQ(banned()->bad_token_ids, (std::vector<int32_t>{id("\u2581purple")}));
  EXPECT_EQ(banned()->bad_words, (Words{ids("purple")}));
  extra = {id("\u2581purple"), 9};
  EXPECT_EQ(banned()->bad_token_ids.size(), 2u) << "each id once";
  extra = {};
  words = {"several words", "several words"};
  Words forms{ids("several words"), ids(" several words")};
  std::sort(forms.begin(), forms.end());
  EXPECT_EQ(banned()->bad_words, forms);
  EXPECT_TRUE(banned()->bad_token_ids.empty());
  extra = {forms[0].back()};  // what is banned anyway needs no word
  EXPECT_TRUE(banned()->bad_words.empty());
}

TEST_F(Sampling, A40BadWordsHaveLimits) {
  GenerationOptions options;
  const auto repeated = [](size_t times) {
    std::string word;
    for (size_t i = 0; i < times; ++i) word += "9 ";
    return word + "9";
  };
  size_t most = 0;
  while (ids(" " + repeated(most + 1)).size() <= 16 && ids(repeated(most + 1)).size() <= 16) ++most;
  options.bad_words = {"he", repeated(most)};
  EXPECT_TRUE(make(options));
  options.bad_words = {"he", repeated(most + 1)};
  const auto refused = make(options);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().param, "bad_words");
  EXPECT_NE(refused.error().message.find("bad_words[1]"), std::string::npos);
  EXPECT_NE(refused.error().message.find("16"), std::string::npos);
  limits_.banned_tokens = 4;  // two of the word's forms and two stop tokens
  options.bad_words = {"several words"};
  EXPECT_TRUE(make(options));
  options.bad_words.push_back("other words");
  EXPECT_EQ(param_of_error(options), "bad_words");
}

TEST_F(Sampling, A40BanningEveryTokenIsRefused) {
  GenerationOptions options;
  for (int32_t id = 0; id < kVocab; ++id) options.bad_words_token_ids.push_back(id);
  EXPECT_EQ(param_of_error(options), "bad_words");
  options.bad_words_token_ids.pop_back();
  EXPECT_TRUE(make(options));
}

TEST_F(Sampling, A45ThinkingIsLimited) {
  GenerationOptions options;
  options.max_tokens = 100;
  const auto budget = [&](std::optional<int> reasoning) {
    return make(options, "<think>", reasoning)->thinking;
  };
  EXPECT_EQ(budget({}).max_tokens, 80);  // 80 %
  EXPECT_EQ(budget(5).max_tokens, 5);
  EXPECT_EQ(budget(0).max_tokens, 0);
  EXPECT_EQ(budget(1000).max_tokens, 100);
  EXPECT_EQ(budget({}).end_token, id("</think>"));
  EXPECT_EQ(tiny_tokenizer()->decode(budget({}).forced_tokens, /*skip_special=*/false),
            "\n</think>\n\n");
  options.max_tokens = 1;
  EXPECT_EQ(budget({}).max_tokens, 1);
}

TEST_F(Sampling, ThinkingThatThePromptDoesNotOpenHasNoLimit) {
  for (const char* prompt : {"Hi", "<think>\n\n</think>\n\n"}) {
    EXPECT_EQ(make({}, prompt, 5)->thinking.max_tokens, -1) << prompt;
  }
}

TEST_F(Sampling, ThinkingMayTakeAShareOfTheAnswer) {
  const auto budget = [&](double share) {
    return make_sampling_params(
               {.max_tokens = 20}, ids("<think>"), {.share = share},
               {tiny_tokenizer().get(), &defaults_, kVocab, kMaxLen, max_logprobs_, limits_})
        ->thinking.max_tokens;
  };
  EXPECT_EQ(budget(0.2), 4);
  EXPECT_EQ(budget(0.95), 19);
  EXPECT_EQ(budget(0.01), 1);
}

TEST_F(Sampling, APromptThatLeavesNoRoomIsRefused) {
  const auto params = make_sampling_params(
      {}, std::vector<int32_t>(kMaxLen, 5), {},
      {tiny_tokenizer().get(), &defaults_, kVocab, kMaxLen, max_logprobs_, limits_});
  ASSERT_FALSE(params);
  EXPECT_EQ(params.error().code, "context_length_exceeded");
  EXPECT_NE(params.error().message.find("prompt is too long"), std::string::npos);
}

}  // namespace
}  // namespace ernie::serve
