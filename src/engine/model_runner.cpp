#include "engine/model_runner.h"

#include <algorithm>

#include "base/check.h"
#include "sched/sequence.h"

namespace ernie::engine {
namespace {

// An image and a video unit of the most patches, for the first run of the vision tower.
model::MediaUnit largest_unit(const model::ModelConfig& config, int patches, int frames) {
  auto grid = std::make_shared<model::PatchGrid>();
  grid->frames = frames;
  grid->width = 2;
  while ((grid->width + 2) * (grid->width + 2) * frames <= patches) grid->width += 2;
  grid->height = patches / frames / grid->width / 2 * 2;
  const int patch = config.vision->patch_size;
  grid->pixels.resize(static_cast<size_t>(frames) * grid->height * grid->width * 3 * patch * patch);
  model::MediaUnit unit;
  unit.length = grid->tokens();
  unit.patches = std::move(grid);
  return unit;
}

// A step that computes but writes nothing: `seqs` sequences that share the tokens, in the cache's
// first block.
BatchInputs empty_step(int tokens, int seqs, bool vision, int block_size) {
  BatchInputs batch;
  batch.token_ids.assign(tokens, 0);
  batch.positions.assign(3 * static_cast<size_t>(tokens), 0);
  batch.is_vision.assign(tokens, 0);
  if (vision) std::fill(batch.is_vision.begin(), batch.is_vision.begin() + tokens / 2, 1);
  batch.any_vision = vision;
  batch.slots.assign(tokens, -1);
  batch.query_start.push_back(0);
  for (int s = 0; s < seqs; ++s) {
    const int end = static_cast<int>(int64_t{tokens} * (s + 1) / seqs);
    batch.max_query_len = std::max(batch.max_query_len, end - batch.query_start.back());
    batch.context_len.push_back(end - batch.query_start.back());
    batch.query_start.push_back(end);
    batch.logits_rows.push_back(end - 1);
    batch.samples.push_back({.row = {.forced_token = 0}});
  }
  batch.max_blocks = sched::blocks_for(batch.max_query_len, block_size);
  batch.block_tables.assign(static_cast<size_t>(seqs) * batch.max_blocks, 0);
  return batch;
}

}  // namespace

std::vector<int> capture_sizes(int most) {
  std::vector<int> sizes;
  for (int size = 1; size < most; size += size < 16 ? 1 : size < 64 ? 8 : size < 256 ? 16 : 32) {
    sizes.push_back(size);
  }
  if (most > 0) sizes.push_back(most);
  return sizes;
}

StepShape RunnerSizes::largest_step() const {
  return {limits.max_tokens, limits.max_seqs, max_blocks_per_seq, limits.max_seqs};
}

size_t RunnerSizes::step_bytes() const {
  const auto seqs = static_cast<size_t>(limits.max_seqs);
  return StepArrays(largest_step(), nullptr).bytes + sizeof(int32_t) * seqs +
         sizeof(float) * seqs * vocab_size;
}

size_t RunnerSizes::block_bytes() const {
  return kv.block_bytes() * static_cast<size_t>(num_layers);
}

size_t RunnerSizes::feature_bytes() const {
  return static_cast<size_t>(hidden_size) * dtype_bytes(activation);
}

ModelRunner::ModelRunner(const RunnerSizes& sizes, ops::Backend& backend, model::Model& model)
    : sizes_(sizes), backend_(backend), model_(model) {
  const auto seqs = static_cast<size_t>(sizes.limits.max_seqs);
  host_inputs_.resize(StepArrays(sizes.largest_step(), nullptr).bytes);
  inputs_ = backend.allocate(host_inputs_.size());
  drawn_ = backend.allocate(seqs * sizeof(int32_t));
  logits_ = backend.allocate(seqs * sizes.vocab_size * sizeof(float));
  if (sizes.encoder_cache_rows > 0) {
    encoder_cache_ = backend.allocate(sizes.feature_bytes() * sizes.encoder_cache_rows);
  }
  const ops::KvLayout& kv = sizes.kv;
  const auto blocks = static_cast<size_t>(sizes.num_blocks);
  const auto allocate = [&](size_t bytes, DType dtype, int width) {
    const Buffer& buffer = kv_buffers_.emplace_back(backend.allocate(bytes * blocks));
    return buffer.view(dtype, {sizes.num_blocks, kv.kv_heads, kv.block_size, width});
  };
  for (int layer = 0; layer < sizes.num_layers; ++layer) {
    ops::KvLayer& own = cache_.emplace_back();
    own.layout = kv;
    own.keys = allocate(kv.page_bytes(), element_dtype(kv.type), kv.head_dim);
    own.values = allocate(kv.page_bytes(), element_dtype(kv.type), kv.head_dim);
    if (is_quantized(kv.type)) own.scales = allocate(kv.scale_bytes(), DType::kBF16, 2);
  }
}

StepShape ModelRunner::decode_shape(int seqs) const {
  return {seqs, seqs, sizes_.max_blocks_per_seq, seqs};
}

TensorView ModelRunner::logits(int rows) const {
  return logits_.view(DType::kF32, {rows, sizes_.vocab_size});
}

void ModelRunner::run_empty(int tokens, int seqs, bool vision) {
  start(empty_step(tokens, seqs, vision, sizes_.kv.block_size), true)->wait();
}

void ModelRunner::run_prefill(int tokens) {
  const auto& config = model_.config();
  const bool vision = config.vision && config.moe && config.moe->vision.num_experts > 0;
  const int most_context = sizes_.max_blocks_per_seq * sizes_.kv.block_size;
  run_empty(tokens, (tokens + most_context - 1) / most_context, false);
  run_empty(tokens, std::min(sizes_.limits.max_seqs, tokens), vision);
}

void ModelRunner::rehearse() {
  if (!backend_.has_graphs()) return;
  rehearsing_ = true;
  // The library of matrix products chooses other code for other numbers of rows.
  for (int tokens = sizes_.limits.max_tokens; tokens > 0; tokens = tokens * 3 / 4) {
    run_prefill(tokens);
  }
  for (const int seqs : capture_sizes(sizes_.max_graph_seqs)) run_empty(seqs, seqs, false);
  rehearsing_ = false;
}

void ModelRunner::warm_up(const std::function<void(int, int)>& captured) {
  if (!backend_.has_graphs()) return;
  run_prefill(sizes_.limits.max_tokens);
  if (model_.config().vision) {
    for (const int frames : {1, 2}) {
      model_.encode(largest_unit(model_.config(), sizes_.limits.max_media_patches, frames));
    }
  }
  backend_.synchronize();
  const std::vector<int> sizes = capture_sizes(sizes_.max_graph_seqs);
  for (size_t i = 0; i < sizes.size(); ++i) {
    const int seqs = sizes[i];
    run_empty(seqs, seqs, false);  // once without, so that nothing is left to be made
    const StepArrays arrays =
        upload(empty_step(seqs, seqs, false, sizes_.kv.block_size), decode_shape(seqs));
    backend_.synchronize();
    graphs_[seqs] = {decode_shape(seqs),
                     backend_.capture([this, arrays] { issue_decode(arrays); })};
    run_empty(seqs, seqs, false);
    captured(static_cast<int>(i) + 1, static_cast<int>(sizes.size()));
  }
}

const ModelRunner::DecodeGraph* ModelRunner::graph_for(const BatchInputs& batch) const {
  const bool decodes = !batch.any_vision && batch.media.empty() &&
                       batch.num_tokens() == batch.num_seqs() &&
                       batch.logits_rows.size() == batch.token_ids.size();
  if (!decodes) return nullptr;
  const auto at = graphs_.lower_bound(batch.num_seqs());
  return at == graphs_.end() ? nullptr : &at->second;
}

StepArrays ModelRunner::upload(const BatchInputs& batch, const StepShape& shape) {
  const StepArrays host(shape, host_inputs_.data());
  CHECK(host.bytes <= host_inputs_.size(), "a step exceeds the input buffers");
  write_step(batch, host);
  backend_.copy_to_device(inputs_.data(), host_inputs_.data(), host.bytes);
  return {shape, inputs_.data()};
}

model::ModelInput ModelRunner::input_of(const StepArrays& arrays) const {
  model::ModelInput input;
  input.num_tokens = static_cast<int>(arrays.token_ids.shape.elements());
  input.token_ids = arrays.token_ids;
  input.positions = arrays.positions;
  input.is_vision = arrays.is_vision;
  input.slots = arrays.slots;
  input.attention = {.num_seqs = static_cast<int>(arrays.context_len.shape.elements()),
                     .max_query_len = 1,
                     .query_start = arrays.query_start,
                     .context_len = arrays.context_len,
                     .block_tables = arrays.block_tables};
  input.logits_rows = arrays.logits_rows;
  input.num_logits = static_cast<int>(arrays.logits_rows.shape.elements());
  return input;
}

void ModelRunner::issue_decode(const StepArrays& arrays) {
  backend_.resolve_tokens(
      {drawn_.view(DType::kI32, {sizes_.limits.max_seqs}), arrays.token_sources, arrays.token_ids});
  const model::ModelInput input = input_of(arrays);
  model_.forward(input, cache_, logits(input.num_logits));
}

std::shared_ptr<ops::PendingSamples> ModelRunner::start(const BatchInputs& batch,
                                                        bool wants_samples) {
  CHECK(batch.num_tokens() > 0, "a step without tokens");
  if (const DecodeGraph* decode = graph_for(batch)) {
    upload(batch, decode->shape);
    decode->graph->replay();
  } else {
    issue_forward(batch);
  }
  const int drawn = wants_samples ? static_cast<int>(batch.logits_rows.size()) : 0;
  if (drawn > 0) draw(batch);
  return backend_.finish_step(drawn);
}

void ModelRunner::issue_forward(const BatchInputs& batch) {
  const StepArrays arrays = upload(batch, shape_of(batch));
  if (!batch.pending.empty()) {
    backend_.resolve_tokens({drawn_.view(DType::kI32, {sizes_.limits.max_seqs}),
                             arrays.token_sources, arrays.token_ids});
  }
  model::ModelInput input = input_of(arrays);
  input.any_vision = batch.any_vision;
  input.attention.max_query_len = batch.max_query_len;
  input.attention.host_query_start = batch.query_start;
  input.attention.host_context_len = batch.context_len;
  input.media = batch.media;
  input.rehearsal = rehearsing_;
  input.encoder_cache =
      encoder_cache_.view(sizes_.activation, {sizes_.encoder_cache_rows, sizes_.hidden_size});
  model_.forward(input, cache_, logits(input.num_logits));
}

void ModelRunner::draw(const BatchInputs& batch) {
  draw_rows_.clear();
  for (const SampleSpec& spec : batch.samples) draw_rows_.push_back(spec.row);
  if (batch.late_samples.valid()) {
    const std::vector<SampleSpec>& late = batch.late_samples.get();
    for (size_t i = 0; i < late.size(); ++i) draw_rows_[batch.late[i]] = late[i].row;
  }
  const auto rows = static_cast<int>(draw_rows_.size());
  backend_.prepare_draw(draw_rows_);
  backend_.draw(logits(rows), drawn_.view(DType::kI32, {rows}));
}

}  // namespace ernie::engine
