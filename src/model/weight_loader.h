#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "model/device_arena.h"
#include "model/weight_source.h"
#include "ops/backend.h"

namespace ernie::model {

// A slice of a tensor, to be stacked with others into one matrix.
struct MatrixPart {
  TensorSpec tensor;
  Slice slice;
};

// What the parts of a model call to get their weights while they are built.
class WeightLoader {
 public:
  virtual ~WeightLoader() = default;
  virtual bool has(const TensorSpec& spec) const = 0;
  // The parts' rows one after the other; all parts have the same number of columns.
  virtual std::unique_ptr<Weight> matrix(std::span<const MatrixPart> parts) = 0;
  // A small tensor in device memory, which the arena owns. [cols], or [rows, cols] for a router.
  virtual TensorView tensor(const TensorSpec& spec, DType dtype) = 0;

  std::unique_ptr<Weight> matrix(const TensorSpec& spec, const Slice& slice) {
    const MatrixPart part{spec, slice};
    return matrix(std::span(&part, 1));
  }
};

// Reads from a source and packs for a backend.
class PackingLoader : public WeightLoader {
 public:
  struct Args {
    WeightSource& source;
    ops::Backend& backend;
    DeviceArena& arena;
    DType activation = DType::kBF16;
    std::function<void(size_t)> loaded;  // told the bytes of each weight; may be empty
  };
  explicit PackingLoader(Args args) : args_(std::move(args)) {}

  using WeightLoader::matrix;
  bool has(const TensorSpec& spec) const override { return args_.source.has(spec); }
  std::unique_ptr<Weight> matrix(std::span<const MatrixPart> parts) override;
  TensorView tensor(const TensorSpec& spec, DType dtype) override;

  size_t bytes() const { return bytes_; }

 private:
  std::unique_ptr<Weight> pack(std::span<const MatrixPart> parts);
  // The parts where they lie; empty when not all can be used there.
  std::vector<HostMatrix> map(std::span<const MatrixPart> parts);
  HostMatrix read(std::span<const MatrixPart> parts);  // into scratch memory
  void count(size_t bytes);

  Args args_;
  std::vector<std::byte> scratch_;
  size_t bytes_ = 0;
};

// Reads nothing and returns no weights: adds up what loading would take.
class PlanningLoader : public WeightLoader {
 public:
  // `backend` may be nullptr when only elements() is wanted.
  PlanningLoader(const ModelConfig& config, const ops::Backend* backend, DType activation)
      : tied_(config.tie_word_embeddings), backend_(backend), activation_(activation) {}

  using WeightLoader::matrix;
  bool has(const TensorSpec& spec) const override {
    return !(tied_ && spec.name == "lm_head.weight");
  }
  std::unique_ptr<Weight> matrix(std::span<const MatrixPart> parts) override;
  TensorView tensor(const TensorSpec& spec, DType dtype) override;

  size_t bytes() const { return bytes_; }
  int64_t elements() const { return elements_; }  // parameters in the slices asked for

 private:
  bool tied_;
  const ops::Backend* backend_;
  DType activation_;
  size_t bytes_ = 0;
  int64_t elements_ = 0;
};

}  // namespace ernie::model
