#include <benchmark/benchmark.h>

#include <atomic>
#include <fstream>
#include <iterator>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "base/content_key.h"
#include "base/fair_queue.h"
#include "base/hash.h"
#include "media/image.h"
#include "sched/sequence.h"

// What keys that nobody can forge and lanes of their own cost a request: SHA-256 beside the hash
// that was there before (XXH3), and beside decoding the picture that it is the key of; and how long
// a task takes from one thread to another. Run in the repository's root.
namespace ernie {
namespace {

std::string picture() {
  std::ifstream file("tests/golden/media/jpeg_photo.jpg", std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void picture_key_sha256(benchmark::State& state) {
  const std::string file = picture();
  for (auto _ : state) benchmark::DoNotOptimize(content_key(file.data(), file.size()));
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(file.size()));
}
void picture_key_xxh3(benchmark::State& state) {
  const std::string file = picture();
  for (auto _ : state) benchmark::DoNotOptimize(hash_bytes(file.data(), file.size()));
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(file.size()));
}
void picture_decode(benchmark::State& state) {
  const std::string file = picture();
  const std::vector<uint8_t> bytes(file.begin(), file.end());
  if (!media::decode_image(bytes, {}))
    return state.SkipWithError("run it in the repository's root");
  for (auto _ : state) benchmark::DoNotOptimize(media::decode_image(bytes, {}));
}

// The keys of a prompt's blocks of 64 tokens.
void prompt_keys(benchmark::State& state) {
  sched::Sequence sequence;
  sequence.tokens.resize(static_cast<size_t>(state.range(0)));
  std::iota(sequence.tokens.begin(), sequence.tokens.end(), 0);
  for (auto _ : state) {
    sequence.block_keys.clear();
    sched::extend_block_keys(sequence, 64);
    benchmark::DoNotOptimize(sequence.block_keys.data());
  }
}

// A task there and back, as a request that changes its pool twice. Spinning would be quicker and
// takes a core.
void lane_there_and_back(benchmark::State& state) {
  FairQueue<int> there, back;
  std::thread lane([&] {
    while (auto task = there.pop()) back.push(0, task->value);
  });
  for (auto _ : state) {
    there.push(0, 1);
    benchmark::DoNotOptimize(back.pop());
  }
  there.close();
  lane.join();
}

BENCHMARK(picture_key_sha256);
BENCHMARK(picture_key_xxh3);
BENCHMARK(picture_decode);
BENCHMARK(prompt_keys)->Arg(128)->Arg(2048);
BENCHMARK(lane_there_and_back)->UseRealTime();

}  // namespace
}  // namespace ernie
