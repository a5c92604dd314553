#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "comm/communicator.h"
#include "model/config.h"
#include "model/prompt.h"
#include "model/quantization.h"
#include "ops/backend.h"

namespace ernie::model {

// One step's work for the model on one rank. Tensors live in device memory.
struct ModelInput {
  int num_tokens = 0;
  TensorView token_ids;  // [tokens] int32
  TensorView positions;  // [tokens, 3] int32
  TensorView is_vision;  // [tokens] uint8
  bool any_vision = false;
  TensorView slots;  // [tokens] int32
  ops::AttentionBatch attention;

  // Features [first_feature, first_feature + count) of this unit replace the embeddings of rows
  // [first_row, first_row + count). A step that starts inside a unit takes it whole and uses the
  // rest. Rows [cache_row, cache_row + length of the unit) of encoder_cache hold all features if
  // `encoded`, else they receive them; -1: they are not kept.
  struct Media {
    const MediaUnit* unit = nullptr;
    int32_t first_row = 0;
    int32_t first_feature = 0;
    int32_t count = 0;
    int32_t cache_row = -1;
    bool encoded = false;
  };
  std::vector<Media> media;  // in this order: rows of encoder_cache may serve several, in turn
  TensorView encoder_cache;  // [rows, hidden] T

  // [m] int32: the rows whose logits are wanted, rising and distinct; m may be 0 and is at most
  // StepLimits::max_seqs.
  TensorView logits_rows;
  int num_logits = 0;

  // Runs only the first layers, until each kind of layer was there: enough to load all code.
  bool rehearsal = false;
};

// The cache of one rank: one KvLayer per decoder layer, over buffers the engine owns.
using KvCache = std::vector<ops::KvLayer>;

// Limits that size the work buffers; forward() never exceeds them and allocates nothing.
struct StepLimits {
  int max_tokens = 0;  // batch budget plus the largest media span
  int max_seqs = 0;
  int max_media_patches = 0;  // patches of the largest unit
};

// The shard of a model that one rank holds. Used only by that rank's thread.
class Model {
 public:
  virtual ~Model() = default;
  virtual const ModelConfig& config() const = 0;

  // Runs the decoder over the step's tokens, writes the cache, and fills logits [m, vocab] float32
  // (the whole vocabulary on every rank).
  virtual void forward(const ModelInput& input, const KvCache& cache, TensorView logits) = 0;

  // Features [tokens, hidden] of one unit, in the model's dtype; for tests and for warming up.
  virtual TensorView encode(const MediaUnit& unit) = 0;

  virtual size_t weight_bytes() const = 0;
  virtual size_t workspace_bytes() const = 0;
};

enum class LoadChoice { kCheckpoint, kDummy };

struct LoadOptions {
  DType activation = DType::kBF16;
  std::optional<Quantization> quantization;  // nothing: as the weights are stored
  LoadChoice choice = LoadChoice::kCheckpoint;
  bool text_only = false;  // leaves out vision tower, resampler and vision experts
  uint64_t seed = 0;       // of dummy weights; the same values for every tensor-parallel size
  StepLimits limits;
  // Called with (bytes done, bytes in all) while loading, first with 0 done; may be empty. Rank 0
  // only.
  std::function<void(size_t, size_t)> progress;
};

// Loads this rank's shard. Throws StartError that names tensor, file, expected and found when the
// checkpoint misses a tensor, has a surplus one, or one of a wrong shape or type.
std::unique_ptr<Model> load_model(const ModelConfig& config, const std::string& model_dir,
                                  const LoadOptions& options, ops::Backend& backend,
                                  Communicator& comm);

// The same model, whose head is its own where the folder's checkpoint stores one although the
// configuration ties it to the embedding. Throws StartError when the checkpoint cannot be read.
ModelConfig with_stored_head(ModelConfig config, const std::string& model_dir);

// Bytes one rank will need, computed from the configuration alone (nothing is loaded).
struct MemoryNeeds {
  size_t weight_bytes = 0;
  size_t workspace_bytes = 0;
};
Result<MemoryNeeds> plan_memory(const ModelConfig& config, const LoadOptions& options,
                                int tensor_parallel_size, const ops::Sizing& sizing);

// What the model asks of a backend at most, as far as the model decides it.
ops::WorkShape work_shape(const ModelConfig& config, const LoadOptions& options,
                          int tensor_parallel_size);

// Parameters of the whole model, tied matrices once; nothing is loaded.
int64_t count_parameters(const ModelConfig& config);

enum class WeightPart : uint8_t {
  kEmbeddings,  // and the head
  kAttention,
  kDenseMlp,
  kTextExperts,
  kVisionExperts,
  kSharedExperts,
  kVision,          // tower and resampler
  kNormsAndRouters  // of the decoder
};
constexpr int kWeightParts = 8;

struct PartSize {
  int64_t parameters = 0;
  size_t bytes = 0;
};
using PartSizes = std::array<PartSize, kWeightParts>;  // by WeightPart

// The parts of what plan_memory() counts as weights of one rank.
Result<PartSizes> count_parts(const ModelConfig& config, const LoadOptions& options,
                              int tensor_parallel_size, const ops::Sizing& sizing);

// Refuses sizes that do not divide, naming the numbers; KV heads are replicated when ranks exceed
// them.
Status check_tensor_parallel(const ModelConfig& config, int tensor_parallel_size);
int kv_heads_per_rank(const ModelConfig& config, int tensor_parallel_size);

// How each of the decoder's layers keeps keys and values on one rank.
ops::KvLayout kv_layout(const ModelConfig& config, KvType type, int tensor_parallel_size,
                        int block_size);

}  // namespace ernie::model
