#include "model/weight_loader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <thread>

#include "backend/cpu/cpu_backend.h"
#include "model/testing/checkpoint_writer.h"
#include "model/testing/tiny_model.h"
#include "tensor/bf16.h"

namespace ernie::model {
namespace {

using testing::safetensors_bytes;
using testing::TempFolder;

// All rows of a weight that was packed as `dtype`, in float32.
std::vector<float> rows_of(ops::Backend& backend, const Weight& weight, DType dtype) {
  const int64_t rows = weight.out_features();
  const Shape shape{rows, weight.in_features()};
  std::vector<int32_t> ids;
  for (int32_t i = 0; i < rows; ++i) ids.push_back(i);
  std::vector<float> out(static_cast<size_t>(shape.elements()));
  std::vector<BF16> narrow(out.size());
  void* data = dtype == DType::kF32 ? static_cast<void*>(out.data()) : narrow.data();
  backend.embed({&weight, 0, {ids.data(), DType::kI32, {rows}}, {data, dtype, shape}});
  if (dtype == DType::kBF16) {
    std::transform(narrow.begin(), narrow.end(), out.begin(), [](BF16 v) { return to_float(v); });
  }
  return out;
}

class PackingFromCheckpoint
    : public ::testing::TestWithParam<std::tuple<std::string, bool, DType>> {};

// Aligned rows are packed where they lie, others are read: slices, stacks and types all the same.
TEST_P(PackingFromCheckpoint, StacksOfSlicesHoldTheirValues) {
  const auto& [type, odd_header, dtype] = GetParam();
  const TensorSpec a{"model.layers.0.mlp.gate_proj.weight", TensorRole::kLinear, 37, 24};
  const TensorSpec b{"model.layers.0.mlp.up_proj.weight", TensorRole::kLinear, 20, 24};
  testing::TensorMap tensors;
  for (const TensorSpec& spec : {a, b}) {
    testing::NamedTensor& tensor = tensors[spec.name];
    tensor = {{spec.rows, spec.cols}, {}, type};
    for (int i = 0; i < spec.rows * spec.cols; ++i) {
      tensor.values.push_back(static_cast<float>((i * 7 + spec.rows) % 256 - 128));
    }
  }
  TempFolder folder;
  folder.write("model.safetensors", safetensors_bytes(tensors, odd_header));
  const auto source = open_checkpoint_source(testing::tiny_config(), folder.path());
  const auto backend = cpu::make_cpu_backend({.threads = 1});
  DeviceArena arena(backend.get());
  PackingLoader loader({*source, *backend, *backend, arena, {}});
  const MatrixPart parts[] = {{a, {3, 30, 8, 11}}, {b, {0, 20, 8, 11}}, {a, {36, 1, 8, 11}}};
  std::vector<float> expected;
  for (const MatrixPart& part : parts) {
    const std::vector<float>& values = tensors[part.tensor.name].values;
    for (int64_t r = 0; r < part.slice.rows; ++r) {
      const auto at = values.begin() + (part.slice.row + r) * 24 + part.slice.col;
      expected.insert(expected.end(), at, at + part.slice.cols);
    }
  }
  EXPECT_EQ(rows_of(*backend, *loader.matrix(parts, unquantized(dtype)), dtype), expected);
}

INSTANTIATE_TEST_SUITE_P(TypesAndAlignments, PackingFromCheckpoint,
                         ::testing::Combine(::testing::Values("BF16", "F32"), ::testing::Bool(),
                                            ::testing::Values(DType::kF32, DType::kBF16)));

TEST(PackingLoader, PartsOfDifferentTypesAreStackedToo) {
  const TensorSpec a{"model.layers.0.mlp.gate_proj.weight", TensorRole::kLinear, 1, 2};
  const TensorSpec b{"model.layers.0.mlp.up_proj.weight", TensorRole::kLinear, 1, 2};
  TempFolder folder;
  folder.write("model.safetensors", safetensors_bytes({{a.name, {{1, 2}, {1, 2}, "BF16"}},
                                                       {b.name, {{1, 2}, {3, 4}, "F32"}}}));
  const auto source = open_checkpoint_source(testing::tiny_config(), folder.path());
  const auto backend = cpu::make_cpu_backend({.threads = 1});
  DeviceArena arena(backend.get());
  PackingLoader loader({*source, *backend, *backend, arena, {}});
  const MatrixPart parts[] = {{a, whole(a)}, {b, whole(b)}};
  EXPECT_EQ(rows_of(*backend, *loader.matrix(parts, unquantized(DType::kF32)), DType::kF32),
            (std::vector<float>{1, 2, 3, 4}));
}

size_t peak_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::stoull(line.substr(6)) * 1024;
  }
  return 0;
}

// Shards without data on the disk: the kernel gives zeros, which take memory like other bytes.
void write_shard(const std::string& path, const std::vector<TensorSpec>& specs) {
  std::string header = "{";
  size_t end = 0;
  for (const TensorSpec& spec : specs) {
    const size_t begin = end;
    end += static_cast<size_t>(spec.rows * spec.cols) * 2;
    header += (begin ? ",\"" : "\"") + spec.name + "\":{\"dtype\":\"BF16\",\"shape\":[" +
              std::to_string(spec.rows) + "," + std::to_string(spec.cols) + "],\"data_offsets\":[" +
              std::to_string(begin) + "," + std::to_string(end) + "]}";
  }
  header += "}";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  const std::string bytes = safetensors_bytes(header, "");
  std::ofstream(path, std::ios::binary) << bytes;
  std::filesystem::resize_file(path, bytes.size() + end);
}

// A gigabyte of experts in four shards, loaded by two ranks at once, each weight dropped when it
// was made, as a device would take it out of host memory.
TEST(PackingLoader, HostMemoryStaysBoundedWhateverTheSizeOfTheCheckpoint) {
  constexpr int kShards = 4;
  constexpr int kExperts = 32;
  TempFolder folder;
  std::vector<TensorSpec> all;
  std::string map;
  size_t total = 0;
  for (int s = 0; s < kShards; ++s) {
    const std::string file = std::to_string(s) + ".safetensors";
    std::vector<TensorSpec> specs;
    for (int e = 0; e < kExperts; ++e) {
      const std::string stem =
          "model.layers." + std::to_string(s) + ".mlp.experts." + std::to_string(e) + ".";
      specs.push_back({stem + "gate_proj.weight", TensorRole::kLinear, 511, 2560});
      specs.push_back({stem + "up_proj.weight", TensorRole::kLinear, 511, 2560});
      specs.push_back({stem + "down_proj.weight", TensorRole::kLinear, 2560, 510});
    }
    for (const TensorSpec& spec : specs) {
      map += (map.empty() ? "\"" : ",\"") + spec.name + "\":\"" + file + "\"";
      total += static_cast<size_t>(spec.rows * spec.cols) * 2;
    }
    write_shard(folder.path() + "/" + file, specs);
    all.insert(all.end(), specs.begin(), specs.end());
  }
  folder.write("model.safetensors.index.json", "{\"weight_map\":{" + map + "}}");

  std::ofstream("/proc/self/clear_refs") << "5";  // the peak is what is used now
  const size_t before = peak_memory();
  std::vector<std::jthread> ranks;
  for (int rank = 0; rank < 2; ++rank) {
    ranks.emplace_back([&, rank] {
      const auto source = open_checkpoint_source(testing::tiny_config(), folder.path());
      const auto backend = cpu::make_cpu_backend({.threads = 1});
      DeviceArena arena(backend.get());
      PackingLoader loader({*source, *backend, *backend, arena, {}});
      for (size_t i = 0; i < all.size(); i += 3) {
        const MatrixPart gate_up[] = {{all[i], whole(all[i])}, {all[i + 1], whole(all[i + 1])}};
        loader.matrix(gate_up, {});
        loader.matrix(all[i + 2], {0, 2560, rank * 255, 255}, {});
      }
      source->finish();
    });
  }
  ranks.clear();
  const size_t growth = peak_memory() - before;
  std::printf("checkpoint %zu MB, peak grew by %zu MB\n", total / 1000000, growth / 1000000);
  EXPECT_GT(total, size_t{900} << 20);
  EXPECT_LT(growth, size_t{100} << 20);
}

}  // namespace
}  // namespace ernie::model
