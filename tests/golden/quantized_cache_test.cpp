// Models with a quantised cache: against themselves however the work is cut, and against a cache in
// float32.

#include <gtest/gtest.h>

#include <thread>

#include "golden_run.h"
#include "test_device.h"

namespace ernie {
namespace {

using namespace golden;  // NOLINT(google-build-using-namespace)
using model::testing::PromptRunner;

// Where products of other numbers of rows or ranks add in another order, a last bit may move an
// element to the next cell.
float moved_cells() { return tests_use_cuda() ? 0.1f : 0.0f; }

class QuantizedCache : public ::testing::TestWithParam<std::tuple<const char*, KvType>> {
 protected:
  QuantizedCache() : cases_(load_cases(checkpoint())) {
    std::erase_if(cases_, [](const Case& c) { return c.input_ids.size() > 150; });
    if (cases_.size() > 4) cases_.resize(4);
    for (Case& c : cases_) c.greedy_ids.resize(std::min<size_t>(c.greedy_ids.size(), 4));
  }

  static const char* checkpoint() { return std::get<0>(GetParam()); }
  static KvType type() { return std::get<1>(GetParam()); }

  // Outcomes of rank 0.
  std::vector<Outcome> run(int ranks, std::optional<KvType> kv_cache) const {
    const TestRanks devices = make_test_ranks(ranks);
    auto comms = devices.make_communicators(ranks);
    std::vector<Outcome> outcomes;
    std::vector<std::jthread> threads;
    for (int r = 0; r < ranks; ++r) {
      threads.emplace_back([&, r] {
        const auto backend = devices.make_backend(r);
        Loaded loaded(checkpoint(), DType::kF32, *backend, *comms[r]);
        for (const Case& c : cases_) {
          Outcome outcome = loaded.run(c, kv_cache);
          if (r == 0) outcomes.push_back(std::move(outcome));
        }
      });
    }
    threads.clear();
    return outcomes;
  }

  std::vector<Case> cases_;
};

// Weights are random and routers may choose other experts, so single logits may differ by much.
TEST_P(QuantizedCache, LogitsStayNearThoseOfAFloat32Cache) {
  const std::vector<Outcome> quantized = run(1, type()), values = run(1, {});
  double difference = 0, all = 0;
  const auto add = [&](std::span<const float> a, std::span<const float> b) {
    for (size_t i = 0; i < b.size(); ++i) {
      difference += std::pow(double{a[i]} - b[i], 2);
      all += std::pow(b[i], 2);
    }
  };
  for (size_t i = 0; i < cases_.size(); ++i) {
    add(quantized[i].prompt_logits, values[i].prompt_logits);
    for (size_t s = 0; s < values[i].step_logits.size(); ++s) {
      add(quantized[i].step_logits[s], values[i].step_logits[s]);
    }
  }
  const double relative = std::sqrt(difference / all);
  EXPECT_GT(relative, 0);
  EXPECT_LE(relative, type() == KvType::kInt8 ? 0.1 : 0.2);
  std::printf("%s, %s: relative difference %.2e\n", checkpoint(), kv_type_name(type()), relative);
}

TEST_P(QuantizedCache, ChunkedPromptGivesTheLogitsOfTheWhole) {
  const auto backend = make_test_backend(0, 2);
  const auto comm = make_single_communicator();
  Loaded loaded(checkpoint(), DType::kF32, *backend, *comm);
  for (const Case& c : cases_) {
    SCOPED_TRACE(c.name);
    const model::Prompt prompt = loaded.prompt(c);
    const int n = static_cast<int>(prompt.tokens.size());
    const PromptRunner::Args args{
        .model = loaded.model(), .backend = *backend, .max_tokens = kMaxTokens, .kv_cache = type()};
    PromptRunner whole(args), chunked(args);
    std::vector<float> parts;
    for (int begin = 0; begin < n; begin += 7) {  // also cuts images
      const std::vector<float> part = chunked.run(prompt, begin, std::min(begin + 7, n));
      parts.insert(parts.end(), part.begin(), part.end());
    }
    EXPECT_LE(max_difference(parts, whole.run(prompt)), std::max(moved_cells(), 1e-4f));
  }
}

TEST_P(QuantizedCache, TwoRanksHaveTheLogitsOfOne) {
  if (!has_devices_for(2)) GTEST_SKIP() << "needs 2 GPUs";
  if (std::string_view(checkpoint()) == "tiny-b") GTEST_SKIP() << "two ranks would cut heads";
  const std::vector<Outcome> two = run(2, type()), one = run(1, type());
  for (size_t i = 0; i < cases_.size(); ++i) {
    EXPECT_LE(max_difference(two[i].prompt_logits, one[i].prompt_logits),
              std::max(moved_cells(), 1e-4f))
        << cases_[i].name;
  }
}

INSTANTIATE_TEST_SUITE_P(Types, QuantizedCache,
                         ::testing::Combine(::testing::Values("tiny-a", "tiny-b", "tiny-text",
                                                              "tiny-moe-text"),
                                            ::testing::Values(KvType::kInt8, KvType::kFp8)),
                         [](const auto& test) {
                           std::string name = std::get<0>(test.param);
                           std::ranges::replace(name, '-', '_');
                           return name + "_" + kv_type_name(std::get<1>(test.param));
                         });

}  // namespace
}  // namespace ernie
