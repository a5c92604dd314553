#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "model/device_arena.h"
#include "model/part_reader.h"
#include "model/weight_source.h"
#include "ops/device.h"
#include "ops/packer.h"

namespace ernie::model {

// What the parts of a model call to get their weights while they are built.
class WeightLoader {
 public:
  virtual ~WeightLoader() = default;
  virtual bool has(const TensorSpec& spec) const = 0;
  // The parts' rows one after the other; all parts have the same number of columns.
  virtual std::unique_ptr<Weight> matrix(std::span<const MatrixPart> parts, WeightFormat format,
                                         ops::MatrixUse use = ops::MatrixUse::kLinear) = 0;
  // Null while planning.
  virtual std::unique_ptr<ExpertSet> experts(ExpertWeights weights) = 0;
  // A small tensor in device memory, which the arena owns. [cols], or [rows, cols] for a router.
  virtual TensorView tensor(const TensorSpec& spec, DType dtype) = 0;

  std::unique_ptr<Weight> matrix(const TensorSpec& spec, const Slice& slice, WeightFormat format) {
    const MatrixPart part{spec, slice};
    return matrix(std::span(&part, 1), format);
  }
};

// Reads from a source and packs for a backend.
class PackingLoader : public WeightLoader {
 public:
  struct Args {
    WeightSource& source;
    ops::Packer& packer;
    ops::Device& device;
    DeviceArena& arena;
    std::function<void(size_t)> loaded;  // told the bytes of each weight; may be empty
  };
  explicit PackingLoader(Args args) : args_(std::move(args)), reader_(args_.source) {}

  using WeightLoader::matrix;
  bool has(const TensorSpec& spec) const override { return args_.source.has(spec); }
  std::unique_ptr<Weight> matrix(std::span<const MatrixPart> parts, WeightFormat format,
                                 ops::MatrixUse use = ops::MatrixUse::kLinear) override;
  std::unique_ptr<ExpertSet> experts(ExpertWeights weights) override {
    return args_.packer.make_experts(std::move(weights));
  }
  TensorView tensor(const TensorSpec& spec, DType dtype) override;

  size_t bytes() const { return bytes_; }

 private:
  std::unique_ptr<Weight> pack(std::span<const MatrixPart> parts, const ops::PackSpec& spec);
  // The parts as they are stored when they are quantised already, else empty. Throws StartError
  // when that is not in `format`.
  std::vector<QuantizedHostMatrix> quantized(std::span<const MatrixPart> parts,
                                             WeightFormat format);
  void count(size_t bytes);

  Args args_;
  PartReader reader_;
  size_t bytes_ = 0;
};

// Takes nothing: tells a source that what is asked for is left out on purpose.
class SkippingLoader : public WeightLoader {
 public:
  explicit SkippingLoader(WeightSource& source) : source_(source) {}

  bool has(const TensorSpec& spec) const override { return source_.has(spec); }
  std::unique_ptr<Weight> matrix(std::span<const MatrixPart> parts, WeightFormat,
                                 ops::MatrixUse) override {
    for (const MatrixPart& part : parts) source_.release(part.tensor);
    return nullptr;
  }
  std::unique_ptr<ExpertSet> experts(ExpertWeights) override { return nullptr; }
  TensorView tensor(const TensorSpec& spec, DType) override {
    source_.release(spec);
    return {};
  }

 private:
  WeightSource& source_;
};

// Reads nothing and returns no weights: adds up what loading would take.
class PlanningLoader : public WeightLoader {
 public:
  // `sizing` may be nullptr when only elements() is wanted.
  PlanningLoader(const ModelConfig& config, const ops::Sizing* sizing)
      : tied_(config.tie_word_embeddings), sizing_(sizing) {}

  using WeightLoader::matrix;
  bool has(const TensorSpec& spec) const override {
    return !(tied_ && spec.name == "lm_head.weight");
  }
  std::unique_ptr<Weight> matrix(std::span<const MatrixPart> parts, WeightFormat format,
                                 ops::MatrixUse use = ops::MatrixUse::kLinear) override;
  std::unique_ptr<ExpertSet> experts(ExpertWeights) override { return nullptr; }
  TensorView tensor(const TensorSpec& spec, DType dtype) override;

  size_t bytes() const { return bytes_; }
  int64_t elements() const { return elements_; }  // parameters in the slices asked for

 private:
  bool tied_;
  const ops::Sizing* sizing_;
  size_t bytes_ = 0;
  int64_t elements_ = 0;
};

}  // namespace ernie::model
