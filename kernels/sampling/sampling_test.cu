#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <string>
#include <vector>

#include "kernels/common/arch.h"
#include "kernels/sampling/sampling.h"
#include "kernels/sampling/sampling_reference.h"
#include "kernels/testing/testing.h"

namespace ernie::kernels {
namespace {

using testing::DeviceArray;
using testing::Random;

struct RunOptions {
  int max_rows = 0;    // 0: as many as there are requests
  int row_stride = 0;  // 0: vocab
  bool in_graph = false;
};

// Runs the kernel on rows of `logits` [requests, vocab].
std::vector<SampledRow> run(const std::vector<float>& logits, int vocab,
                            const std::vector<Request>& requests, const RunOptions& options = {}) {
  const int rows = static_cast<int>(requests.size());
  const int max_rows = options.max_rows > 0 ? options.max_rows : rows;
  const int stride = options.row_stride > 0 ? options.row_stride : vocab;
  const size_t words = (static_cast<size_t>(vocab) + 31) / 32;
  std::vector<SamplingRow> host_rows(static_cast<size_t>(max_rows));
  std::vector<TokenBias> biases(1);
  std::vector<int32_t> banned(1);
  std::vector<TokenCount> counts(1);
  std::vector<uint32_t> allowed(words * static_cast<size_t>(max_rows));
  std::vector<float> padded(static_cast<size_t>(stride) * static_cast<size_t>(max_rows),
                            std::nanf(""));
  for (int r = 0; r < rows; ++r) {
    const Request& request = requests[static_cast<size_t>(r)];
    SamplingRow& row = host_rows[static_cast<size_t>(r)];
    row = request.row;
    row.bias_begin = static_cast<int32_t>(biases.size());
    row.bias_count = static_cast<int32_t>(request.biases.size());
    biases.insert(biases.end(), request.biases.begin(), request.biases.end());
    row.banned_begin = static_cast<int32_t>(banned.size());
    row.banned_count = static_cast<int32_t>(request.banned.size());
    banned.insert(banned.end(), request.banned.begin(), request.banned.end());
    row.penalty_begin = static_cast<int32_t>(counts.size());
    row.penalty_count = static_cast<int32_t>(request.counts.size());
    counts.insert(counts.end(), request.counts.begin(), request.counts.end());
    row.allowed_row = request.allowed.empty() ? -1 : r;
    std::copy(request.allowed.begin(), request.allowed.end(),
              allowed.begin() + static_cast<int64_t>(words) * r);
    std::copy_n(logits.begin() + int64_t{r} * vocab, vocab, padded.begin() + int64_t{r} * stride);
  }
  const DeviceArray<float> device_logits(padded);
  const DeviceArray<SamplingRow> device_rows(host_rows);
  const DeviceArray<TokenBias> device_biases(biases);
  const DeviceArray<int32_t> device_banned(banned);
  const DeviceArray<TokenCount> device_counts(counts);
  const DeviceArray<uint32_t> device_allowed(allowed);
  const DeviceArray<int32_t> num_rows(std::vector<int32_t>{rows});
  const DeviceArray<uint8_t> workspace(
      std::max<size_t>(16, sampling_workspace_bytes(max_rows, vocab, arch())));
  const DeviceArray<int32_t> tokens(static_cast<size_t>(max_rows));
  const DeviceArray<SampledRow> results(static_cast<size_t>(max_rows));
  SamplingParams params;
  params.logits = device_logits.data();
  params.row_stride = stride;
  params.vocab = vocab;
  params.max_rows = max_rows;
  params.num_rows = num_rows.data();
  params.rows = device_rows.data();
  params.biases = device_biases.data();
  params.banned = device_banned.data();
  params.penalties = device_counts.data();
  params.allowed = device_allowed.data();
  params.workspace = workspace.data();
  params.tokens = tokens.data();
  params.results = results.data();
  const auto launches = [&](cudaStream_t stream) { return launch_sampling(params, stream); };
  if (options.in_graph) {
    testing::run_in_graph(launches, 3);
  } else {
    testing::run(launches);
  }
  testing::expect_same_bits(device_logits.download(), padded, "the logits must not change");
  std::vector<SampledRow> out = results.download();
  const std::vector<int32_t> out_tokens = tokens.download();
  for (int r = 0; r < max_rows; ++r) {
    EXPECT(out_tokens[static_cast<size_t>(r)] == out[static_cast<size_t>(r)].token,
           "row " + std::to_string(r) + ": token array and result differ");
    if (r >= rows) {
      EXPECT(out_tokens[static_cast<size_t>(r)] == -1, "a row that is not in use was written");
    }
  }
  out.resize(static_cast<size_t>(rows));
  return out;
}

SampledRow run_one(const std::vector<float>& logits, const Request& request) {
  return run(logits, static_cast<int>(logits.size()), {request})[0];
}

// Compares all rows with the reference. Returns how many random draws gave another token than the
// reference's; rounding lets some.
int compare(const std::vector<float>& logits, int vocab, const std::vector<Request>& requests,
            const std::vector<SampledRow>& results, const std::string& what) {
  int other = 0;
  for (size_t r = 0; r < requests.size(); ++r) {
    const std::string where = what + ", row " + std::to_string(r);
    const auto begin = logits.begin() + static_cast<int64_t>(r) * vocab;
    const Reference reference({begin, begin + vocab}, requests[r]);
    const SampledRow& result = results[r];
    EXPECT((result.fault == 1) == reference.fault(), where + ": fault");
    if (reference.fault() || result.fault != 0) {
      EXPECT(result.token == -1, where + ": a token in spite of a fault");
      continue;
    }
    if (reference.is_random()) {
      EXPECT(reference.possible(result.token),
             where + ": token " + std::to_string(result.token) + " cannot be drawn");
      other += result.token != reference.token();
    } else {
      EXPECT(result.token == reference.token(), where + ": token " + std::to_string(result.token) +
                                                    ", expected " +
                                                    std::to_string(reference.token()));
    }
    const int wanted = std::min(requests[r].row.top_logprobs, vocab);
    if (wanted < 0 || result.token < 0 || result.token >= vocab) continue;
    const auto close = [](double a, double b) {
      return a == b || std::abs(a - b) <= 2e-6 * std::abs(b) + 2e-6;
    };
    EXPECT(close(result.logprob, reference.logprob(result.token)),
           where + ": logprob " + std::to_string(result.logprob) + ", expected " +
               std::to_string(reference.logprob(result.token)));
    EXPECT(result.rank == reference.rank(), where + ": rank " + std::to_string(result.rank) +
                                                ", expected " + std::to_string(reference.rank()));
    EXPECT(result.top_count == wanted, where + ": top_count");
    for (int i = 0; i < std::min(wanted, result.top_count); ++i) {
      EXPECT(result.top_tokens[i] == reference.raw_at(i),
             where + ": place " + std::to_string(i) + " is token " +
                 std::to_string(result.top_tokens[i]) + ", expected " +
                 std::to_string(reference.raw_at(i)));
      EXPECT(close(result.top_logprobs[i], reference.logprob(reference.raw_at(i))),
             where + ": logprob of place " + std::to_string(i));
    }
  }
  return other;
}

std::vector<float> random_logits(Random& random, size_t count, double scale = 2.0) {
  return random.normal<float>(count, scale);
}

Request greedy() {
  Request request;
  request.row.temperature = 0;
  return request;
}

std::vector<float> repeat(const std::vector<float>& row, size_t times) {
  std::vector<float> all;
  for (size_t i = 0; i < times; ++i) all.insert(all.end(), row.begin(), row.end());
  return all;
}

KERNEL_TEST(GreedyTakesTheSmallestIdOfTheLargest) {
  for (int vocab : {1, 3, 33, 1000, 4099, 103424}) {
    std::vector<float> logits(static_cast<size_t>(vocab), -1.0f);
    EXPECT(run_one(logits, greedy()).token == 0, "vocab " + std::to_string(vocab));
    logits[static_cast<size_t>(vocab - 1)] = 3.0f;
    EXPECT(run_one(logits, greedy()).token == vocab - 1, "vocab " + std::to_string(vocab));
    logits[static_cast<size_t>(vocab / 2)] = 3.0f;
    logits[static_cast<size_t>(vocab * 3 / 4)] = 3.0f;
    Request zero_top_p;
    zero_top_p.row.top_p = 0;
    Request one;
    one.row.top_k = 1;
    for (const Request& request : {greedy(), zero_top_p, one}) {
      EXPECT(run_one(logits, request).token == vocab / 2, "vocab " + std::to_string(vocab));
    }
  }
}

KERNEL_TEST(ZerosOfBothSignsAreEqual) {
  std::vector<float> logits(300, -0.0f);
  logits[7] = 0.0f;
  Request request = greedy();
  request.row.top_logprobs = 4;
  const SampledRow result = run_one(logits, request);
  EXPECT(result.token == 0, std::to_string(result.token));
  for (int i = 0; i < 4; ++i) EXPECT(result.top_tokens[i] == i, "place " + std::to_string(i));
}

KERNEL_TEST(DrawsFromTheExactDistribution) {
  struct Setting {
    float temperature, top_p, min_p;
    int top_k;
  };
  const Setting settings[] = {{1, 1, 0, 0},        {0.7f, 1, 0, 0},      {1, 0.8f, 0, 0},
                              {1, 1, 0, 5},        {1, 0.9f, 0, 12},     {1.3f, 1, 0.1f, 0},
                              {1, 0.7f, 0.05f, 0}, {1, 0.85f, 0.02f, 9}, {1, 0.3f, 0, 0}};
  const int at_once = testing::is_sanitized() ? 50 : 500;
  const int draws = testing::is_sanitized() ? 50 : 20000;
  constexpr int kVocab = 50;
  Random random(1);
  std::vector<float> logits = random_logits(random, kVocab);
  for (size_t i = 0; i < 12; ++i) logits[i * 3] = logits[0];  // ties, as bfloat16 gives
  const std::vector<float> batch = repeat(logits, at_once);
  for (const Setting& s : settings) {
    Request request;
    request.row.temperature = s.temperature;
    request.row.top_p = s.top_p;
    request.row.min_p = s.min_p;
    request.row.top_k = s.top_k;
    request.row.seed = 42;
    const std::string what = "temperature " + std::to_string(s.temperature) + ", top_p " +
                             std::to_string(s.top_p) + ", min_p " + std::to_string(s.min_p) +
                             ", top_k " + std::to_string(s.top_k);
    std::vector<int> counts(kVocab);
    for (int first = 0; first < draws; first += at_once) {
      std::vector<Request> requests(at_once, request);
      for (int i = 0; i < at_once; ++i) {
        requests[static_cast<size_t>(i)].row.position = static_cast<uint64_t>(first + i);
      }
      for (const SampledRow& r : run(batch, kVocab, requests)) {
        if (r.fault != 0 || r.token < 0 || r.token >= kVocab) {
          EXPECT(false, what + ": token " + std::to_string(r.token));
          return;
        }
        ++counts[static_cast<size_t>(r.token)];
      }
    }
    // Pearson's statistic is about normal(n, 2n) for n degrees of freedom: 5 sigma.
    const std::vector<double> p = Reference(logits, request).distribution();
    double statistic = 0;
    int cells = 0;
    for (size_t i = 0; i < kVocab; ++i) {
      if (p[i] == 0) {
        EXPECT(counts[i] == 0, what + ": token " + std::to_string(i) + " was cut off but drawn");
        continue;
      }
      const double expected = p[i] * draws;
      statistic += (counts[i] - expected) * (counts[i] - expected) / expected;
      ++cells;
    }
    const double freedom = std::max(1, cells - 1);
    EXPECT(testing::is_sanitized() || statistic < freedom + 5 * std::sqrt(2 * freedom),
           what + ": chi-square " + std::to_string(statistic) + " of " + std::to_string(freedom));
  }
}

KERNEL_TEST(TiesAtAnEdgeGoToTheSmallerIds) {
  for (int vocab : {8, 5000}) {
    const std::vector<float> logits(static_cast<size_t>(vocab), 1.0f);
    Request nucleus;
    nucleus.row.top_p = 0.5f;
    Request top_k;
    top_k.row.top_k = vocab / 2;
    for (Request request : {nucleus, top_k}) {
      std::vector<Request> requests;
      request.row.seed = 11;
      for (request.row.position = 0; request.row.position < 200; ++request.row.position) {
        requests.push_back(request);
      }
      int below = 0;
      for (const SampledRow& r : run(repeat(logits, requests.size()), vocab, requests)) {
        EXPECT(r.token >= 0 && r.token < vocab / 2, "token " + std::to_string(r.token));
        below += r.token < vocab / 4;
      }
      EXPECT(below > 60 && below < 140, "one half is drawn " + std::to_string(below) + " of 200");
    }
  }
}

KERNEL_TEST(AgreesWithTheReferenceForEveryFeatureAloneAndTogether) {
  Random random(7);
  int random_rows = 0;
  int other = 0;
  for (int vocab : {50, 1003, 4096, 103424}) {
    std::vector<Request> requests;
    for (int feature = 0; feature < 24; ++feature) {
      // Features 0..11 alone, then together with a chance of one half each.
      const auto has = [&](int f) {
        return feature < 12 ? feature == f : random.integer(0, 1) == 1;
      };
      Request request;
      SamplingRow& row = request.row;
      row.seed = random.bits();
      row.position = static_cast<uint64_t>(random.integer(0, 100000));
      if (has(0)) row.temperature = 0.6f;
      if (has(1)) row.top_p = 0.9f;
      if (has(2)) row.top_k = static_cast<int32_t>(random.integer(2, vocab));
      if (has(3)) row.min_p = 0.02f;
      if (has(4) || has(5)) {
        row.repetition_penalty = 1.3f;
        if (has(5)) {
          row.frequency_penalty = 0.4f;
          row.presence_penalty = -0.3f;
        }
        for (int32_t t = 0; t < vocab; t += static_cast<int32_t>(random.integer(1, 20))) {
          request.counts.push_back({t, static_cast<int32_t>(random.integer(0, 3))});
        }
        request.counts.push_back({vocab, 1});
        request.counts.push_back({-4, 1});
      }
      if (has(6)) {
        for (int32_t t = vocab / 2; t < vocab; t += 7) {
          request.biases.push_back({t, static_cast<float>(random.normal() * 4)});
        }
        request.biases.push_back({vocab + 3, 100.0f});
      }
      if (has(7)) {
        for (int32_t t = 0; t < vocab; t += 3) request.banned.push_back(t);
        request.banned.push_back(-1);
        request.banned.push_back(vocab);
      }
      if (has(8)) {
        request.allowed.resize((static_cast<size_t>(vocab) + 31) / 32);
        for (uint32_t& word : request.allowed) word = static_cast<uint32_t>(random.bits());
      }
      if (has(9)) row.top_logprobs = static_cast<int32_t>(random.integer(0, kMaxTopLogprobs));
      if (has(10)) row.temperature = 0;
      if (has(11) && feature % 2 == 1) {
        row.forced_token = static_cast<int32_t>(random.integer(0, vocab - 1));
      }
      requests.push_back(request);
    }
    const std::vector<float> logits =
        random_logits(random, requests.size() * static_cast<size_t>(vocab), 3.0);
    const auto results = run(logits, vocab, requests);
    other += compare(logits, vocab, requests, results, "vocab " + std::to_string(vocab));
    random_rows += static_cast<int>(requests.size());
  }
  EXPECT(other <= 2, std::to_string(other) + " of about " + std::to_string(random_rows) +
                         " draws differ from the reference's");
}

KERNEL_TEST(LargeVocabularyStaysInsideTheNucleus) {
  constexpr int kVocab = 103424;
  Random random(3);
  const std::vector<float> logits = random_logits(random, kVocab, 3.0);
  std::vector<Request> requests;
  for (float top_p : {0.2f, 0.9f, 0.999f}) {
    for (int top_k : {0, 40, 1000}) {
      for (uint64_t position = 0; position < 8; ++position) {
        Request request;
        request.row.top_p = top_p;
        request.row.top_k = top_k;
        request.row.seed = 7;
        request.row.position = position;
        request.row.top_logprobs = 20;
        requests.push_back(request);
      }
    }
  }
  const std::vector<float> all = repeat(logits, requests.size());
  const int other = compare(all, kVocab, requests, run(all, kVocab, requests), "nucleus");
  EXPECT(other <= 2, std::to_string(other) + " draws differ from the reference's");
}

KERNEL_TEST(ManyTiesAmongTheTopLogprobs) {
  for (int vocab : {40, 3000}) {
    std::vector<float> logits(static_cast<size_t>(vocab));
    for (int i = 0; i < vocab; ++i) {
      logits[static_cast<size_t>(i)] = static_cast<float>((i * 7) % 5) - 3.0f;
    }
    std::vector<Request> requests;
    for (int top : {0, 1, 2, 20, 32}) {
      Request request = greedy();
      request.row.top_logprobs = top;
      requests.push_back(request);
    }
    const std::vector<float> all = repeat(logits, requests.size());
    compare(all, vocab, requests, run(all, vocab, requests), "ties " + std::to_string(vocab));
  }
}

KERNEL_TEST(ARowDoesNotDependOnTheOthersNorOnTheGrid) {
  constexpr int kVocab = 1001;  // rows that are not 16-byte aligned
  Random random(5);
  const std::vector<float> row = random_logits(random, kVocab);
  std::vector<Request> requests;
  for (uint64_t i = 0; i < 16; ++i) {
    Request request;
    request.row.top_p = 0.95f;
    request.row.seed = 5 + i % 3;
    request.row.position = i / 3;
    request.row.top_logprobs = i % 2 == 0 ? 5 : -1;
    requests.push_back(request);
  }
  const std::vector<float> all = repeat(row, requests.size());
  const auto together = run(all, kVocab, requests);
  const auto wide = run(all, kVocab, requests, {.max_rows = 24, .row_stride = 1024});
  const auto graph = run(all, kVocab, requests, {.max_rows = 64, .in_graph = true});
  std::map<int32_t, int> seen;
  for (size_t i = 0; i < requests.size(); ++i) {
    const int32_t token = together[i].token;
    ++seen[token];
    EXPECT(run_one(row, requests[i]).token == token, "alone, row " + std::to_string(i));
    EXPECT(wide[i].token == token && wide[i].logprob == together[i].logprob,
           "padded, row " + std::to_string(i));
    EXPECT(graph[i].token == token, "in a graph, row " + std::to_string(i));
  }
  EXPECT(seen.size() > 8, "seed or position is ignored");
  EXPECT(compare(all, kVocab, requests, together, "together") <= 1, "draws differ");
}

KERNEL_TEST(FaultsAreReportedForTheirRowOnly) {
  Random random(9);
  for (float temperature : {0.0f, 1.0f}) {
    Request request;
    request.row.temperature = temperature;
    for (int vocab : {3, 33, 4100}) {
      for (float bad : {std::nanf(""), kInfinity}) {
        for (int at : {0, vocab / 2, vocab - 1}) {
          std::vector<float> logits = random_logits(random, 3 * static_cast<size_t>(vocab));
          logits[static_cast<size_t>(at)] = bad;
          Request with_top = request;
          with_top.row.top_logprobs = 1;
          const auto results = run(logits, vocab, {request, request, with_top});
          const std::string where = std::to_string(vocab) + " " + std::to_string(at);
          EXPECT(results[0].fault == 1 && results[0].token == -1, where);
          EXPECT(results[1].fault == 0 && results[1].token >= 0, where);
          EXPECT(results[2].fault == 0 && results[2].token >= 0, where);
          Request banned = request;
          banned.banned = {at};
          EXPECT(run(logits, vocab, {banned, request, request})[0].fault == 0,
                 where + ": a banned NaN is no fault");
        }
      }
    }
    Request all = request;
    all.banned = {0, 1, 2};
    EXPECT(run_one({1, 2, 3}, all).fault == 1, "all banned");
    EXPECT(run_one({1, 2, 3, -50}, all).token == 3, "the last one left");
    Request mask = request;
    mask.allowed = {0};
    EXPECT(run_one({1, 2, 3}, mask).fault == 1, "nothing allowed");
    mask.allowed = {2};
    EXPECT(run_one({1, 2, 3}, mask).token == 1, "one allowed");
  }
}

KERNEL_TEST(MinusInfinityIsAnOrdinaryLogit) {
  std::vector<float> logits(70, -kInfinity);
  logits[66] = -2;
  Request request;
  request.row.top_p = 0.9f;
  request.row.top_k = 4;
  request.row.top_logprobs = 2;
  const SampledRow result = run_one(logits, request);
  EXPECT(result.token == 66, std::to_string(result.token));
  EXPECT(std::abs(result.logprob) < 1e-6, std::to_string(result.logprob));
  EXPECT(result.top_tokens[0] == 66 && result.top_tokens[1] == 0, "top tokens");
  EXPECT(result.top_logprobs[1] == -kInfinity, "logprob of what cannot be");
}

}  // namespace
}  // namespace ernie::kernels
