#include <fmt/format.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "engine_bench.h"

namespace ernie::app {
namespace {

namespace json = boost::json;

struct Row {
  std::string what;
  double seconds;
  std::string rate;
  StepCost cost;
};

std::vector<Row> rows_of(const EngineBenchResult& result) {
  std::vector<Row> rows;
  for (const DecodeFigure& f : result.decode)
    rows.push_back({fmt::format("decode, batch {}", f.batch), f.step_seconds,
                    fmt::format("{:.1f} tok/s", f.batch / f.step_seconds), f.cost});
  for (const PrefillFigure& f : result.prefill)
    rows.push_back({fmt::format("prefill of {}", f.tokens), f.seconds,
                    fmt::format("{:.1f} tok/s", f.tokens / f.seconds), f.cost});
  for (const ImageFigure& f : result.image) {
    const std::string size =
        fmt::format("{}x{} ({} tokens)", f.size.width, f.size.height, f.tokens);
    rows.push_back({"picture " + size + ", cold", f.cold_seconds,
                    fmt::format("+ {:.1f} ms to prepare", f.prepare_seconds * 1e3), f.cold});
    rows.push_back({"picture " + size + ", repeated", f.repeated_seconds, "", f.repeated});
  }
  return rows;
}

json::object cost_json(double seconds, const StepCost& cost, const DeviceCeilings& ceilings) {
  const Floor floor = floor_of(cost, ceilings);
  return {{"ms", seconds * 1e3},
          {"floor_ms", floor.seconds * 1e3},
          {"floor_share", floor.seconds / seconds},
          {"bound", floor.memory ? "memory" : "compute"},
          {"weight_bytes", cost.weight_bytes},
          {"kv_bytes", cost.kv_bytes},
          {"flops", cost.flops}};
}

std::string ranks_text(const EngineBenchOptions& o) {
  if (o.shard > 1) return fmt::format("one of {} ranks alone", o.shard);
  const int ranks = o.serve.engine.tensor_parallel_size;
  return ranks == 1 ? "1 rank" : fmt::format("{} ranks", ranks);
}

}  // namespace

std::string engine_bench_table(const EngineBenchOptions& o, const EngineBenchResult& result) {
  const bool dummy = o.serve.engine.load_choice == model::LoadChoice::kDummy;
  std::string out = fmt::format(
      "{}, {} layers, {} {} weights, {} cache, {}, {}\n", o.model_name, o.config.num_layers,
      dummy ? "dummy" : "its own",
      model::describe(take(model::resolve_quantization(o.config, o.serve.engine.quantization)),
                      o.serve.engine.dtype),
      kv_type_name(o.serve.engine.kv_type()), ranks_text(o), result.device);
  out += fmt::format(
      "{:.1f} GB/s read, {:.3g} TFLOP/s; weights {:.2f} GB; {} prompt and {} new "
      "tokens when decoding; median of {}\n\n",
      result.ceilings.read_bytes_per_s * 1e-9, result.ceilings.flops * 1e-12,
      static_cast<double>(result.weight_bytes) * 1e-9, o.input_len, o.output_len, o.repeats);
  out += fmt::format("{:38} {:>10}  {:22} {:>10} {:>9}  {}\n", "", "ms", "", "floor ms", "of floor",
                     "floor set by");
  for (const Row& row : rows_of(result)) {
    const Floor floor = floor_of(row.cost, result.ceilings);
    const double bytes = row.cost.weight_bytes + row.cost.kv_bytes;
    out +=
        fmt::format("{:38} {:>10.3f}  {:22} {:>10.3f} {:>8.0f}%  {}\n", row.what, row.seconds * 1e3,
                    row.rate, floor.seconds * 1e3, 100 * floor.seconds / row.seconds,
                    floor.memory ? fmt::format("memory, {:.2f} GB", bytes * 1e-9)
                                 : fmt::format("compute, {:.3f} TFLOP", row.cost.flops * 1e-12));
  }
  for (const DecodeFigure& f : result.decode)
    if (f.preemptions > 0)
      out += fmt::format(
          "batch {}: {} preemptions; the cache is too small for it "
          "(--num-gpu-blocks-override)\n",
          f.batch, f.preemptions);
  return out;
}

std::string engine_bench_json(const EngineBenchOptions& o, const EngineBenchResult& result) {
  const bool dummy = o.serve.engine.load_choice == model::LoadChoice::kDummy;
  json::object out{{"model", o.model_name},
                   {"layers", o.config.num_layers},
                   {"weights", dummy ? "dummy" : "checkpoint"},
                   {"dtype", dtype_name(o.serve.engine.dtype)},
                   {"kv_cache_dtype", kv_type_name(o.serve.engine.kv_type())},
                   {"device", result.device},
                   {"tensor_parallel_size", o.serve.engine.tensor_parallel_size},
                   {"shard", o.shard},
                   {"repeats", o.repeats},
                   {"read_bytes_per_s", result.ceilings.read_bytes_per_s},
                   {"peak_flops", result.ceilings.flops},
                   {"weight_bytes", result.weight_bytes},
                   {"kv_bytes", result.kv_bytes},
                   {"peak_rss", result.peak_rss}};
  json::array decode;
  for (const DecodeFigure& f : result.decode) {
    json::object item = cost_json(f.step_seconds, f.cost, result.ceilings);
    item["batch"] = f.batch;
    item["input_len"] = o.input_len;
    item["output_len"] = o.output_len;
    item["tokens_per_s"] = f.batch / f.step_seconds;
    item["preemptions"] = f.preemptions;
    decode.push_back(std::move(item));
  }
  json::array prefill;
  for (const PrefillFigure& f : result.prefill) {
    json::object item = cost_json(f.seconds, f.cost, result.ceilings);
    item["tokens"] = f.tokens;
    item["tokens_per_s"] = f.tokens / f.seconds;
    prefill.push_back(std::move(item));
  }
  out["decode"] = std::move(decode);
  out["prefill"] = std::move(prefill);
  for (const ImageFigure& f : result.image)
    out["image"] =
        json::object{{"width", f.size.width},
                     {"height", f.size.height},
                     {"tokens", f.tokens},
                     {"prepare_ms", f.prepare_seconds * 1e3},
                     {"cold", cost_json(f.cold_seconds, f.cold, result.ceilings)},
                     {"repeated", cost_json(f.repeated_seconds, f.repeated, result.ceilings)}};
  return json::serialize(out) + "\n";
}

}  // namespace ernie::app
