// The model in bfloat16 against transformers in bfloat16, with every instruction set of the
// machine. tests/golden/model/README.md says what is compared and why.

#include <gtest/gtest.h>

#include <cstdio>

#include "backend/cpu/isa.h"
#include "golden_run.h"
#include "routing_backend.h"
#include "test_device.h"

namespace ernie {
namespace {

using namespace golden;  // NOLINT(google-build-using-namespace)

// Names of the CPU's instruction sets, or "cuda".
std::vector<std::string> devices() {
  if (tests_use_cuda()) return {"cuda"};
  std::vector<std::string> names;
  for (const cpu::Isa isa : cpu::supported_isas()) names.push_back(cpu::isa_name(isa));
  return names;
}

std::unique_ptr<ops::Backend> make_device(const std::string& name) {
  if (name == "cuda") return make_test_backend(0, 1);
  for (const cpu::Isa isa : cpu::supported_isas()) {
    if (name == cpu::isa_name(isa)) return cpu::make_cpu_backend({.threads = 2, .isa = isa});
  }
  return nullptr;
}

class Bf16Golden : public ::testing::TestWithParam<std::tuple<const char*, std::string>> {
 protected:
  std::string checkpoint_ = std::get<0>(GetParam());
  RoutingBackend backend_{make_device(std::get<1>(GetParam()))};
  std::unique_ptr<Communicator> comm_ = make_single_communicator();
};

struct Squares {
  double sum = 0;
  double count = 0;
  void add(double square, double n = 1) {
    sum += square * n;
    count += n;
  }
  double rms() const { return count > 0 ? std::sqrt(sum / count) : 0; }
};

// Logits after the last prompt positions that the golden files hold, then after each step.
std::vector<std::vector<float>> compared_rows(const Outcome& outcome, const Case& c, int vocab) {
  std::vector<std::vector<float>> rows;
  for (const int32_t position : c.logit_positions) {
    const auto row = outcome.prompt_logits.begin() + static_cast<long>(position) * vocab;
    rows.emplace_back(row, row + vocab);
  }
  rows.insert(rows.end(), outcome.step_logits.begin(), outcome.step_logits.end());
  return rows;
}

// The first token of the sequence that chose other experts in some layer; `none` if none did.
int first_other_choice(const Routing& routing, const Routing& exact, int none) {
  const auto layers = static_cast<size_t>(
      std::count_if(routing.begin(), routing.end(), [](const auto& r) { return r.size() > 1; }));
  for (size_t call = 0, token = 0; call < routing.size(); call += layers) {
    size_t first = routing[call].size();
    for (size_t layer = 0; layer < layers; ++layer) {
      for (size_t t = 0; t < first; ++t) {
        if (routing[call + layer][t].ids != exact[call + layer][t].ids) first = t;
      }
    }
    if (first < routing[call].size()) return static_cast<int>(token + first);
    token += routing[call].size();
  }
  return none;
}

void add_router_errors(const Routing& routing, const Routing& exact, Squares& errors) {
  for (size_t call = 0; call < routing.size(); ++call) {
    for (size_t t = 0; t < routing[call].size(); ++t) {
      const auto& scores = routing[call][t].scores;
      for (size_t e = 0; e < scores.size(); ++e) {
        const double difference = scores[e] - exact[call][t].scores[e];
        errors.add(difference * difference);
      }
    }
  }
}

int forced_choices(const Routing& routing) {
  int count = 0;
  for (const auto& call : routing) {
    count += static_cast<int>(
        std::count_if(call.begin(), call.end(), [](const Routed& r) { return r.forced; }));
  }
  return count;
}

TEST_P(Bf16Golden, NoiseIsWithinTheReferencesAndOnlyOtherExpertsAddToIt) {
  Loaded in_f32(checkpoint_, DType::kF32, backend_, *comm_);
  Loaded in_bf16(checkpoint_, DType::kBF16, backend_, *comm_);
  const int vocab = in_f32.config().vocab_size;
  const std::vector<Case> cases = load_cases(checkpoint_);
  float loudest_step = 0;    // of the reference with its own experts
  float loudest_routed = 0;  // and with those of float32
  double loudest_case = 0;
  Squares theirs, their_router;
  for (const Case& c : cases) {
    Squares of_case;
    for (const float rms : c.routed.rms) of_case.add(rms * rms);
    theirs.add(of_case.sum / of_case.count, of_case.count);
    their_router.add(c.routed.router_rms * c.routed.router_rms);
    loudest_case = std::max(loudest_case, of_case.rms());
    for (const float noise : c.greedy_noise) loudest_step = std::max(loudest_step, noise);
    for (const float noise : c.routed.max) loudest_routed = std::max(loudest_routed, noise);
  }
  Squares ours, our_router;
  int tokens = 0, clear = 0, different = 0, flips = 0, their_flips = 0, unmoved = 0;
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    backend_.start(nullptr);
    const Outcome exact = in_f32.run(c);
    const Routing exact_routing = backend_.take();
    backend_.start(nullptr);
    const Outcome own_way = in_bf16.run(c);
    const Routing own_routing = backend_.take();
    backend_.start(&exact_routing);
    const Outcome routed = in_bf16.run(c);
    const Routing routed_routing = backend_.take();

    const auto expected = compared_rows(exact, c, vocab);
    const auto rows = compared_rows(routed, c, vocab);
    ASSERT_EQ(rows.size(), c.routed.rms.size());
    Squares of_case;
    for (size_t r = 0; r < rows.size(); ++r) {
      for (size_t i = 0; i < rows[r].size(); ++i) {
        const double difference = rows[r][i] - expected[r][i];
        of_case.add(difference * difference);
      }
    }
    EXPECT_LE(of_case.rms(), loudest_case);
    ours.add(of_case.sum / of_case.count, static_cast<double>(rows.size()));
    Squares router;
    add_router_errors(routed_routing, exact_routing, router);
    our_router.add(router.sum / std::max(router.count, 1.0));
    flips += forced_choices(routed_routing);
    their_flips += c.routed.other_choices;

    const int n = static_cast<int>(c.input_ids.size());
    const int steps = static_cast<int>(own_way.step_logits.size());
    const int first = first_other_choice(own_routing, exact_routing, n + steps);
    const size_t same = static_cast<size_t>(std::min(first, n)) * static_cast<size_t>(vocab);
    EXPECT_EQ(max_difference(std::span(own_way.prompt_logits).first(same),
                             std::span(routed.prompt_logits).first(same)),
              0);
    for (int step = 0; n + step < first; ++step) {
      const auto at = static_cast<size_t>(step);
      EXPECT_EQ(own_way.step_logits[at], routed.step_logits[at]) << "step " << step;
    }
    unmoved += first == n + steps ? 1 : 0;

    for (size_t i = 0; i < c.greedy_ids.size(); ++i) {
      ++tokens;
      if (c.greedy_margin[i] > loudest_step) {
        EXPECT_EQ(greedy_choice(own_way, i, vocab), c.greedy_ids[i]) << "step " << i;
      }
      if (c.greedy_margin[i] <= loudest_routed) continue;
      ++clear;
      different += greedy_choice(routed, i, vocab) == c.greedy_ids[i] ? 0 : 1;
    }
  }
  EXPECT_LE(ours.rms(), theirs.rms());
  EXPECT_LE(our_router.rms(), their_router.rms());
  EXPECT_EQ(different, 0);
  EXPECT_GE(clear, 20);
  std::printf(
      "%s, %s: with the experts of float32: noise %.4f (reference %.4f), router %.5f (%.5f), other "
      "choices %d (%d), %d of %d clear tokens differ (of %d); %d of %zu cases without other "
      "choices\n",
      checkpoint_.c_str(), std::get<1>(GetParam()).c_str(), ours.rms(), theirs.rms(),
      our_router.rms(), their_router.rms(), flips, their_flips, different, clear, tokens, unmoved,
      cases.size());
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, Bf16Golden,
                         ::testing::Combine(::testing::Values("tiny-a", "tiny-b", "tiny-text",
                                                              "tiny-moe-text"),
                                            ::testing::ValuesIn(devices())),
                         [](const auto& test) {
                           std::string name = std::get<0>(test.param);
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name + "_" + std::get<1>(test.param);
                         });

}  // namespace
}  // namespace ernie
