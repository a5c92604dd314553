#pragma once

#include <string>
#include <vector>

#include "model/checkpoint.h"
#include "model/config.h"
#include "model/weight_source.h"

namespace ernie::model {

// The public layouts of ERNIE-4.5 checkpoints.
//   kPt      original names, one tensor per projection, [out, in]; text models too. Paddle's tools
//            also write these names with matrices [in, out] and, of text models, with gate/up and
//            q/k/v fused
//   kHf      transformers' in-library VL model: renamed modules, experts stacked in one tensor
//   kPaddle  prefix "ernie.", q/k/v and gate/up fused, matrices [in, out]
enum class Layout { kPt, kHf, kPaddle };

const char* layout_name(Layout layout);

// Told by the tensors' names. Throws StartError when they fit no layout.
Layout probe_layout(const Checkpoint& checkpoint);

// A place where a layout may keep a tensor: rows [row, row + rows of the spec) of a stored matrix
// that has total_rows rows when seen as [out, in].
struct StoredPlace {
  std::string name;
  int64_t row = 0;
  int64_t total_rows = 0;
  int64_t stack_index = -1;  // the matrix is one of a stack [stack_size, ., .]
  int64_t stack_size = 0;
  // Not 0: the rows lie in blocks of so many, each so far behind the one before it.
  int64_t block_rows = 0;
  int64_t block_stride = 0;
};

// The places to look for a tensor, the usual one first.
std::vector<StoredPlace> places_of(const TensorSpec& spec, Layout layout,
                                   const ModelConfig& config);

// Whether the matrices are stored [in, out], told by the shapes of the first ones that are not
// square. Where none tells, those of Paddle are: the layout's, or what config.json ("source") or
// the files ("format": "np") say of themselves.
bool probe_transposed(const Checkpoint& checkpoint, Layout layout, const ModelConfig& config);

// Tensors that no forward pass needs: multi-token prediction, buffers of rotary frequencies.
bool is_ignorable(const std::string& stored_name);

}  // namespace ernie::model
