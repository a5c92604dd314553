#include "model/ernie45_vl/vision_encoder.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/check.h"

namespace ernie::model::ernie45_vl {
namespace {

constexpr int64_t kTileRows = 2048;  // rows of an MLP computed at a time

// Statistics of the CLIP image processor, which ERNIE's takes over.
constexpr float kMean[3] = {0.48145466f, 0.4578275f, 0.40821073f};
constexpr float kStd[3] = {0.26862954f, 0.26130258f, 0.27577711f};

int64_t patch_values(const VisionConfig& config) {
  return int64_t{3} * config.patch_size * config.patch_size;
}

// A buffer's memory as a matrix of another shape.
TensorView as_matrix(const TensorView& buffer, int64_t rows, int64_t cols) {
  CHECK(rows * cols <= buffer.shape.elements(), "media unit exceeds the work buffers");
  return {buffer.data, buffer.dtype, {rows, cols}};
}

int64_t patches_of(const PatchGrid& grid) {
  return int64_t{grid.frames} * grid.height * grid.width;
}

// (row, column) of each patch, in merge-window order; the same in every frame.
void patch_positions(const PatchGrid& grid, std::vector<int32_t>& out) {
  out.clear();
  for (int frame = 0; frame < grid.frames; ++frame) {
    for (int row = 0; row < grid.height; row += 2) {
      for (int col = 0; col < grid.width; col += 2) {
        for (const auto& [y, x] : {std::array{0, 0}, {0, 1}, {1, 0}, {1, 1}}) {
          out.push_back(row + y);
          out.push_back(col + x);
        }
      }
    }
  }
}

// Rows 2i and 2i + 1 of the temporal part's input are token i of the first and of the second frame;
// an image is its own second frame.
void frame_pairs(const PatchGrid& grid, std::vector<int32_t>& out) {
  out.clear();
  const int32_t second = grid.frames == 2 ? grid.tokens() : 0;
  for (int32_t i = 0; i < grid.tokens(); ++i) {
    out.push_back(i);
    out.push_back(i + second);
  }
}

}  // namespace

VisionBuffers take_vision_buffers(const ModelConfig& config, DType dtype, const StepLimits& limits,
                                  DeviceArena& arena) {
  const VisionConfig& vision = *config.vision;
  const int64_t patches = limits.max_media_patches;
  const int64_t width = vision.hidden_size;
  const int64_t values = patch_values(vision);
  VisionBuffers b;
  b.pixels = arena.take(DType::kU8, {patches, values});
  b.positions = arena.take(DType::kI32, {patches, 2});
  b.pairs = arena.take(DType::kI32, {patches / 2});
  b.hidden = arena.take(dtype, {patches, width});
  b.normed = arena.take(dtype, {patches, width});
  b.wide = arena.take(dtype, {patches, std::max(3 * width, values)});
  b.inner = arena.take(dtype, {std::min(patches, kTileRows), vision.intermediate_size});
  b.features = arena.take(dtype, {patches / 4, config.hidden_size});
  return b;
}

VisionEncoder::VisionEncoder(Args args) : a_(std::move(args)) {
  host_rows_.reserve(static_cast<size_t>(2 * a_.buffers.positions.rows()));
}

TensorView VisionEncoder::encode(const PatchGrid& grid) {
  CHECK(grid.frames == 1 || grid.frames == 2, "a unit is an image or two frames");
  CHECK(grid.height % 2 == 0 && grid.width % 2 == 0, "patches come in 2 x 2 windows");
  const int64_t patches = patches_of(grid);
  embed_patches(grid);
  for (const VisionBlock& b : a_.tower.blocks) block(b, grid);
  const int64_t width = a_.config.vision->hidden_size;
  a_.operators.layer_norm({as_matrix(a_.buffers.hidden, patches, width), a_.tower.norm.weight,
                           a_.tower.norm.bias, a_.config.vision->norm_eps,
                           as_matrix(a_.buffers.normed, patches, width)});
  return resample(grid);
}

void VisionEncoder::embed_patches(const PatchGrid& grid) {
  const int64_t patches = patches_of(grid);
  const int64_t values = patch_values(*a_.config.vision);
  CHECK(static_cast<int64_t>(grid.pixels.size()) == patches * values,
        "pixels do not fill the grid");
  const TensorView pixels = as_matrix(a_.buffers.pixels, patches, values);
  a_.device.copy_to_device(pixels.data, grid.pixels.data(), grid.pixels.size());
  patch_positions(grid, host_rows_);
  a_.device.copy_to_device(a_.buffers.positions.data, host_rows_.data(),
                           host_rows_.size() * sizeof(int32_t));

  const TensorView normalized = as_matrix(a_.buffers.wide, patches, values);
  ops::NormalizePatchesArgs args{.patches = pixels, .out = normalized};
  std::copy(std::begin(kMean), std::end(kMean), args.mean);
  std::copy(std::begin(kStd), std::end(kStd), args.std);
  a_.operators.normalize_patches(args);
  const TensorView hidden = as_matrix(a_.buffers.hidden, patches, a_.config.vision->hidden_size);
  a_.operators.linear({.weight = a_.tower.patch_embed.get(), .x = normalized, .out = hidden});
}

void VisionEncoder::linear(const BiasedLinear& linear, TensorView in, TensorView out,
                           ops::Activation activation) {
  a_.operators.linear({linear.weight.get(), in, linear.bias, activation, out});
}

void VisionEncoder::block(const VisionBlock& block, const PatchGrid& grid) {
  const VisionConfig& vision = *a_.config.vision;
  const int64_t patches = patches_of(grid);
  const int64_t width = vision.hidden_size;
  const TensorView hidden = as_matrix(a_.buffers.hidden, patches, width);
  const TensorView normed = as_matrix(a_.buffers.normed, patches, width);
  const TensorView update = as_matrix(a_.buffers.wide, patches, width);

  const TensorView qkv = as_matrix(a_.buffers.wide, patches, 3 * width);
  a_.operators.layer_norm({hidden, block.norm1.weight, block.norm1.bias, vision.norm_eps, normed});
  linear(block.qkv, normed, qkv);
  a_.operators.vision_rope({qkv, as_matrix(a_.buffers.positions, patches, 2), vision.num_heads,
                            vision.head_dim(), vision.rope_theta});
  // Each frame attends to itself only.
  const int32_t frame = grid.height * grid.width;
  const std::array<int32_t, 3> starts{0, frame, 2 * frame};
  a_.operators.vision_attention(
      {qkv, std::span(starts).first(grid.frames + 1), vision.num_heads, vision.head_dim(), normed});
  linear(block.proj, normed, update);
  a_.operators.add({update, hidden});

  a_.operators.layer_norm({hidden, block.norm2.weight, block.norm2.bias, vision.norm_eps, normed});
  for (int64_t row = 0; row < patches; row += kTileRows) {
    const int64_t count = std::min(kTileRows, patches - row);
    const TensorView inner = as_matrix(a_.buffers.inner, count, vision.intermediate_size);
    linear(block.fc1, normed.slice_rows(row, count), inner, ops::Activation::kQuickGelu);
    linear(block.fc2, inner, update.slice_rows(row, count));
  }
  a_.operators.add({update, hidden});
}

void VisionEncoder::merge(const MergeMlp& mlp, TensorView in, TensorView inner, TensorView out) {
  linear(mlp.fc1, in, inner, ops::Activation::kGeluErf);
  linear(mlp.fc2, inner, out);
  a_.operators.layer_norm({out, mlp.norm.weight, mlp.norm.bias, a_.config.vision->norm_eps, out});
}

TensorView VisionEncoder::resample(const PatchGrid& grid) {
  const int64_t tokens = grid.tokens();
  const int64_t windows = tokens * grid.frames;
  const int64_t width = int64_t{4} * a_.config.vision->hidden_size;
  // Four consecutive patches are one window, so a window's row is four rows seen as one.
  const TensorView merged = as_matrix(a_.buffers.normed, windows, width);
  merge(a_.resampler.spatial, merged, as_matrix(a_.buffers.hidden, windows, width), merged);

  frame_pairs(grid, host_rows_);
  const TensorView rows{a_.buffers.pairs.data, DType::kI32, {2 * tokens}};
  a_.device.copy_to_device(rows.data, host_rows_.data(), host_rows_.size() * sizeof(int32_t));
  a_.operators.gather_rows({merged, rows, as_matrix(a_.buffers.wide, 2 * tokens, width)});
  const TensorView joined = as_matrix(a_.buffers.normed, tokens, width);
  merge(a_.resampler.temporal, as_matrix(a_.buffers.wide, tokens, 2 * width),
        as_matrix(a_.buffers.hidden, tokens, width), joined);

  const TensorView features = as_matrix(a_.buffers.features, tokens, a_.config.hidden_size);
  linear(a_.resampler.out, joined, features);
  a_.operators.rms_norm(
      {.x = features, .weight = a_.resampler.norm, .eps = a_.config.norm_eps, .out = features});
  return features;
}

}  // namespace ernie::model::ernie45_vl
