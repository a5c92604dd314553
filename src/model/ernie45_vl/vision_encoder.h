#pragma once

#include <vector>

#include "model/device_arena.h"
#include "model/ernie45_vl/vision_weights.h"
#include "model/model.h"

namespace ernie::model::ernie45_vl {

// Work memory for the largest unit; P = its patches, E = width of the tower, T = activation type.
struct VisionBuffers {
  TensorView pixels;     // [P, 3 * patch * patch] uint8
  TensorView positions;  // [P, 2] int32
  TensorView pairs;      // [P / 2] int32: rows that the temporal part joins
  TensorView hidden;     // [P, E] T
  TensorView normed;     // [P, E] T
  TensorView wide;       // [P, max(3 E, 3 * patch * patch)] T
  TensorView inner;      // [tile, MLP width] T
  TensorView features;   // [P / 4, hidden] T
};

VisionBuffers take_vision_buffers(const ModelConfig& config, DType dtype, const StepLimits& limits,
                                  DeviceArena& arena);

// Vision tower and resampler: patches of one unit to rows of the decoder's input.
// Follows transformers' ernie4_5_vl_moe.
class VisionEncoder {
 public:
  struct Args {
    const ModelConfig& config;
    VisionTowerWeights tower;
    ResamplerWeights resampler;
    VisionBuffers buffers;
    ops::Device& device;
    ops::Operators& operators;
  };
  explicit VisionEncoder(Args args);

  // [tokens of the unit, hidden]; valid until the next call.
  TensorView encode(const PatchGrid& grid);

 private:
  void embed_patches(const PatchGrid& grid);
  void block(const VisionBlock& block, const PatchGrid& grid);
  TensorView resample(const PatchGrid& grid);
  void merge(const MergeMlp& mlp, TensorView in, TensorView inner, TensorView out);
  void linear(const BiasedLinear& linear, TensorView in, TensorView out,
              ops::Activation activation = ops::Activation::kNone);

  Args a_;
  std::vector<int32_t> host_rows_;  // scratch for what is uploaded per unit
};

}  // namespace ernie::model::ernie45_vl
