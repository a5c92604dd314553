#include "engine/memory_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/plan.h"
#include "sched/sequence.h"

namespace ernie::engine {
namespace {

// More blocks than this only lengthen searches; FastDeploy has the same limit.
constexpr int kMaxBlocks = 40000;

// A picture comes back with the turns of its conversation; twice as many as run by default.
constexpr int64_t kKeptPictures = 16;
constexpr size_t kEncoderCacheShare = 20;  // one part in so many, since it is taken from the blocks

std::string mib(size_t bytes) {
  return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1 << 20));
}

// One device's needs, with the encoder cache that was asked for.
struct Needs : DeviceNeeds {
  size_t encoder_cache_bytes = 0;
};

size_t total(const Needs& needs, int blocks) {
  return needs.weight_bytes + needs.workspace_bytes + needs.encoder_cache_bytes +
         needs.block_bytes * blocks;
}

// Tokens of the largest picture or pair of frames.
int largest_unit(const EngineConfig& config) {
  return std::min(config.max_media_tokens, config.max_model_len);
}

int encoder_cache_tokens(const EngineConfig& config, size_t feature_bytes, size_t spare_bytes) {
  if (feature_bytes == 0) return 0;
  if (config.max_encoder_cache >= 0) return config.max_encoder_cache;
  const auto most = static_cast<int64_t>(spare_bytes / kEncoderCacheShare / feature_bytes);
  return static_cast<int>(std::min(kKeptPictures * largest_unit(config), most));
}

bool fits_without_encoder_cache(const Needs& needs, int blocks, size_t budget) {
  return needs.encoder_cache_bytes > 0 &&
         total(needs, blocks) - needs.encoder_cache_bytes <= budget;
}

// The flags that would make one sequence fit, each alone, as text; empty when none does.
std::string remedies(const EngineConfig& config, const ops::Backend::MemoryInfo& info,
                     size_t budget, const Needs& now, int min_blocks,
                     const std::function<Needs(int)>& needs) {
  std::vector<std::string> flags;
  const double share = std::ceil(100.0 * static_cast<double>(total(now, min_blocks)) /
                                 static_cast<double>(std::max<size_t>(info.free_bytes, 1))) /
                       100.0;
  if (share <= 1.0) flags.push_back(fmt::format("--gpu-memory-utilization {:.2f}", share));
  const size_t fixed = total(now, 0);
  const size_t blocks = budget > fixed ? (budget - fixed) / now.block_bytes : 0;
  if (blocks > 0) {
    flags.push_back(
        fmt::format("--max-model-len {}", blocks * static_cast<size_t>(config.block_size)));
  }
  int low = std::max(config.max_num_seqs, config.block_size) - 1;  // does not fit, or too small
  int high = config.max_num_batched_tokens;                        // does not fit
  if (high > low + 1 && total(needs(low + 1), min_blocks) <= budget) {
    for (++low; high - low > 1;) {  // `low` fits
      const int middle = low + (high - low) / 2;
      (total(needs(middle), min_blocks) <= budget ? low : high) = middle;
    }
    flags.push_back(fmt::format("--max-num-batched-tokens {}", low));
  }
  if (fits_without_encoder_cache(now, min_blocks, budget)) {
    flags.emplace_back("--max-encoder-cache 0");
  }
  return fmt::format("{}", fmt::join(flags, " or "));
}

}  // namespace

model::StepLimits step_limits(const EngineConfig& config, const model::ModelConfig& model_config) {
  const int unit = model_config.vision ? largest_unit(config) : 0;
  const int merge = model_config.vision ? model_config.vision->spatial_merge : 0;
  const int64_t most = static_cast<int64_t>(config.max_num_seqs) * config.max_model_len;
  return {
      .max_tokens = static_cast<int>(std::min<int64_t>(config.max_num_batched_tokens + unit, most)),
      .max_seqs = config.max_num_seqs,
      .max_media_patches = unit * merge * merge};
}

MemoryReport plan_device_memory(const EngineConfig& config, const ops::Backend::MemoryInfo& info,
                                int ranks_on_device,
                                const std::function<DeviceNeeds(int)>& rank_needs) {
  const auto needs = [&](int max_num_batched_tokens) {
    Needs n{rank_needs(max_num_batched_tokens)};
    n.weight_bytes *= ranks_on_device;
    n.workspace_bytes *= ranks_on_device;
    n.block_bytes *= ranks_on_device;
    n.feature_bytes *= ranks_on_device;
    n.encoder_cache_bytes = n.feature_bytes * std::max(config.max_encoder_cache, 0);
    return n;
  };
  const Needs now = needs(config.max_num_batched_tokens);
  const int min_blocks = sched::blocks_for(config.max_model_len, config.block_size);
  MemoryReport report{.device_total_bytes = info.total_bytes,
                      .weight_bytes = now.weight_bytes,
                      .workspace_bytes = now.workspace_bytes,
                      .kv_type = config.kv_type(),
                      .block_bytes = now.block_bytes};
  const bool overridden = config.num_gpu_blocks_override > 0;
  // An override says how large the cache is, so only what is really free bounds it.
  report.budget_bytes = overridden ? info.free_bytes
                                   : static_cast<size_t>(config.gpu_memory_utilization *
                                                         static_cast<double>(info.free_bytes));
  if (overridden && config.num_gpu_blocks_override < min_blocks) {
    throw StartError(fmt::format(
        "--num-gpu-blocks-override {} holds {} tokens, but one sequence may have --max-model-len "
        "{}; use at least {} blocks or --max-model-len {}",
        config.num_gpu_blocks_override, int64_t{config.num_gpu_blocks_override} * config.block_size,
        config.max_model_len, min_blocks, config.num_gpu_blocks_override * config.block_size));
  }
  const size_t fixed = total(now, 0);
  size_t room = report.budget_bytes > fixed ? report.budget_bytes - fixed : 0;
  const int wanted = overridden ? config.num_gpu_blocks_override : kMaxBlocks;
  const size_t for_blocks = now.block_bytes * (overridden ? wanted : min_blocks);
  report.encoder_cache_tokens =
      encoder_cache_tokens(config, now.feature_bytes, room > for_blocks ? room - for_blocks : 0);
  report.encoder_cache_bytes = now.feature_bytes * report.encoder_cache_tokens;
  room -= report.encoder_cache_bytes - now.encoder_cache_bytes;
  report.num_blocks =
      static_cast<int>(std::min<size_t>(room / now.block_bytes, static_cast<size_t>(wanted)));
  if (report.num_blocks < (overridden ? wanted : min_blocks)) {
    const int blocks = overridden ? wanted : min_blocks;
    std::string fix =
        overridden
            ? fmt::format("--num-gpu-blocks-override {}", std::max(min_blocks, report.num_blocks))
            : remedies(config, info, report.budget_bytes, now, min_blocks, needs);
    if (overridden && report.num_blocks < min_blocks) fix.clear();
    if (overridden && fits_without_encoder_cache(now, blocks, report.budget_bytes)) {
      fix += std::string(fix.empty() ? "" : " or ") + "--max-encoder-cache 0";
    }
    throw NotEnoughMemory(
        fmt::format(
            "not enough memory: weights take {}, work buffers {}{} and {} key-value blocks of {} "
            "tokens {}, together {}, but {} may be used ({} of {} are free{}). {}",
            mib(now.weight_bytes), mib(now.workspace_bytes),
            now.encoder_cache_bytes > 0 ? ", the encoder cache " + mib(now.encoder_cache_bytes)
                                        : "",
            blocks, config.block_size, mib(now.block_bytes * blocks), mib(total(now, blocks)),
            mib(report.budget_bytes), mib(info.free_bytes), mib(info.total_bytes),
            overridden
                ? ""
                : fmt::format(", --gpu-memory-utilization {}", config.gpu_memory_utilization),
            fix.empty() ? "None of the flags for memory would make it fit; quantise the weights "
                          "(--quantization wint4), use a smaller model, free memory or use more "
                          "devices"
                        : "It would fit with " + fix),
        report);
  }
  report.kv_bytes = now.block_bytes * report.num_blocks;
  return report;
}

std::string MemoryReport::to_string() const {
  return fmt::format(
      "weights {}, work buffers {}, encoder cache {} ({} tokens), key-value cache {} ({} blocks in "
      "{}); "
      "budget {} of {}",
      mib(weight_bytes), mib(workspace_bytes), mib(encoder_cache_bytes), encoder_cache_tokens,
      mib(kv_bytes), num_blocks, kv_type_name(kv_type), mib(budget_bytes), mib(device_total_bytes));
}

}  // namespace ernie::engine
