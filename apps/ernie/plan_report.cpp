#include "plan_report.h"

#include <fmt/format.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "sched/sequence.h"

namespace ernie::app {
namespace {

namespace json = boost::json;

struct PartName {
  const char* text;
  const char* key;
};
// By model::WeightPart.
constexpr PartName kPartNames[model::kWeightParts] = {
    {"embedding and head", "embeddings"},
    {"attention", "attention"},
    {"dense MLP", "dense_mlp"},
    {"text experts", "text_experts"},
    {"vision experts", "vision_experts"},
    {"shared experts", "shared_experts"},
    {"vision tower and resampler", "vision"},
    {"norms and routers", "norms_and_routers"},
};

std::string size_text(size_t bytes) {
  const auto amount = static_cast<double>(bytes);
  if (bytes < size_t{1} << 30) return fmt::format("{:.2f} MiB", amount / (1 << 20));
  return fmt::format("{:.2f} GiB", amount / (1 << 30));
}

std::string mib(size_t bytes) { return fmt::format("{} MiB", bytes >> 20); }

std::string count_text(int64_t parameters) {
  const auto count = static_cast<double>(parameters);
  return count < 1e9 ? fmt::format("{:.2f} million", count * 1e-6)
                     : fmt::format("{:.2f} billion", count * 1e-9);
}

// 1234567 as 1,234,567.
std::string grouped(int64_t number) {
  std::string digits = std::to_string(number);
  for (auto at = static_cast<int64_t>(digits.size()) - 3; at > 0; at -= 3)
    digits.insert(static_cast<size_t>(at), ",");
  return digits;
}

model::PartSize total(const model::PartSizes& parts) {
  model::PartSize sum;
  for (const model::PartSize& part : parts) {
    sum.bytes += part.bytes;
    sum.parameters += part.parameters;
  }
  return sum;
}

int64_t kv_tokens(const PlanOptions& options, const ModelPlan& plan) {
  return int64_t{plan.memory.num_blocks} * options.serve.engine.block_size;
}

size_t kv_bytes_per_token(const PlanOptions& options, const ModelPlan& plan) {
  return plan.memory.block_bytes / static_cast<size_t>(options.serve.engine.block_size);
}

// Requests of --max-model-len tokens that the cache holds together.
int full_length_requests(const PlanOptions& options, const ModelPlan& plan) {
  const engine::EngineConfig& config = options.serve.engine;
  return plan.memory.num_blocks / sched::blocks_for(config.max_model_len, config.block_size);
}

std::string weights_name(const PlanOptions& options) {
  const engine::EngineConfig& config = options.serve.engine;
  const auto formats = model::resolve_quantization(options.config, config.quantization);
  return model::describe(formats ? *formats : config.quantization.value_or(model::Quantization{}),
                         config.dtype);
}

// An untied configuration has a head of its own.
std::string head_name(const PlanOptions& options) {
  const model::ModelConfig& config = options.config;
  const char* reason =
      options.has_checkpoint ? "as the checkpoint stores it" : "assumed from the configuration";
  if (!config.tie_word_embeddings) return fmt::format("head of its own, {}", reason);
  if (options.has_checkpoint) return fmt::format("head tied to the embedding, {}", reason);
  const size_t bytes = static_cast<size_t>(config.vocab_size) *
                       static_cast<size_t>(config.hidden_size) *
                       dtype_bytes(options.serve.engine.dtype);
  return fmt::format("head tied to the embedding, {} (a checkpoint that stores one takes {} more)",
                     reason, size_text(bytes));
}

std::string settings(const PlanOptions& options) {
  const engine::EngineConfig& config = options.serve.engine;
  return fmt::format("--max-model-len {}, --max-num-seqs {}, --max-num-batched-tokens {}{}",
                     config.max_model_len, config.max_num_seqs, config.max_num_batched_tokens,
                     config.text_only ? ", text only" : "");
}

std::string device_line(const PlanOptions& options, const DeviceGroup& devices,
                        const ModelPlan& plan) {
  const engine::EngineConfig& config = options.serve.engine;
  const std::string share =
      config.num_gpu_blocks_override > 0
          ? fmt::format("--num-gpu-blocks-override {}", config.num_gpu_blocks_override)
          : fmt::format("--gpu-memory-utilization {}", config.gpu_memory_utilization);
  const std::string usable =
      fmt::format("{} may be used ({})", size_text(plan.memory.budget_bytes), share);
  if (devices.is_cpu)
    return fmt::format("this machine: {} of {} are free, {}",
                       size_text(devices.memory().free_bytes), size_text(devices.total_bytes),
                       usable);
  return fmt::format("{}: {} each{}, {} reserved for the driver's context; {}", devices.name,
                     mib(devices.total_bytes),
                     devices.known_size ? "" : " (guessed: 99.5 % of the size in GiB)",
                     mib(devices.reserved_bytes), usable);
}

json::object parts_json(const model::PartSizes& parts) {
  json::object out;
  for (size_t i = 0; i < parts.size(); ++i) out[kPartNames[i].key] = parts[i].bytes;
  out["total"] = total(parts).bytes;
  return out;
}

json::object model_json(const PlanOptions& options) {
  const engine::EngineConfig& config = options.serve.engine;
  return {{"model", options.model_name},
          {"own_head", !options.config.tie_word_embeddings},
          {"head_assumed", !options.has_checkpoint},
          {"dtype", dtype_name(config.dtype)},
          {"kv_cache_dtype", kv_type_name(config.kv_type())},
          {"text_only", config.text_only},
          {"max_model_len", config.max_model_len},
          {"max_num_seqs", config.max_num_seqs},
          {"max_num_batched_tokens", config.max_num_batched_tokens},
          {"block_size", config.block_size}};
}

}  // namespace

std::string plan_text(const PlanOptions& options, const DeviceGroup& devices,
                      const ModelPlan& plan) {
  const bool several = devices.count > 1;
  std::string out =
      fmt::format("{}: {} parameters; {}\n{}\n{}\n{}\n\n", options.model_name,
                  count_text(total(plan.whole).parameters), weights_name(options),
                  head_name(options), settings(options), device_line(options, devices, plan));
  const auto line = [&](const char* what, size_t whole, size_t each) {
    out += fmt::format("{:28}{:>13}", what, size_text(whole));
    out += several ? fmt::format("{:>13}\n", size_text(each)) : "\n";
  };
  const auto each_line = [&](const char* what, const std::string& value) {
    out += fmt::format("{:28}{:>{}}\n", what, value, several ? 26 : 13);
  };
  if (several) out += fmt::format("{:28}{:>13}{:>13}\n", "", "whole", "each GPU");
  for (size_t i = 0; i < plan.whole.size(); ++i)
    if (plan.whole[i].bytes > 0) line(kPartNames[i].text, plan.whole[i].bytes, plan.each[i].bytes);
  line("weights", total(plan.whole).bytes, plan.memory.weight_bytes);
  each_line("work buffers", size_text(plan.memory.workspace_bytes));
  each_line("encoder cache", size_text(plan.memory.encoder_cache_bytes));
  each_line(
      fmt::format("key-value cache, {}", kv_type_name(options.serve.engine.kv_type())).c_str(),
      size_text(plan.memory.kv_bytes));
  each_line("  bytes of a token", grouped(static_cast<int64_t>(kv_bytes_per_token(options, plan))));
  if (!plan.fits()) return out + "\nDoes not fit: " + plan.problem + "\n";
  each_line("  tokens", grouped(kv_tokens(options, plan)));
  const int requests = full_length_requests(options, plan);
  return out + fmt::format("\nFits: the cache holds {} request{} of {} tokens at once\n", requests,
                           requests == 1 ? "" : "s", options.serve.engine.max_model_len);
}

std::string plan_json(const PlanOptions& options, const DeviceGroup& devices,
                      const ModelPlan& plan) {
  json::object out = model_json(options);
  out["quantization"] = weights_name(options);
  out["parameters"] = total(plan.whole).parameters;
  out["devices"] = json::object{{"name", devices.name},
                                {"count", devices.count},
                                {"total_bytes", devices.total_bytes},
                                {"total_is_guess", !devices.known_size},
                                {"reserved_bytes", devices.reserved_bytes},
                                {"budget_bytes", plan.memory.budget_bytes}};
  out["whole_weight_bytes"] = parts_json(plan.whole);
  out["each_weight_bytes"] = parts_json(plan.each);
  out["each_work_bytes"] = plan.memory.workspace_bytes;
  out["each_encoder_cache_bytes"] = plan.memory.encoder_cache_bytes;
  out["each_kv_bytes"] = plan.memory.kv_bytes;
  out["each_kv_bytes_per_token"] = kv_bytes_per_token(options, plan);
  out["fits"] = plan.fits();
  out["kv_tokens"] = plan.fits() ? kv_tokens(options, plan) : 0;
  out["full_length_requests"] = plan.fits() ? full_length_requests(options, plan) : 0;
  if (!plan.fits()) out["problem"] = plan.problem;
  return json::serialize(out) + "\n";
}

std::string table_text(const PlanOptions& options, const PlanTable& table) {
  std::string out = fmt::format(
      "{}; {}\n{}\nTokens of the key-value cache in {}; -: does not fit, or so many GPUs cannot "
      "share it\n\n{:10}",
      options.model_name, head_name(options), settings(options),
      kv_type_name(options.serve.engine.kv_type()), "");
  for (const std::string& name : table.quantizations) out += fmt::format("{:>14}", name);
  for (const PlanTable::Row& row : table.rows) {
    out += fmt::format("\n{:10}", row.gpus);
    for (const int64_t tokens : row.kv_tokens)
      out += fmt::format("{:>14}", tokens > 0 ? grouped(tokens) : "-");
  }
  return out + "\n";
}

std::string table_json(const PlanOptions& options, const PlanTable& table) {
  json::object out = model_json(options);
  json::array rows;
  for (const PlanTable::Row& row : table.rows) {
    json::object tokens;
    for (size_t i = 0; i < row.kv_tokens.size(); ++i)
      tokens[table.quantizations[i]] = row.kv_tokens[i];
    rows.push_back({{"gpus", row.gpus}, {"kv_tokens", std::move(tokens)}});
  }
  out["table"] = std::move(rows);
  return json::serialize(out) + "\n";
}

}  // namespace ernie::app
