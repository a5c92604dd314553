#include <algorithm>
#include <map>
#include <numeric>

#include "tests/ops/op_fixture.h"

namespace ernie::op_tests {
namespace {

using ops::SampleResult;
using ops::SampleRow;

class SamplerTest : public testing::TestWithParam<OpCase> {
 protected:
  SamplerTest() : backend_(GetParam().make_backend()) {}

  std::vector<SampleResult> run(std::vector<float> logits, const std::vector<SampleRow>& rows) {
    const int64_t n = static_cast<int64_t>(rows.size());
    const int64_t vocab = static_cast<int64_t>(logits.size()) / n;
    return backend_->sample({logits.data(), DType::kF32, {n, vocab}}, rows);
  }
  SampleResult run_one(const std::vector<float>& logits, const SampleRow& row) {
    return run(logits, {row})[0];
  }
  static std::vector<float> random_logits(size_t n, double scale = 2.0, unsigned seed = 1) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0, static_cast<float>(scale));
    std::vector<float> logits(n);
    for (float& v : logits) v = normal(random);
    return logits;
  }

  std::unique_ptr<ops::Backend> backend_;
};

SampleRow greedy() {
  SampleRow row;
  row.options.temperature = 0;
  return row;
}

// The distribution that the definition in ops/sampling.h gives, by plain sorting in float64.
std::vector<double> exact_distribution(const std::vector<float>& logits, const SampleRow& row) {
  const size_t n = logits.size();
  std::vector<double> p(n);
  const float top = *std::max_element(logits.begin(), logits.end());
  for (size_t i = 0; i < n; ++i) {
    p[i] = std::exp(static_cast<double>(logits[i] - top) / row.options.temperature);
    if (p[i] < row.options.min_p) p[i] = 0;
  }
  std::vector<size_t> order(n);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return p[a] > p[b]; });
  if (row.options.top_k > 0) {
    for (size_t i = static_cast<size_t>(row.options.top_k); i < n; ++i) p[order[i]] = 0;
  }
  const double mass = std::accumulate(p.begin(), p.end(), 0.0);
  double ahead = 0;
  for (size_t i : order) {
    const double v = p[i];
    if (row.options.top_p < 1 && ahead >= row.options.top_p * mass) p[i] = 0;
    ahead += v;
  }
  const double kept = std::accumulate(p.begin(), p.end(), 0.0);
  for (double& v : p) v /= kept;
  return p;
}

TEST_P(SamplerTest, DrawsFromTheExactDistribution) {
  struct Setting {
    float temperature, top_p, min_p;
    int top_k;
  };
  const Setting settings[] = {{1, 1, 0, 0},        {0.7f, 1, 0, 0},      {1, 0.8f, 0, 0},
                              {1, 1, 0, 5},        {1, 0.9f, 0, 12},     {1.3f, 1, 0.1f, 0},
                              {1, 0.7f, 0.05f, 0}, {1, 0.85f, 0.02f, 9}, {1, 0.3f, 0, 0}};
  constexpr int kDraws = 20000;
  constexpr int kVocab = 50;
  std::vector<float> logits = random_logits(kVocab);
  for (size_t i = 0; i < 12; ++i) logits[i * 3] = logits[0];  // ties, as bfloat16 gives
  for (const Setting& s : settings) {
    const SampleRow row{.options = {.temperature = s.temperature,
                                    .top_p = s.top_p,
                                    .top_k = s.top_k,
                                    .min_p = s.min_p,
                                    .seed = 42}};
    const std::vector<double> p = exact_distribution(logits, row);
    std::vector<int> counts(kVocab);
    constexpr int kBatch = 500;
    std::vector<float> batch;
    for (int i = 0; i < kBatch; ++i) batch.insert(batch.end(), logits.begin(), logits.end());
    for (int first = 0; first < kDraws; first += kBatch) {
      std::vector<SampleRow> rows(kBatch, row);
      for (int i = 0; i < kBatch; ++i) {
        rows[static_cast<size_t>(i)].position = static_cast<uint64_t>(first + i);
      }
      for (const SampleResult& r : run(batch, rows)) {
        ASSERT_FALSE(r.numeric_fault);
        ++counts[static_cast<size_t>(r.token)];
      }
    }
    // Pearson's statistic is about normal(n, 2n) for n degrees of freedom: 5 sigma.
    double statistic = 0;
    int cells = 0;
    for (size_t i = 0; i < kVocab; ++i) {
      if (p[i] == 0) {
        ASSERT_EQ(counts[i], 0) << "token " << i << " was cut off but drawn";
        continue;
      }
      const double expected = p[i] * kDraws;
      statistic += std::pow(counts[i] - expected, 2) / expected;
      ++cells;
    }
    const double freedom = std::max(1, cells - 1);
    EXPECT_LT(statistic, freedom + 5 * std::sqrt(2 * freedom))
        << "temperature " << s.temperature << ", top_p " << s.top_p << ", top_k " << s.top_k
        << ", min_p " << s.min_p;
  }
}

TEST_P(SamplerTest, TiesAtTheEdgeOfTheNucleusGoToTheSmallerIds) {
  const std::vector<float> logits(8, 1.0f);
  SampleRow row{.options = {.top_p = 0.5f, .seed = 11}};
  int seen = 0;
  for (row.position = 0; row.position < 200; ++row.position) {
    const int32_t token = run_one(logits, row).token;
    ASSERT_LT(token, 4);
    seen |= 1 << token;
  }
  EXPECT_EQ(seen, 15);
}

TEST_P(SamplerTest, LargeVocabularyStaysInsideTheNucleus) {
  constexpr size_t kVocab = 103424;
  const std::vector<float> logits = random_logits(kVocab, 3.0);
  for (float top_p : {0.2f, 0.9f, 0.999f}) {
    for (int top_k : {0, 1000}) {
      SampleRow row{.options = {.top_p = top_p, .top_k = top_k, .seed = 7}};
      const std::vector<double> p = exact_distribution(logits, row);
      for (row.position = 0; row.position < 10; ++row.position) {
        const SampleResult r = run_one(logits, row);
        ASSERT_GT(p[static_cast<size_t>(r.token)], 0) << top_p << " " << top_k;
      }
    }
  }
}

TEST_P(SamplerTest, DependsOnlyOnLogitsParametersSeedAndPosition) {
  const std::vector<float> logits = random_logits(1000);
  std::vector<float> batch;
  std::vector<SampleRow> rows;
  for (uint64_t i = 0; i < 16; ++i) {
    batch.insert(batch.end(), logits.begin(), logits.end());
    rows.push_back({.options = {.top_p = 0.95f, .seed = 5 + i % 3}, .position = i / 3});
  }
  const auto together = run(batch, rows);
  std::map<int32_t, int> seen;
  for (size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(run_one(logits, rows[i]).token, together[i].token);
    ++seen[together[i].token];
  }
  EXPECT_GT(seen.size(), 8u) << "seed or position is ignored";
}

TEST_P(SamplerTest, GreedyTakesTheSmallestIdOnATie) {
  std::vector<float> logits(5000, -1.0f);
  logits[4321] = logits[1234] = logits[1235] = 2.0f;
  EXPECT_EQ(run_one(logits, greedy()).token, 1234);
  SampleRow zero_top_p;
  zero_top_p.options.top_p = 0;
  EXPECT_EQ(run_one(logits, zero_top_p).token, 1234);
  SampleRow one;
  one.options.top_k = 1;
  EXPECT_EQ(run_one(logits, one).token, 1234);
}

TEST_P(SamplerTest, ProcessesInTheDocumentedOrder) {
  std::vector<float> logits(40, 0.0f);
  logits[3] = 4;
  logits[4] = 3.5f;
  logits[5] = -1;
  SampleRow row = greedy();
  EXPECT_EQ(run_one(logits, row).token, 3);

  const std::vector<int32_t> banned = {3, -5, 4000};
  row.banned_tokens = banned;
  EXPECT_EQ(run_one(logits, row).token, 4);

  const std::vector<ops::TokenBias> bias = {{3, 100.0f}, {7, 3.6f}};
  row.biases = bias;  // cannot save a banned token
  EXPECT_EQ(run_one(logits, row).token, 7);

  row = greedy();
  std::vector<ops::TokenCount> counts = {{3, 0}, {4, 3}};
  row.counts = counts;
  row.options.repetition_penalty = 1.2f;  // 4 / 1.2 = 3.33, 3.5 / 1.2 = 2.92, once each
  EXPECT_EQ(run_one(logits, row).token, 3);
  const std::vector<ops::TokenBias> between = {{9, 3.2f}};
  row.biases = between;
  EXPECT_EQ(run_one(logits, row).token, 3);
  row.options.repetition_penalty = 1.3f;
  EXPECT_EQ(run_one(logits, row).token, 9);

  row = greedy();
  counts = {{3, 2}, {4, 0}};  // frequency and presence look at the output only
  row.counts = counts;
  row.options.frequency_penalty = 0.2f;  // 4 - 0.4
  EXPECT_EQ(run_one(logits, row).token, 3);
  row.options.frequency_penalty = 0.3f;  // 4 - 0.6
  EXPECT_EQ(run_one(logits, row).token, 4);
  row.options.frequency_penalty = 0;
  row.options.presence_penalty = 0.4f;
  EXPECT_EQ(run_one(logits, row).token, 3);
  row.options.presence_penalty = 0.6f;
  EXPECT_EQ(run_one(logits, row).token, 4);

  row = greedy();
  row.forced_token = 17;
  row.banned_tokens = banned;
  EXPECT_EQ(run_one(logits, row).token, 17);
}

TEST_P(SamplerTest, NegativeLogitsAreRepeatedLessLikelyToo) {
  std::vector<float> logits = {-1.0f, -1.1f};
  SampleRow row = greedy();
  const std::vector<ops::TokenCount> counts = {{0, 0}};
  row.counts = counts;
  row.options.repetition_penalty = 1.5f;
  EXPECT_EQ(run_one(logits, row).token, 1);
}

TEST_P(SamplerTest, LogprobsAreOfTheRawLogits) {
  const std::vector<float> logits = random_logits(1003, 2.0, 3);
  double sum = 0;
  for (float v : logits) sum += std::exp(static_cast<double>(v));
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)];
  });
  SampleRow row{.options = {.temperature = 0.3f, .top_p = 0.5f, .seed = 3, .top_logprobs = 7}};
  const std::vector<ops::TokenBias> bias = {{500, 50.0f}};
  row.biases = bias;
  const SampleResult r = run_one(logits, row);
  EXPECT_EQ(r.token, 500);
  EXPECT_NEAR(r.logprob, logits[500] - std::log(sum), 1e-5);
  ASSERT_EQ(r.top.size(), 7u);
  for (size_t i = 0; i < 7; ++i) {
    EXPECT_EQ(r.top[i].token, order[i]);
    EXPECT_NEAR(r.top[i].logprob, logits[static_cast<size_t>(order[i])] - std::log(sum), 1e-5);
  }
  row.options.top_logprobs = 0;
  EXPECT_TRUE(run_one(logits, row).top.empty());
  EXPECT_NEAR(run_one(logits, row).logprob, r.logprob, 0);
  row.forced_token = 2;
  EXPECT_NEAR(run_one(logits, row).logprob, logits[2] - std::log(sum), 1e-5);
}

TEST_P(SamplerTest, ForcedTokensHaveARank) {
  std::vector<float> logits = random_logits(1003, 2.0, 3);
  logits[10] = logits[20] = 30.0f;
  logits[30] = 40.0f;
  SampleRow row{.options = {.top_logprobs = 3}};
  const auto rank = [&](int32_t token) {
    row.forced_token = token;
    return run_one(logits, row).rank;
  };
  EXPECT_EQ(rank(30), 1);
  EXPECT_EQ(rank(10), 2);
  EXPECT_EQ(rank(20), 2);  // equals have the same
  const auto smaller = [&](float v) { return v > logits[7]; };
  EXPECT_EQ(rank(7), std::ranges::count_if(logits, smaller) + 1);
  row.forced_token = -1;
  EXPECT_EQ(run_one(logits, row).rank, 0);
}

TEST_P(SamplerTest, DrawsAllowedTokensOnlyAndTheirLogprobsAreOfThem) {
  constexpr size_t kVocab = 1003;
  const std::vector<float> logits = random_logits(kVocab, 2.0, 3);
  std::vector<uint32_t> allowed((kVocab + 31) / 32);
  double sum = 0;
  for (const size_t token : {5u, 31u, 32u, 700u, 1002u}) {
    allowed[token / 32] |= 1u << (token % 32);
    sum += std::exp(static_cast<double>(logits[token]));
  }
  const auto is_allowed = [&](int32_t token) {
    return (allowed[static_cast<size_t>(token) / 32] >> (token % 32) & 1) != 0;
  };
  std::vector<float> batch;
  std::vector<SampleRow> rows;
  for (uint64_t i = 0; i < 40; ++i) {
    batch.insert(batch.end(), logits.begin(), logits.end());
    rows.push_back({.options = {.temperature = 3, .top_logprobs = 20}, .position = i});
    if (i % 4 != 3) rows.back().allowed = allowed;
  }
  std::map<int32_t, int> seen;
  int others = 0;
  const auto results = run(batch, rows);
  for (size_t i = 0; i < rows.size(); ++i) {
    if (rows[i].allowed.empty()) {
      others += !is_allowed(results[i].token);
      EXPECT_EQ(results[i].top.size(), 20u);
      continue;
    }
    ASSERT_TRUE(is_allowed(results[i].token)) << results[i].token;
    ++seen[results[i].token];
    EXPECT_NEAR(results[i].logprob, logits[static_cast<size_t>(results[i].token)] - std::log(sum),
                1e-5);
    ASSERT_EQ(results[i].top.size(), 5u);
    for (const auto& [token, logprob] : results[i].top) {
      EXPECT_TRUE(is_allowed(token));
      EXPECT_NEAR(logprob, logits[static_cast<size_t>(token)] - std::log(sum), 1e-5);
    }
  }
  EXPECT_GE(seen.size(), 4u);
  EXPECT_GE(others, 8);

  SampleRow forced{.forced_token = 6, .allowed = allowed};
  EXPECT_EQ(run_one(logits, forced).token, 6);
  const std::vector<uint32_t> none(allowed.size());
  const SampleRow nothing{.allowed = none};
  EXPECT_TRUE(run_one(logits, nothing).numeric_fault);
}

TEST_P(SamplerTest, FaultsAreReportedForTheirRowOnly) {
  for (float temperature : {0.0f, 1.0f}) {
    for (size_t vocab : {3u, 33u, 4100u}) {
      for (size_t at : {size_t{0}, vocab / 2, vocab - 1}) {
        std::vector<float> logits = random_logits(2 * vocab);
        logits[at] = std::nanf("");
        SampleRow row;
        row.options.temperature = temperature;
        const auto r = run(logits, {row, row});
        EXPECT_TRUE(r[0].numeric_fault) << vocab << " " << at;
        EXPECT_EQ(r[0].token, -1);
        EXPECT_FALSE(r[1].numeric_fault);
        EXPECT_GE(r[1].token, 0);
        row.options.top_logprobs = 1;
        EXPECT_TRUE(run(logits, {row, row})[0].numeric_fault);
      }
    }
    SampleRow row;
    row.options.temperature = temperature;
    const std::vector<int32_t> all = {0, 1, 2};
    row.banned_tokens = all;
    EXPECT_TRUE(run_one({1, 2, 3}, row).numeric_fault);
    EXPECT_FALSE(run_one({1, 2, 3, 4}, row).numeric_fault);
    EXPECT_EQ(run_one({1, 2, 3, -50}, row).token, 3);
  }
}

TEST_P(SamplerTest, MinusInfinityIsAnOrdinaryLogit) {
  std::vector<float> logits(70, -INFINITY);
  logits[66] = -2;
  const SampleRow row{.options = {.top_p = 0.9f, .top_k = 4, .top_logprobs = 2}};
  const SampleResult r = run_one(logits, row);
  EXPECT_EQ(r.token, 66);
  EXPECT_NEAR(r.logprob, 0, 1e-6);
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(SamplerTest);  // as ERNIE_OP_TABLE
INSTANTIATE_TEST_SUITE_P(Table, SamplerTest, testing::ValuesIn(sampling_cases()), op_case_name);

}  // namespace
}  // namespace ernie::op_tests
