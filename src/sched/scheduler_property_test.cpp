#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <deque>
#include <map>
#include <random>
#include <set>

#include "sched/simulation.h"

namespace ernie::sched {
namespace {

using Random = std::mt19937_64;

int between(Random& random, int low, int high) {
  return low + static_cast<int>(random() % static_cast<uint64_t>(high - low + 1));
}

SchedulerConfig random_config(Random& random) {
  SchedulerConfig config;
  config.block_size = 1 << between(random, 0, 4);
  config.max_num_seqs = between(random, 1, 6);
  config.max_num_batched_tokens = config.max_num_seqs + between(random, 0, 40);
  config.enable_prefix_caching = random() % 4 != 0;
  config.enable_chunked_prefill = random() % 4 != 0;
  config.disable_chunked_mm_input = random() % 2 != 0;
  config.num_blocks = 160 / config.block_size + between(random, 1, 12);
  return config;
}

// Prompts from few families, so that prefixes and pictures are shared.
Request random_request(Random& random, SequenceId id, const SchedulerConfig& config) {
  const int limit = config.enable_chunked_prefill ? 100 : config.max_num_batched_tokens;
  Request r{.id = id, .max_tokens = between(random, 1, 30)};
  r.client = random() % 3;
  r.score_prompt = random() % 4 == 0;
  const int family = between(random, 0, 2);
  const int length = between(random, 1, limit);
  for (int i = 0; i < length; ++i) r.tokens.push_back(i * (family + 1) % 97);
  if (length > 10 && random() % 2) r.tokens[between(random, 5, length - 1)] = 500;
  for (int begin = between(random, 0, 12); random() % 3;) {
    const int span = between(random, 1, 25);
    if (begin + span > length) break;
    r.media.push_back({begin, span, ContentKey{random() % 2 + 1, 9}});
    std::fill_n(r.tokens.begin() + begin, span, 7);
    begin += span + static_cast<int>(random() % 2) * 5;
  }
  return r;
}

// One random mix of requests, cancellations, holds and dropped reservations.
void run_mix(uint64_t seed) {
  Random random(seed);
  const SchedulerConfig config = random_config(random);
  const size_t depth = 1 + random() % 2;  // steps in flight
  Simulation sim(config);
  std::set<SequenceId> cancelled;
  std::set<SequenceId> held;
  std::set<SequenceId> ever_held;  // others may go before them
  std::deque<Simulation::Step> flying;
  SequenceId next_id = 1;
  const int count = between(random, 1, 14);
  for (int idle = 0; idle < 2;) {
    while (static_cast<int>(next_id) <= count && random() % 3) {
      Request r = random_request(random, next_id, config);
      const auto length = static_cast<int64_t>(r.tokens.size());
      if (!Scheduler::check_fits(config, length, length + r.max_tokens).ok()) r.max_tokens = 1;
      sim.add(std::move(r));
      ++next_id;
    }
    if (random() % 12 == 0 && next_id > 1) {
      const SequenceId id = 1 + random() % (next_id - 1);
      if (sim.scheduler.find(id) && !sim.scheduler.find(id)->doomed) {
        sim.remove(id);
        cancelled.insert(id);
      }
    }
    if (random() % 8 == 0 && next_id > 1) {
      const SequenceId id = 1 + random() % (next_id - 1);
      if (sim.scheduler.find(id) && held.insert(id).second) {
        sim.scheduler.hold(id);
        ever_held.insert(id);
      }
    }
    if (!held.empty() && random() % 4 == 0) {
      const SequenceId id = *held.begin();
      held.erase(id);
      if (sim.scheduler.find(id)) sim.scheduler.resume(id);
    }
    bool progress = !held.empty();
    if (flying.size() < depth) {
      if (random() % 10 == 0) sim.drop_launch();
      if (auto step = sim.launch()) {
        progress = true;
        flying.push_back(std::move(*step));
      }
    }
    if (!flying.empty() && (flying.size() == depth || !progress || random() % 2)) {
      sim.commit(std::move(flying.front()));
      flying.pop_front();
      progress = true;
    }
    idle = progress || static_cast<int>(next_id) <= count ? 0 : idle + 1;
  }
  EXPECT_EQ(sim.scheduler.running() + sim.scheduler.waiting(), 0) << "stuck, seed " << seed;
  EXPECT_EQ(sim.scheduler.blocks().available(), config.num_blocks) << "seed " << seed;
  std::map<ClientId, SequenceId> last_of;
  for (const SequenceId id : sim.admitted) {
    if (ever_held.contains(id)) continue;
    SequenceId& last = last_of[sim.requests[id].client];
    EXPECT_LT(last, id) << "seed " << seed << ": a later request of a client went before " << id;
    last = id;
  }
  for (const auto& [id, request] : sim.requests) {
    const auto expected = Simulation::expected(request);
    const auto& output = sim.done[id].output;
    if (!cancelled.contains(id)) {
      EXPECT_EQ(output, expected) << "seed " << seed << " request " << id;
      EXPECT_EQ(sim.done[id].scores, Simulation::expected_scores(request))
          << "seed " << seed << " request " << id;
    } else {
      ASSERT_LE(output.size(), expected.size());
      EXPECT_TRUE(std::equal(output.begin(), output.end(), expected.begin()));
    }
  }
}

TEST(SchedulerProperty, RandomMixesGiveTheTokensOfOneByOne) {
  const char* seconds = std::getenv("ERNIE_PROPERTY_SECONDS");
  const auto end = std::chrono::steady_clock::now() +
                   std::chrono::milliseconds(seconds ? 1000 * std::atoi(seconds) : 5000);
  uint64_t seed = 1;
  for (; (seed <= 20 || std::chrono::steady_clock::now() < end) && !HasFailure(); ++seed) {
    run_mix(seed);
  }
  RecordProperty("mixes", std::to_string(seed - 1));
}

// Clients that come and go, each with as many requests as it likes: of two that both wait, neither
// gets more than what was running already can take.
TEST(SchedulerProperty, WhoeverWaitsGetsAsMuchAsAnother) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Random random(seed);
    SchedulerConfig config = random_config(random);
    config.block_size = 16;
    config.num_blocks = 9 * config.max_num_seqs;  // no preemption: what comes again counts again
    const int64_t bound = int64_t{2} * (config.max_num_seqs + 1) * 130;
    Simulation sim(config);
    SequenceId next_id = 1;
    std::map<ClientId, std::map<ClientId, int64_t>> since;  // of each that waits: what all had
    for (int step = 0; step < 400; ++step) {
      if (random() % 16 == 0) {
        const ClientId client = random() % 4;
        for (int i = between(random, 1, client == 0 ? 30 : 4); i > 0; --i) {
          Request r = random_request(random, next_id++, config);
          r.client = client;
          sim.add(std::move(r));
        }
      }
      std::set<ClientId> waiting;
      for (const Sequence& s : sim.scheduler.snapshot().waiting) waiting.insert(s.client);
      std::erase_if(since, [&](const auto& entry) { return !waiting.contains(entry.first); });
      for (const ClientId client : waiting) {
        const auto& before = since.try_emplace(client, sim.tokens_of).first->second;
        const auto got = [&](ClientId id) {
          return sim.tokens_of[id] - (before.contains(id) ? before.at(id) : 0);
        };
        for (const ClientId other : waiting)
          ASSERT_LE(got(other) - got(client), bound) << "seed " << seed << " step " << step;
      }
      if (auto launched = sim.launch()) sim.commit(std::move(*launched));
    }
    sim.run_all();
  }
}

}  // namespace
}  // namespace ernie::sched
