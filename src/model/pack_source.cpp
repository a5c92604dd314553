#include "model/pack_source.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <unordered_map>
#include <unordered_set>

#include "base/check.h"
#include "base/result.h"
#include "model/compressed_tensors.h"
#include "model/pack_index.h"
#include "model/read_ahead.h"
#include "model/strided_read.h"

namespace ernie::model {
namespace {

constexpr const char* kDamaged = "; the file is damaged, copy it again or pack the model again";

// This rank's part of the index; checks the size of its file, so that it can be mapped.
PackIndex::File rank_of(const std::string& folder, const Shard& shard) {
  PackIndex index = take(read_pack_index(folder));
  CHECK(index.tensor_parallel_size == shard.size, "a pack for another number of ranks");
  PackIndex::File& file = index.files[static_cast<size_t>(shard.rank)];
  const std::string path = folder + "/" + pack_file_name(shard.rank, shard.size);
  std::error_code missing;
  const uint64_t bytes = std::filesystem::file_size(path, missing);
  if (missing || bytes != file.bytes) {
    throw StartError(path + ": expected " + std::to_string(file.bytes) + " bytes, found " +
                     (missing ? missing.message() : std::to_string(bytes)) + kDamaged);
  }
  return std::move(file);
}

class PackSource : public WeightSource {
 public:
  PackSource(const ModelConfig& config, const std::string& folder, const Shard& shard)
      : quantization_(config.quantization),
        expected_(rank_of(folder, shard)),
        file_(folder + "/" + pack_file_name(shard.rank, shard.size)) {
    const Hash128 header = hash_bytes(file_.header().data(), file_.header().size());
    if (header != expected_.header) {
      throw StartError(file_.path() + ": header: expected checksum " + to_string(expected_.header) +
                       ", found " + to_string(header) + kDamaged);
    }
    for (const StoredTensor& tensor : file_.tensors()) by_name_.emplace(tensor.name, &tensor);
  }

  std::string describe() const override {
    return file_.path() + ": packed, " + std::to_string(by_name_.size()) + " tensors, " +
           (has({"lm_head.weight"}) ? "head of its own" : "head tied to the embedding");
  }

  bool has(const TensorSpec& spec) const override { return by_name_.contains(spec.name); }
  bool is_quantized() const override { return quantization_.any(); }

  std::optional<WeightFormat> quantized_format(const TensorSpec& spec) override {
    const auto tensor = find_matrix(spec);
    return tensor ? std::optional(tensor->format) : std::nullopt;
  }

  QuantizedHostMatrix quantized(const TensorSpec& spec, const Slice& slice) override {
    const auto tensor = find_matrix(spec);
    CHECK(tensor.has_value(), "the matrix is not quantised: " + spec.name);
    check_slice(*tensor->words, tensor->words->shape[0], tensor->cols, slice);
    verify(*tensor->words);
    verify(*tensor->scales);
    return slices_.take(*tensor, {0, slice.rows, 0, slice.cols});
  }

  HostMatrix map(const TensorSpec& spec, const Slice& slice) override {
    const StoredTensor& tensor = read_tensor(spec, slice);
    const DType dtype = tensor.type == StoredType::kF32 ? DType::kF32 : DType::kBF16;
    if (reinterpret_cast<uintptr_t>(tensor.data) % dtype_bytes(dtype) != 0) return {};
    return {
        .data = tensor.data, .dtype = dtype, .out_features = slice.rows, .in_features = slice.cols};
  }

  void read(const TensorSpec& spec, const Slice& slice, DType dtype, void* out) override {
    const StoredTensor& tensor = read_tensor(spec, slice);
    read_strided({tensor.data, tensor.type, slice.rows, slice.cols, slice.cols, 1}, dtype, out);
  }

  void release(const TensorSpec& spec) override {
    slices_.clear();
    for (const std::string& name :
         {spec.name, packed_name(spec.name), scale_name(spec.name), shape_name(spec.name)}) {
      const StoredTensor* tensor = find(name);
      if (tensor == nullptr) continue;
      known_.insert(tensor);
      tensor->file->drop(tensor->data, tensor->bytes);
    }
  }

  void finish() override {
    for (const StoredTensor& tensor : file_.tensors()) {
      if (known_.contains(&tensor)) continue;
      throw StartError(file_.path() + ": tensor \"" + tensor.name +
                       "\" is not of the model in config.json; pack the model again");
    }
  }

 private:
  const StoredTensor* find(const std::string& name) const {
    const auto at = by_name_.find(name);
    return at == by_name_.end() ? nullptr : at->second;
  }

  std::optional<QuantizedTensor> find_matrix(const TensorSpec& spec) {
    const StoredTensor* shape = find(shape_name(spec.name));
    if (shape == nullptr) return std::nullopt;
    verify(*shape);
    int64_t sizes[2] = {};
    std::memcpy(sizes, shape->data, std::min(sizeof(sizes), shape->bytes));
    return find_quantized([&](const std::string& name) { return find(name); }, spec.name, sizes[0],
                          sizes[1]);
  }

  const StoredTensor& read_tensor(const TensorSpec& spec, const Slice& slice) {
    const StoredTensor* tensor = find(spec.name);
    if (tensor == nullptr) {
      throw StartError(file_.path() + ": expected tensor \"" + spec.name +
                       "\", found none of that name; pack the model again");
    }
    if (tensor->type == StoredType::kOther || tensor->shape.size() != 2) {
      throw StartError(file_.path() + ": tensor \"" + tensor->name +
                       "\": expected a BF16 or F32 matrix, found " + tensor->type_name + " " +
                       tensor->shape_text() + "; pack the model again");
    }
    check_slice(*tensor, tensor->shape[0], tensor->shape[1], slice);
    verify(*tensor);
    return *tensor;
  }

  void check_slice(const StoredTensor& tensor, int64_t rows, int64_t cols,
                   const Slice& slice) const {
    if (rows == slice.rows && cols == slice.cols) return;
    throw StartError(file_.path() + ": tensor \"" + tensor.name + "\": expected " +
                     shape_text({slice.rows, slice.cols}) + " numbers, found " +
                     shape_text({rows, cols}) + "; pack the model again");
  }

  void verify(const StoredTensor& tensor) {
    read_ahead_.reading(*tensor.file, tensor.data, tensor.bytes);
    if (!verified_.insert(&tensor).second) return;
    const Hash128 found = hash_bytes(tensor.data, tensor.bytes);
    const auto expected = expected_.tensors.find(tensor.name);
    if (expected != expected_.tensors.end() && expected->second == found) return;
    throw StartError(
        file_.path() + ": tensor \"" + tensor.name + "\": expected checksum " +
        (expected == expected_.tensors.end() ? "in the index" : to_string(expected->second)) +
        ", found " + to_string(found) + kDamaged);
  }

  const Quantization quantization_;
  const PackIndex::File expected_;
  const SafetensorsFile file_;
  std::unordered_map<std::string, const StoredTensor*> by_name_;
  std::unordered_set<const StoredTensor*> verified_;
  std::unordered_set<const StoredTensor*> known_;  // that the model has, taken or left out
  ReadAhead read_ahead_;
  QuantizedSlices slices_;
};

}  // namespace

std::unique_ptr<WeightSource> open_pack_source(const ModelConfig& config, const std::string& folder,
                                               const Shard& shard) {
  return std::make_unique<PackSource>(config, folder, shard);
}

}  // namespace ernie::model
