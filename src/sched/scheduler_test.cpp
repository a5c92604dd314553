#include "sched/scheduler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <iterator>
#include <numeric>

#include "sched/simulation.h"

namespace ernie::sched {
namespace {

Request request(SequenceId id, int tokens, int max_tokens = 4, std::vector<MediaSpan> media = {},
                int32_t first = 1) {
  Request r{.id = id, .media = std::move(media), .max_tokens = max_tokens};
  r.tokens.resize(tokens);
  std::iota(r.tokens.begin(), r.tokens.end(), first);
  for (const MediaSpan& m : r.media) std::fill_n(r.tokens.begin() + m.begin, m.length, 7);
  return r;
}

SchedulerConfig small() {
  return {.num_blocks = 64, .block_size = 4, .max_num_seqs = 4, .max_num_batched_tokens = 16};
}

// The tokens each step computes, for one request alone.
std::vector<int> chunks(SchedulerConfig config, Request r) {
  Simulation sim(config);
  sim.add(std::move(r));
  std::vector<int> out;
  while (auto step = sim.launch()) {
    out.push_back(step->reservation.plan().total_tokens);
    sim.commit(std::move(*step));
  }
  return out;
}

TEST(Scheduler, CutsAPromptIntoChunksOfTheBudget) {
  EXPECT_EQ(chunks(small(), request(1, 40, 1)), (std::vector{16, 16, 8}));
}

TEST(Scheduler, MovesTheEndOfAChunkUpToTheEndOfAPicture) {
  EXPECT_EQ(chunks(small(), request(1, 40, 1, {{14, 10, ContentKey{1, 1}}})),
            (std::vector{24, 16}));
  // A picture that reaches the end of the prompt but for one token.
  EXPECT_EQ(chunks(small(), request(1, 40, 1, {{10, 29, ContentKey{1, 1}}})), (std::vector{39, 1}));
  // Ends exactly at the budget: nothing moves.
  EXPECT_EQ(chunks(small(), request(1, 20, 1, {{4, 12, ContentKey{1, 1}}})), (std::vector{16, 4}));
}

TEST(Scheduler, WithoutChunksAPromptWaitsForABudgetThatHoldsIt) {
  SchedulerConfig config = small();
  config.enable_chunked_prefill = false;
  Simulation sim(config);
  sim.add(request(1, 10, 3));
  sim.add(request(2, 10, 3, {}, 100));
  auto first = sim.launch();
  ASSERT_EQ(first->reservation.plan().rows.size(), 1u);  // 10 + 10 > 16
  sim.commit(std::move(*first));
  auto step = sim.launch();
  ASSERT_EQ(step->reservation.plan().rows.size(), 2u);
  EXPECT_EQ(step->reservation.plan().rows[0].num_tokens, 1);
  EXPECT_EQ(step->reservation.plan().rows[1].num_tokens, 10);
  sim.commit(std::move(*step));
  EXPECT_FALSE(Scheduler::check_fits(config, 17, 20).ok());
}

TEST(Scheduler, RefusesWhatCanNeverFitAndSaysWhy) {
  const Status status = Scheduler::check_fits(small(), 10, 64 * 4 + 2);
  ASSERT_FALSE(status.ok());
  EXPECT_NE(status.error().message.find("258"), std::string::npos);
  EXPECT_NE(status.error().message.find("256"), std::string::npos);
  EXPECT_TRUE(Scheduler::check_fits(small(), 10, 64 * 4 + 1).ok());
}

TEST(Scheduler, DecodeRowsComeFirstAndPrefillsShareTheRest) {
  Simulation sim(small());
  sim.add(request(1, 4, 8));
  sim.commit(*sim.launch());
  sim.add(request(2, 40, 1, {}, 100));
  const auto step = sim.launch();
  const StepPlan& plan = step->reservation.plan();
  ASSERT_EQ(plan.rows.size(), 2u);
  EXPECT_EQ(plan.rows[0].sequence, 1u);
  EXPECT_EQ(plan.rows[1].num_tokens, 15);
  EXPECT_EQ(plan.total_tokens, 16);
}

TEST(Scheduler, RunsAtMostMaxNumSeqs) {
  Simulation sim(small());
  for (SequenceId id = 1; id <= 6; ++id) sim.add(request(id, 1, 3, {}, static_cast<int>(id) * 50));
  const auto step = sim.launch();
  EXPECT_EQ(step->reservation.plan().rows.size(), 4u);
  EXPECT_EQ(sim.scheduler.running(), 4);
  EXPECT_EQ(sim.scheduler.waiting(), 2);
}

Request scored(SequenceId id, int tokens, std::vector<MediaSpan> media = {}) {
  Request r = request(id, tokens, 1, std::move(media));
  r.score_prompt = true;
  return r;
}

TEST(Scheduler, APromptThatIsScoredTakesADrawForEachToken) {
  EXPECT_EQ(chunks(small(), scored(1, 10)), (std::vector{4, 4, 2}));
  // A picture stays whole, and takes one draw for the token behind it.
  EXPECT_EQ(chunks(small(), scored(1, 14, {{2, 8, ContentKey{1, 1}}})), (std::vector{12, 2}));
  EXPECT_EQ(chunks(small(), scored(1, 14, {{5, 8, ContentKey{1, 1}}})), (std::vector{5, 9}));
  SchedulerConfig config = small();
  config.max_num_seqs = 1;
  EXPECT_EQ(chunks(config, scored(1, 7, {{2, 3, ContentKey{1, 1}}})), (std::vector{2, 3, 1, 1}));
  config = small();
  config.enable_chunked_prefill = false;
  EXPECT_EQ(chunks(config, scored(1, 10)), (std::vector{4, 4, 2}));
}

TEST(Scheduler, OthersKeepTheirDrawsWhileAPromptIsScored) {
  Simulation sim(small());
  sim.add(scored(1, 12));
  sim.add(request(2, 2, 5, {}, 50));
  sim.add(request(3, 3, 5, {}, 90));
  const auto step = sim.launch();
  std::vector<int32_t> tokens;
  for (const PlanRow& row : step->reservation.plan().rows) tokens.push_back(row.num_tokens);
  EXPECT_EQ(tokens, (std::vector{2, 2, 3}));  // of four draws one is kept for each of the others
}

TEST(Scheduler, APromptThatIsScoredTakesNothingFromTheCacheAndLeavesItThere) {
  Simulation sim(small());
  sim.add(scored(1, 13));
  sim.run_all();
  sim.add(scored(2, 13));
  sim.run_all();
  EXPECT_EQ(sim.done[2].hit_tokens, 0);
  EXPECT_EQ(sim.done[2].scores, sim.done[1].scores);
  EXPECT_EQ(sim.done[2].scores.size(), 12u);
  sim.add(request(3, 13));
  sim.run_all();
  EXPECT_EQ(sim.done[3].hit_tokens, 12);
}

TEST(Scheduler, ADroppedReservationLeavesNoTrace) {
  SchedulerConfig config = small();
  config.num_blocks = 6;
  Simulation sim(config);
  sim.add(request(1, 7, 12));
  sim.add(request(2, 7, 12, {}, 50));
  sim.add(request(3, 3, 2, {}, 90));
  bool saw_preemption = false;
  for (int i = 0; i < 200; ++i) {
    const Snapshot before = sim.scheduler.snapshot();
    const uint64_t preemptions = sim.scheduler.preemptions();
    const StepPlan plan = sim.scheduler.plan();
    if (plan.empty()) break;
    saw_preemption |= !plan.preempted.empty();
    sim.drop_launch();
    const Snapshot after = sim.scheduler.snapshot();
    EXPECT_EQ(after.refs, before.refs);
    EXPECT_EQ(after.free_blocks, before.free_blocks);
    EXPECT_EQ(sim.scheduler.preemptions(), preemptions);
    const auto same = [](const std::vector<Sequence>& a, const std::vector<Sequence>& b) {
      ASSERT_EQ(a.size(), b.size());
      for (size_t k = 0; k < a.size(); ++k) {
        EXPECT_EQ(a[k].id, b[k].id);
        EXPECT_EQ(a[k].blocks, b[k].blocks);
        EXPECT_EQ(a[k].computed, b[k].computed);
        EXPECT_EQ(a[k].in_flight + a[k].pending, b[k].in_flight + b[k].pending);
        EXPECT_EQ(a[k].preemptions, b[k].preemptions);
      }
    };
    same(after.running, before.running);
    same(after.waiting, before.waiting);
    sim.commit(*sim.launch());
  }
  EXPECT_TRUE(saw_preemption);
  for (const auto& [id, r] : sim.requests) EXPECT_EQ(sim.done[id].output, Simulation::expected(r));
}

TEST(Scheduler, AStalePlanIsRefusedWithoutATrace) {
  SchedulerConfig config = small();
  config.num_blocks = 4;
  Simulation sim(config);
  sim.add(request(1, 12, 1));
  const StepPlan plan = sim.scheduler.plan();
  sim.remove(1);
  EXPECT_FALSE(sim.scheduler.reserve(plan).has_value());
  EXPECT_EQ(sim.scheduler.blocks().available(), 4);
}

TEST(Scheduler, PreemptsTheLastAdmittedAndBringsItBackFirst) {
  SchedulerConfig config = small();
  config.num_blocks = 6;
  config.enable_prefix_caching = false;
  Simulation sim(config);
  sim.add(request(1, 8, 9));
  sim.add(request(2, 8, 9, {}, 50));
  sim.add(request(3, 8, 9, {}, 90));
  std::vector<SequenceId> preempted;
  std::vector<SequenceId> admitted;
  while (auto step = sim.launch()) {
    for (const SequenceId id : step->reservation.plan().preempted) preempted.push_back(id);
    for (const auto& a : step->reservation.plan().admissions) admitted.push_back(a.sequence);
    EXPECT_TRUE(preempted.empty() || preempted.back() != 1u);
    sim.commit(std::move(*step));
  }
  ASSERT_FALSE(preempted.empty());
  EXPECT_EQ(preempted.front(), 2u);
  EXPECT_EQ(admitted[2], 2u) << "the preempted one comes back before the new one";
  for (const auto& [id, r] : sim.requests) EXPECT_EQ(sim.done[id].output, Simulation::expected(r));
}

Request of_client(ClientId client, SequenceId id, int tokens, int max_tokens) {
  Request r = request(id, tokens, max_tokens, {}, static_cast<int>(id) * 50);
  r.client = client;
  return r;
}

// Client 1 comes with requests 1 to 40 and is alone for some steps; then client 2 comes with 41 to
// `last`. Returns how many were admitted before it.
size_t add_two_clients(Simulation& sim, int steps_alone, SequenceId last) {
  for (SequenceId id = 1; id <= 40; ++id) sim.add(of_client(1, id, 4, 4));
  for (int i = 0; i < steps_alone; ++i) sim.commit(*sim.launch());
  const size_t before = sim.admitted.size();
  for (SequenceId id = 41; id <= last; ++id) sim.add(of_client(2, id, 4, 4));
  return before;
}

TEST(Scheduler, ClientsTakeTurnsHoweverManyRequestsOneHas) {
  SchedulerConfig config = small();
  config.max_num_seqs = 2;
  Simulation sim(config);
  const size_t before = add_two_clients(sim, 9, 44);
  sim.run_all();
  // Both are level when it comes, and get the same from then on, whatever their answers take.
  const auto place = [&](SequenceId id) {
    return static_cast<size_t>(std::ranges::find(sim.admitted, id) - sim.admitted.begin());
  };
  EXPECT_LE(place(41), before + 1);
  EXPECT_LE(place(44), before + 10);
  std::vector<SequenceId> first;
  std::ranges::copy_if(sim.admitted, std::back_inserter(first), [](auto id) { return id <= 40; });
  EXPECT_TRUE(std::ranges::is_sorted(first)) << "one client's requests keep their order";
}

TEST(Scheduler, NobodySavesUpTurnsWhileAway) {
  SchedulerConfig config = small();
  config.max_num_seqs = 1;
  Simulation sim(config);
  const size_t before = add_two_clients(sim, 60, 60);
  while (sim.admitted.size() < before + 10) sim.commit(*sim.launch());
  const auto own = std::count_if(sim.admitted.begin() + static_cast<std::ptrdiff_t>(before),
                                 sim.admitted.end(), [](auto id) { return id <= 40; });
  EXPECT_GE(own, 3) << "the client that was there goes on";
}

TEST(Scheduler, WhatOnePlanGivesCountsForTheNextTurn) {
  Simulation sim(small());
  for (SequenceId id = 1; id <= 4; ++id) sim.add(of_client(id <= 2 ? 1 : 2, id, 4, 4));
  std::vector<SequenceId> order;
  for (const Admission& a : sim.scheduler.plan().admissions) order.push_back(a.sequence);
  EXPECT_EQ(order, (std::vector<SequenceId>{1, 3, 2, 4}));
}

TEST(Scheduler, AStepThatIsGivenUpIsNoTurn) {
  SchedulerConfig config = small();
  config.max_num_seqs = 1;
  Simulation sim(config);
  sim.add(of_client(1, 1, 4, 4));
  sim.add(of_client(2, 2, 4, 4));
  sim.scheduler.reserve(sim.scheduler.plan()).reset();
  EXPECT_EQ(sim.scheduler.plan().admissions.at(0).sequence, 1u);
}

// Runs all to its end and returns what was preempted.
std::vector<SequenceId> run_to_the_end(Simulation& sim) {
  std::vector<SequenceId> preempted;
  while (auto step = sim.launch()) {
    for (const SequenceId id : step->reservation.plan().preempted) preempted.push_back(id);
    sim.commit(std::move(*step));
  }
  for (const auto& [id, r] : sim.requests) EXPECT_EQ(sim.done[id].output, Simulation::expected(r));
  return preempted;
}

TEST(Scheduler, PreemptsTheLastOneOfTheClientThatHoldsMost) {
  SchedulerConfig config = small();
  config.num_blocks = 9;
  config.enable_prefix_caching = false;
  Simulation sim(config);
  sim.add(of_client(1, 1, 8, 20));
  sim.add(of_client(1, 2, 8, 20));
  sim.commit(*sim.launch());
  sim.add(of_client(2, 3, 8, 20));
  const auto preempted = run_to_the_end(sim);
  ASSERT_FALSE(preempted.empty());
  EXPECT_EQ(sim.admitted, (std::vector<SequenceId>{1, 2, 3}));
  EXPECT_EQ(preempted.front(), 2u) << "the other client came last but holds less";
}

TEST(Scheduler, TheFirstAdmittedOneStaysHoweverMuchItHolds) {
  SchedulerConfig config = small();
  config.num_blocks = 9;
  config.enable_prefix_caching = false;
  Simulation sim(config);
  sim.add(of_client(1, 1, 16, 16));
  sim.commit(*sim.launch());
  sim.add(of_client(2, 2, 8, 16));
  const auto preempted = run_to_the_end(sim);
  ASSERT_FALSE(preempted.empty());
  EXPECT_EQ(std::ranges::count(preempted, 1u), 0);
}

// Else it would wait for as long as the longest answer of another one takes.
TEST(Scheduler, AClientWithoutAPlaceGetsOneOfThoseOfTheClientThatHasMost) {
  for (const size_t depth : {1, 2}) {  // steps in flight
    Simulation sim(small());
    for (SequenceId id = 1; id <= 6; ++id) sim.add(of_client(1, id, 4, 40));
    sim.commit(*sim.launch());
    sim.add(of_client(2, 7, 4, 2));
    sim.add(of_client(2, 8, 4, 2));
    std::deque<Simulation::Step> flying;
    std::vector<SequenceId> preempted;
    int steps = 0;
    while (!sim.done.contains(7)) {
      while (flying.size() < depth) {
        flying.push_back(*sim.launch());
        const auto& plan = flying.back().reservation.plan();
        preempted.insert(preempted.end(), plan.preempted.begin(), plan.preempted.end());
      }
      sim.commit(std::move(flying.front()));
      flying.pop_front();
      ASSERT_LE(++steps, 6);
    }
    for (; !flying.empty(); flying.pop_front()) sim.commit(std::move(flying.front()));
    EXPECT_EQ(preempted, (std::vector<SequenceId>{4})) << "the last of four";
    EXPECT_TRUE(run_to_the_end(sim).empty()) << "one place for each turn";
  }
}

TEST(Scheduler, NoPlaceIsTakenFromAClientThatHasOne) {
  Simulation sim(small());
  for (ClientId client = 1; client <= 5; ++client) sim.add(of_client(client, client, 4, 20));
  EXPECT_TRUE(run_to_the_end(sim).empty());
}

TEST(Scheduler, AFullHitStillComputesOneToken) {
  Simulation sim(small());
  const Request r = request(1, 16, 1);
  sim.add(r);
  sim.run_all();
  Request again = r;
  again.id = 2;
  sim.add(again);
  const auto step = sim.launch();
  EXPECT_EQ(step->reservation.plan().rows[0].first_token, 12);
  EXPECT_EQ(step->reservation.plan().rows[0].num_tokens, 4);
}

TEST(Scheduler, GeneratedBlocksAreFoundByTheNextTurn) {
  Simulation sim(small());
  Request first = request(1, 6, 10);
  while (Simulation::expected(first).size() < 10) ++first.tokens[0];
  sim.add(first);
  sim.run_all();
  Request second = request(2, 6, 1);
  second.tokens = first.tokens;
  const auto& output = sim.done[1].output;
  second.tokens.insert(second.tokens.end(), output.begin(), output.end());
  second.tokens.push_back(5);
  sim.add(second);
  sim.run_all();
  // 6 + 9 tokens were computed (the last one is never fed back): three full blocks.
  EXPECT_EQ(sim.done[2].hit_tokens, 12);
  EXPECT_EQ(sim.done[2].output, Simulation::expected(second));
}

TEST(Scheduler, AHitInsideAPictureIsMovedBeforeItWhenAsked) {
  for (const bool move : {false, true}) {
    SchedulerConfig config = small();
    config.disable_chunked_mm_input = move;
    Simulation sim(config);
    const Request first = request(1, 30, 1, {{6, 20, ContentKey{3, 3}}});
    sim.add(first);
    sim.run_all();
    Request second = first;
    second.id = 2;
    second.tokens.resize(26);  // ends with the picture: its last block is given back
    sim.add(second);
    sim.run_all();
    EXPECT_EQ(sim.done[2].hit_tokens, move ? 4 : 24);
    EXPECT_EQ(sim.done[2].output, Simulation::expected(second));
  }
}

TEST(Scheduler, AFailedRowEndsItsSequenceAndIsNotCached) {
  Simulation sim(small());
  sim.add(request(1, 16, 4));
  sim.add(request(2, 3, 4, {}, 60));
  auto step = sim.launch();
  step->results.assign(step->results.size(), {});
  step->results[0].failed = true;
  for (size_t i = 1; i < step->results.size(); ++i) step->results[i].token = 1;
  sim.scheduler.commit(std::move(step->reservation), step->results);
  EXPECT_EQ(sim.scheduler.find(1), nullptr);
  Request again = request(3, 16, 1);
  sim.add(again);
  sim.run_all();
  EXPECT_EQ(sim.done[3].hit_tokens, 0);
}

TEST(Scheduler, RemovedSequencesFreeTheirBlocksAfterTheStepInFlight) {
  Simulation sim(small());
  sim.add(request(1, 12, 4));
  auto step = sim.launch();
  sim.remove(1);
  EXPECT_EQ(sim.scheduler.running(), 0);
  EXPECT_EQ(sim.scheduler.blocks().available(), 61);
  sim.commit(std::move(*step));
  EXPECT_EQ(sim.scheduler.blocks().available(), 64);
  EXPECT_TRUE(sim.done[1].output.empty());
}

}  // namespace
}  // namespace ernie::sched
