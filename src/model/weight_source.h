#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "model/config.h"
#include "ops/generated_matrix.h"
#include "ops/weight.h"
#include "tensor/weight_format.h"

namespace ernie::model {

// How a tensor is used, which decides how the layouts store it.
enum class TensorRole : uint8_t {
  kLinear,      // [out, in]
  kTable,       // [vocabulary, hidden]: embedding and head
  kRouter,      // [experts, hidden]
  kVector,      // [cols]; rows is 1
  kExpertBias,  // [cols]: one modality's row of e_score_correction_bias; rows is 1
};

// A tensor as the model wants it. Names are those of the original -PT checkpoints, except that the
// vision row of e_score_correction_bias is called ..._1 as its router is.
struct TensorSpec {
  std::string name;
  TensorRole role = TensorRole::kLinear;
  int64_t rows = 1;
  int64_t cols = 0;
};

// Rows [row, row + rows) and columns [col, col + cols) of a tensor.
struct Slice {
  int64_t row = 0;
  int64_t rows = 0;
  int64_t col = 0;
  int64_t cols = 0;
  int sum_parts = 1;  // see HostMatrix
};

inline Slice whole(const TensorSpec& spec) { return {0, spec.rows, 0, spec.cols}; }

// Where weights come from. All but describe() and has() throw StartError that names
// tensor, file, expected and found when the tensor is missing or of a wrong shape or type. One
// thread at a time.
class WeightSource {
 public:
  virtual ~WeightSource() = default;

  // For the log: what was found and how it was understood.
  virtual std::string describe() const = 0;

  virtual bool has(const TensorSpec& spec) const = 0;

  // The smallest type that holds the tensor's values as they are stored, kBF16 or kF32.
  virtual DType stored_dtype(const TensorSpec&) { return DType::kF32; }

  // The slice as values to be made on the device; none when it must be mapped or read.
  virtual std::optional<GeneratedMatrix> generated(const TensorSpec&, const Slice&) { return {}; }

  // Whether the matrices are quantised where the configuration says so: none is to be quantised
  // while it is loaded.
  virtual bool is_quantized() const { return false; }
  // The format in which a matrix is stored, if that is a quantised one; then its slices are got by
  // quantized() alone.
  virtual std::optional<WeightFormat> quantized_format(const TensorSpec&) { return {}; }
  // The slice of such a matrix. Valid until release().
  virtual QuantizedHostMatrix quantized(const TensorSpec&, const Slice&) { return {}; }

  // The slice where its rows already lie in memory, aligned for their type; data is nullptr if they
  // do not. Valid until release().
  virtual HostMatrix map(const TensorSpec& spec, const Slice& slice) = 0;

  // Writes the slice to out, row-major, as kF32 or kBF16 (rounded to nearest even).
  virtual void read(const TensorSpec& spec, const Slice& slice, DType dtype, void* out) = 0;

  // The slice will not be wanted again soon: it stops counting as this process's memory.
  virtual void release(const TensorSpec& spec) = 0;

  // Throws when the source holds tensors that nobody asked for.
  virtual void finish() = 0;
};

// Deterministic values that depend on seed, tensor name and element only: bell-shaped with
// deviation 1/sqrt(cols) for matrices, ones for norms, small numbers for biases. It has no
// lm_head.weight when the configuration ties it.
std::unique_ptr<WeightSource> make_dummy_source(const ModelConfig& config, uint64_t seed);

// The safetensors of a folder, in any of the three public layouts.
std::unique_ptr<WeightSource> open_checkpoint_source(const ModelConfig& config,
                                                     const std::string& folder);

}  // namespace ernie::model
