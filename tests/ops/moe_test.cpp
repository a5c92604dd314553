#include <algorithm>
#include <numeric>

#include "tests/ops/op_fixture.h"

namespace ernie::op_tests {
namespace {

class MoeTest : public OpTest {};

TEST_P(MoeTest, RoutesEachGroupByBiasedProbability) {
  const int tokens = 9, width = fit(70), text = 16, vision = 12, top_k = 4;
  HostTensor x = random({tokens, width});
  HostTensor router0 = random(DType::kF32, {text, width}, 0.2);
  HostTensor router1 = random(DType::kF32, {vision, width}, 0.2);
  HostTensor bias0 = random(DType::kF32, {text}, 0.1), bias1 = random(DType::kF32, {vision}, 0.1);
  HostTensor token_group(DType::kU8, {tokens});
  for (int t = 0; t < tokens; ++t) token_group.set(t, t % 3 == 1);
  HostTensor ids(DType::kI32, {tokens, top_k}), weights(DType::kF32, {tokens, top_k});
  ops::MoeRouteArgs args;
  args.x = x.view();
  const ops::RouterGroup groups[] = {{router0.view(), bias0.view()},
                                     {router1.view(), bias1.view()}};
  args.groups = groups;
  args.token_group = token_group.view();
  args.first_group_only = false;
  args.top_k = top_k;
  args.expert_ids = ids.view();
  args.expert_weights = weights.view();
  backend_->moe_route(args);

  for (int t = 0; t < tokens; ++t) {
    const bool v = t % 3 == 1;
    HostTensor& router = v ? router1 : router0;
    HostTensor& bias = v ? bias1 : bias0;
    const int experts = v ? vision : text;
    std::vector<double> p(static_cast<size_t>(experts));
    double sum = 0;
    for (int e = 0; e < experts; ++e) {
      double z = 0;
      for (int i = 0; i < width; ++i) z += x.at(t, i) * router.at(e, i);
      sum += p[static_cast<size_t>(e)] = std::exp(z);
    }
    std::vector<int> order(static_cast<size_t>(experts));
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](int a, int b) {
      return p[static_cast<size_t>(a)] / sum + bias.at(a) >
             p[static_cast<size_t>(b)] / sum + bias.at(b);
    });
    double chosen = 0;
    for (int k = 0; k < top_k; ++k) chosen += p[static_cast<size_t>(order[static_cast<size_t>(k)])];
    for (int k = 0; k < top_k; ++k) {
      const int e = order[static_cast<size_t>(k)];
      EXPECT_EQ(ids.at(t, k), e + (v ? text : 0)) << "token " << t << ", choice " << k;
      EXPECT_NEAR(weights.at(t, k), p[static_cast<size_t>(e)] / chosen, bf16() ? 0.003 : 2e-6);
      const float w = static_cast<float>(weights.at(t, k));
      if (bf16()) {
        EXPECT_EQ(to_float(to_bf16(w)), w);
      }
    }
  }
}

TEST_P(MoeTest, RouterWithoutBiasAndSecondGroup) {
  const int width = fit(20);
  HostTensor x = random({3, width}), router = random(DType::kF32, {5, width});
  HostTensor ids(DType::kI32, {3, 5}), weights(DType::kF32, {3, 5});
  ops::MoeRouteArgs args;
  args.x = x.view();
  const ops::RouterGroup groups[] = {{router.view(), {}}};
  args.groups = groups;
  args.top_k = 5;
  args.expert_ids = ids.view();
  args.expert_weights = weights.view();
  backend_->moe_route(args);
  for (int t = 0; t < 3; ++t) {
    double sum = 0;
    for (int k = 0; k < 5; ++k) sum += weights.at(t, k);
    EXPECT_NEAR(sum, 1.0, bf16() ? 0.02 : 1e-6);
    for (int k = 1; k < 5; ++k) EXPECT_GE(weights.at(t, k - 1), weights.at(t, k));
  }
}

TEST_P(MoeTest, ExpertsMatchFloat64AndTokensAreIndependent) {
  // Experts 0-3 are wide, 4-7 narrow with a width that is no multiple of a panel; the last is
  // shared.
  const int experts = 8, hidden = 72, top_k = 3;
  const auto width_of = [](int e) { return e < 4 ? 96 : e < 8 ? 40 : 64; };
  std::vector<HostTensor> gate_up, down;
  for (int e = 0; e <= experts; ++e) {
    gate_up.push_back(random({2 * width_of(e), hidden}, 0.2));
    down.push_back(random({hidden, width_of(e)}, 0.2));
  }
  const auto make = [&](bool shared) {
    const auto mlp = [&](int e) {
      return GatedMlp{pack(gate_up[static_cast<size_t>(e)], 2 * width_of(e), hidden,
                           ops::MatrixUse::kExpertGateUp),
                      pack(down[static_cast<size_t>(e)], hidden, width_of(e))};
    };
    ExpertWeights weights;
    weights.groups.resize(2);
    for (int e = 0; e < experts; ++e) weights.groups[e < 4 ? 0 : 1].push_back(mlp(e));
    if (shared) weights.shared = mlp(experts);
    return backend_->make_experts(std::move(weights));
  };
  const auto with_shared = make(true), without_shared = make(false);
  const auto run = [&](TensorView x, TensorView ids, TensorView weights, bool shared,
                       TensorView out) {
    backend_->moe_experts({.x = x,
                           .expert_ids = ids,
                           .expert_weights = weights,
                           .experts = shared ? with_shared.get() : without_shared.get(),
                           .out = out});
  };
  for (int tokens : {1, 2, 50, 301}) {
    HostTensor x = random({tokens, hidden});
    HostTensor ids(DType::kI32, {tokens, top_k}), weights(DType::kF32, {tokens, top_k});
    for (int t = 0; t < tokens; ++t) {
      for (int k = 0; k < top_k; ++k) {
        ids.set(t * top_k + k, (t * t + k * 3 + (t % 5 == 0 ? 1 : 0)) % experts);
        weights.set(t * top_k + k, 0.5 + 0.1 * k);
      }
    }
    const bool shared = tokens != 50;
    HostTensor out(DType::kF32, {tokens, hidden});
    run(x.view(), ids.view(), weights.view(), shared, out.view());
    for (int t = 0; t < tokens; t += 1 + tokens / 13) {
      std::vector<double> y(hidden, 0.0);
      for (int k = 0; k < top_k + (shared ? 1 : 0); ++k) {
        const int e = k < top_k ? static_cast<int>(ids.at(t, k)) : experts, n = width_of(e);
        const double weight = k < top_k ? weights.at(t, k) : 1.0;
        std::vector<double> h;
        for (int j = 0; j < n; ++j) {
          double gate = 0, up = 0;
          for (int i = 0; i < hidden; ++i) {
            gate += x.at(t, i) * gate_up[static_cast<size_t>(e)].at(j, i);
            up += x.at(t, i) * gate_up[static_cast<size_t>(e)].at(n + j, i);
          }
          const double v = gate / (1 + std::exp(-gate)) * up;
          h.push_back(bf16() ? to_float(to_bf16(static_cast<float>(v))) : v);
        }
        for (int i = 0; i < hidden; ++i) {
          for (int j = 0; j < n; ++j) {
            y[static_cast<size_t>(i)] +=
                weight * h[static_cast<size_t>(j)] * down[static_cast<size_t>(e)].at(i, j);
          }
        }
      }
      for (int i = 0; i < hidden; ++i) {
        ASSERT_NEAR(out.at(t, i), y[static_cast<size_t>(i)], bf16() ? 0.05 : 3e-5)
            << "token " << t << " of " << tokens;
      }
      // With as few other tokens as go the same way.
      int64_t few = 1;
      for (const int64_t end : promises_.expert_ways_end) {
        if (tokens > end) few = end + 1;
      }
      const int64_t first = std::min<int64_t>(t, tokens - few);
      HostTensor part(DType::kF32, {few, hidden});
      run(x.view().slice_rows(first, few), ids.view().slice_rows(first, few),
          weights.view().slice_rows(first, few), shared, part.view());
      ASSERT_EQ(part.row_bits(t - first), out.row_bits(t)) << "token " << t << " of " << tokens;
    }
    HostTensor rounded = zeros({tokens, hidden});
    run(x.view(), ids.view(), weights.view(), shared, rounded.view());
    HostTensor expected = zeros({tokens, hidden});
    for (int64_t i = 0; i < out.size(); ++i) expected.set(i, out.at(i));
    EXPECT_EQ(rounded.row_bits(0, tokens), expected.row_bits(0, tokens));
  }
}

ERNIE_OP_TABLE(MoeTest);

}  // namespace
}  // namespace ernie::op_tests
