#include <benchmark/benchmark.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "backend/cpu/ceilings/ceilings.h"
#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/isa.h"
#include "tensor/bf16.h"

// Operators at the 0.3B geometry (hidden 1024, inner 3072, 16 query and 2 key-value heads of 128,
// vocabulary 103424) in bfloat16, products also with int8 and int4 weights, beside what the machine
// can do at most. Counters: GFLOPS and of_peak, GBps and of_read. ERNIE_CPU_ISA and
// ERNIE_BENCH_THREADS choose the instruction set and the number of threads.
namespace ernie::cpu {
namespace {

struct Machine {
  cpu::Isa isa = cpu::best_isa();
  int threads =
      std::getenv("ERNIE_BENCH_THREADS") ? std::atoi(std::getenv("ERNIE_BENCH_THREADS")) : 0;
  std::unique_ptr<ops::Backend> backend = cpu::make_cpu_backend({.threads = threads, .isa = isa});
  double read = 0;
  double peak = 0;

  Machine() {
    if (threads <= 0) {  // the backend took one per core and says how many
      const std::string name = backend->name();
      threads = std::atoi(name.c_str() + name.rfind(", ") + 2);
    }
    read = read_bandwidth(threads);
    peak = fma_peak(isa, threads);
    std::printf("%s: streaming read %.1f GB/s, multiply-add peak %.1f GFLOP/s\n",
                backend->name().c_str(), read * 1e-9, peak * 1e-9);
  }
};

Machine& machine() {
  static Machine m;
  return m;
}

class Tensor {
 public:
  Tensor(DType dtype, Shape shape)
      : buffer_(machine().backend->allocate(static_cast<size_t>(shape.elements()) *
                                            dtype_bytes(dtype))),
        view_(buffer_.view(dtype, shape)) {
    uint32_t state = 1;
    for (int64_t i = 0; i < shape.elements(); ++i) {
      state = state * 1664525u + 1013904223u;
      const float v = static_cast<float>(state >> 8) * 0x1p-24f - 0.5f;
      if (dtype == DType::kBF16) view_.as<BF16>()[i] = to_bf16(v);
      if (dtype == DType::kF32) view_.as<float>()[i] = v;
    }
  }
  TensorView view() const { return view_; }
  operator TensorView() const { return view_; }  // NOLINT(google-explicit-constructor)

 private:
  Buffer buffer_;
  TensorView view_;
};

std::unique_ptr<Weight> pack(const Tensor& matrix, int sum_parts, WeightFormat format) {
  const TensorView view = matrix.view();
  return machine().backend->pack({view.data, view.dtype, view.rows(), view.cols()},
                                 {.format = format, .sum_parts = sum_parts});
}

std::unique_ptr<Weight> random_weight(int64_t out, int64_t in) {
  return pack(Tensor(DType::kBF16, {out, in}), 1, {});
}

// Reports rates of `flops` and `bytes` per iteration against the machine's ceilings.
void count(benchmark::State& state, double flops, double bytes) {
  const Machine& m = machine();
  using benchmark::Counter;
  const auto rate = Counter::kIsIterationInvariantRate;
  if (flops > 0) {
    state.counters["GFLOPS"] = Counter(flops * 1e-9, rate);
    state.counters["of_peak"] = Counter(flops / m.peak, rate);
  }
  if (bytes > 0) {
    state.counters["GBps"] = Counter(bytes * 1e-9, rate);
    state.counters["of_read"] = Counter(bytes / m.read, rate);
  }
}

// Enough copies that no cache holds them, as the layers of a model.
void linear(benchmark::State& state, int64_t out, int64_t in, int sum_parts, WeightFormat format) {
  const int64_t rows = state.range(0);
  const Tensor matrix(DType::kBF16, {out, in});
  std::vector<std::unique_ptr<Weight>> weights;
  for (size_t total = 0; total < size_t{128} << 20; total += weights.back()->bytes()) {
    weights.push_back(pack(matrix, sum_parts, format));
  }
  const Tensor x(DType::kBF16, {rows, in});
  const Tensor y(DType::kBF16, {rows, out});
  size_t next = 0;
  for (auto _ : state) {
    machine().backend->linear({weights[next].get(), x, {}, ops::Activation::kNone, y});
    next = (next + 1) % weights.size();
  }
  count(state, 2.0 * static_cast<double>(rows * out * in),
        static_cast<double>(weights[0]->bytes()));
}

void attention(benchmark::State& state, int64_t queries, int64_t context) {
  constexpr int kHeads = 16, kKvHeads = 2, kDim = 128, kBlock = 64, kLayers = 24;
  const int32_t blocks = static_cast<int32_t>((context + kBlock - 1) / kBlock);
  std::vector<Tensor> keys, values;
  for (int i = 0; i < kLayers; ++i) {
    keys.emplace_back(DType::kBF16, Shape{blocks, kKvHeads, kBlock, kDim});
    values.emplace_back(DType::kBF16, Shape{blocks, kKvHeads, kBlock, kDim});
  }
  const Tensor qkv(DType::kBF16, {queries, (kHeads + 2 * kKvHeads) * kDim});
  const Tensor out(DType::kBF16, {queries, kHeads * kDim});
  std::vector<int32_t> table(static_cast<size_t>(blocks));
  std::iota(table.begin(), table.end(), 0);
  int32_t start[2] = {0, static_cast<int32_t>(queries)};
  int32_t length = static_cast<int32_t>(context);
  const ops::AttentionBatch batch{1,
                                  static_cast<int>(queries),
                                  {start, DType::kI32, {2}},
                                  {&length, DType::kI32, {1}},
                                  {table.data(), DType::kI32, {1, blocks}}};
  size_t layer = 0;
  for (auto _ : state) {
    const ops::KvLayer kv{keys[layer], values[layer], {}, {KvType::kBF16, kBlock, kKvHeads, kDim}};
    machine().backend->paged_attention({qkv, &batch, kHeads, kv, out});
    layer = (layer + 1) % kLayers;
  }
  // Query i sees context - queries + 1 + i keys.
  const double pairs = static_cast<double>(queries) *
                       (static_cast<double>(context) - (static_cast<double>(queries) - 1) / 2);
  count(state, pairs * kHeads * kDim * 4, static_cast<double>(context) * kKvHeads * kDim * 2 * 2);
}

void vision_attention(benchmark::State& state) {
  constexpr int kHeads = 16, kDim = 80;
  const int32_t patches = static_cast<int32_t>(state.range(0));
  const Tensor qkv(DType::kBF16, {patches, 3 * kHeads * kDim});
  const Tensor out(DType::kBF16, {patches, kHeads * kDim});
  const std::vector<int32_t> segments = {0, patches};
  for (auto _ : state) {
    machine().backend->vision_attention({qkv, segments, kHeads, kDim, out});
  }
  count(state, static_cast<double>(patches) * patches * kHeads * kDim * 4, 0);
}

// 64 experts of width 512 over hidden 1024, top 6.
void moe(benchmark::State& state) {
  constexpr int64_t kExperts = 64, kWidth = 512, kHidden = 1024, kTopK = 6;
  const int64_t tokens = state.range(0);
  ExpertWeights mlps;
  mlps.groups.resize(1);
  for (int64_t e = 0; e < kExperts; ++e) {
    mlps.groups[0].push_back({random_weight(2 * kWidth, kHidden), random_weight(kHidden, kWidth)});
  }
  const auto experts = machine().backend->make_experts(std::move(mlps));
  const Tensor x(DType::kBF16, {tokens, kHidden});
  const Tensor out(DType::kBF16, {tokens, kHidden});
  const Tensor weights(DType::kF32, {tokens, kTopK});
  std::vector<int32_t> ids(static_cast<size_t>(tokens * kTopK));
  std::vector<int32_t> order(kExperts);
  std::iota(order.begin(), order.end(), 0);
  std::mt19937 random(1);
  std::vector<bool> hit(kExperts);
  for (int64_t t = 0; t < tokens; ++t) {
    std::shuffle(order.begin(), order.end(), random);
    for (int64_t k = 0; k < kTopK; ++k) {
      ids[static_cast<size_t>(t * kTopK + k)] = order[static_cast<size_t>(k)];
      hit[static_cast<size_t>(order[static_cast<size_t>(k)])] = true;
    }
  }
  const double used = static_cast<double>(std::count(hit.begin(), hit.end(), true));
  for (auto _ : state) {
    machine().backend->moe_experts({.x = x,
                                    .expert_ids = {ids.data(), DType::kI32, {tokens, kTopK}},
                                    .expert_weights = weights,
                                    .experts = experts.get(),
                                    .out = out});
  }
  const double elements = 3.0 * kWidth * kHidden;
  count(state, 2 * elements * static_cast<double>(tokens * kTopK), elements * used * 2);
}

void sample(benchmark::State& state, float temperature, float top_p) {
  constexpr int64_t kVocab = 103424;
  std::vector<float> source(kVocab);
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0, 3);
  for (float& v : source) v = normal(random);
  const Tensor logits(DType::kF32, {1, kVocab});
  ops::SampleRow row{.options = {.temperature = temperature, .top_p = top_p}};
  for (auto _ : state) {
    std::copy(source.begin(), source.end(), logits.view().as<float>());
    ++row.position;
    benchmark::DoNotOptimize(machine().backend->sample(logits, {&row, 1}));
  }
}

void residual_norm(benchmark::State& state) {
  const int64_t rows = state.range(0);
  const Tensor x(DType::kBF16, {rows, 1024});
  const Tensor residual(DType::kBF16, {rows, 1024});
  const Tensor weight(DType::kBF16, {1024});
  const Tensor out(DType::kBF16, {rows, 1024});
  for (auto _ : state) machine().backend->residual_rms_norm({x, residual, weight, 1e-5f, out});
}

void register_all() {
  struct Matrix {
    const char* name;
    int64_t out, in;
    int sum_parts = 1;  // as the model takes the sum
  };
  for (const Matrix m : {Matrix{"qkv", 2560, 1024}, Matrix{"attention_out", 1024, 2048, 2},
                         Matrix{"gate_up", 6144, 1024}, Matrix{"down", 1024, 3072, 2},
                         Matrix{"head", 103424, 1024}}) {
    for (const auto& [suffix, format] :
         {std::pair{"", WeightFormat{}},
          {"_int8", WeightFormat{WeightType::kInt8}},
          {"_int4", WeightFormat{WeightType::kInt4}},
          {"_int8_group_32", WeightFormat{WeightType::kInt8, 32}},
          {"_int4_group_128", WeightFormat{WeightType::kInt4, 128}}}) {
      auto* b = benchmark::RegisterBenchmark(
          (std::string("linear_") + m.name + suffix).c_str(),
          [=](benchmark::State& state) { linear(state, m.out, m.in, m.sum_parts, format); });
      for (int rows : {1, 8, 64, 512}) {
        if (m.out < 100000 || rows < 512) b->Arg(rows);
      }
      b->UseRealTime();
    }
  }
  for (const auto& [queries, context] : {std::pair{1, 512}, {1, 8192}, {512, 512}, {512, 4096}}) {
    benchmark::RegisterBenchmark(
        ("attention/" + std::to_string(queries) + "/" + std::to_string(context)).c_str(),
        [=](benchmark::State& state) { attention(state, queries, context); })
        ->UseRealTime();
  }
  benchmark::RegisterBenchmark("vision_attention", vision_attention)
      ->Arg(256)
      ->Arg(2048)
      ->UseRealTime();
  benchmark::RegisterBenchmark("moe_experts", moe)
      ->Arg(1)
      ->Arg(8)
      ->Arg(64)
      ->Arg(512)
      ->UseRealTime();
  benchmark::RegisterBenchmark("residual_norm", residual_norm)->Arg(1)->Arg(512)->UseRealTime();
  benchmark::RegisterBenchmark("sample_greedy", [](benchmark::State& s) {
    sample(s, 0.0f, 1.0f);
  })->UseRealTime();
  benchmark::RegisterBenchmark("sample_top_p", [](benchmark::State& s) {
    sample(s, 1.0f, 0.8f);
  })->UseRealTime();
}

}  // namespace
}  // namespace ernie::cpu

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  ernie::cpu::machine();
  ernie::cpu::register_all();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
