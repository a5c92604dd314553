#include <algorithm>
#include <cstddef>
#include <initializer_list>

#include "kernels/all_reduce/all_reduce.h"
#include "kernels/all_reduce/all_reduce_kernels.cuh"
#include "kernels/common/arch.h"
#include "kernels/common/launch.cuh"
#include "kernels/common/vector.cuh"

// Chooses the way a message goes, cuts it into tiles and launches.
namespace ernie::kernels {
namespace {

struct Shape {
  int cluster = 1;
  size_t shared_bytes = 0;
  int blocks_per_multiprocessor = 1;
};

int64_t block_limit(const AllReduceSetup& setup, const Shape& shape) {
  const int most =
      setup.max_blocks > 0
          ? setup.max_blocks
          : std::min(multiprocessors() * shape.blocks_per_multiprocessor, kMaxAllReduceBlocks);
  return most / shape.cluster * shape.cluster;
}

template <class... Parameters, class... More>
cudaError_t launch_job(void (*kernel)(Job, Parameters...), const AllReduceSetup& setup,
                       const Job& job, int64_t most_blocks, const Shape& shape, cudaStream_t stream,
                       More... more) {
  const int64_t blocks = std::min(most_blocks, block_limit(setup, shape));
  if (blocks <= 0) return cudaErrorInvalidValue;
  const cudaError_t allowed = allow_shared_memory(kernel, shape.shared_bytes);
  if (allowed != cudaSuccess) return allowed;
  cudaLaunchAttribute attributes[2]{};
  attributes[0].id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attributes[0].val.programmaticStreamSerializationAllowed = 1;
  attributes[1].id = cudaLaunchAttributeClusterDimension;
  attributes[1].val.clusterDim.x = static_cast<unsigned>(shape.cluster);
  attributes[1].val.clusterDim.y = 1;
  attributes[1].val.clusterDim.z = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(blocks));
  config.blockDim = dim3(kThreads);
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = stream;
  config.attrs = attributes;
  config.numAttrs = arch() < 90 ? 0 : shape.cluster > 1 ? 2 : 1;
  return cudaLaunchKernelEx(&config, kernel, job, more...);
}

Job make_job(const AllReduceSetup& setup, const void* in, void* out, int64_t count) {
  Job job{};
  job.rank = setup.rank;
  job.size = setup.size;
  // Where ranks share a GPU, kernels that wait would take the place of another rank's.
  job.lets_next_start = setup.max_blocks == 0;
  for (int r = 0; r < setup.size; ++r) {
    job.buffers[r] = static_cast<unsigned char*>(setup.buffers[r]);
  }
  job.areas = areas(setup.size, setup.max_bytes, setup.one_shot_bytes);
  job.abort = setup.abort;
  job.time_limit_ms = setup.time_limit_ms;
  job.fault = setup.fault;
  job.in = in;
  job.out = out;
  job.count = count;
  return job;
}

bool is_valid(const AllReduceSetup& setup, size_t bytes, std::initializer_list<const void*> data) {
  return setup.size >= 1 && setup.size <= kMaxAllReduceRanks && setup.rank >= 0 &&
         setup.rank < setup.size && bytes % 16 == 0 &&
         std::all_of(data.begin(), data.end(), is_aligned16);
}

// Of a longer sum, the bytes that one launch takes.
size_t piece_bytes(const AllReduceSetup& setup) {
  return std::max(setup.max_bytes, setup.one_shot_bytes) / 16 * 16;
}

const void* advance(const void* p, size_t bytes) {
  return static_cast<const unsigned char*>(p) + bytes;
}
void* advance(void* p, size_t bytes) { return static_cast<unsigned char*>(p) + bytes; }

// In tiles of job.tile_elements.
template <class T, class Store>
cudaError_t launch_one_shot(const AllReduceSetup& setup, Job job, const Shape& shape,
                            cudaStream_t stream) {
  job.tiles = ceil_div(job.count, job.tile_elements);
  return job.size <= 2
             ? launch_job(one_shot_kernel<T, Store, 2>, setup, job, job.tiles, shape, stream)
             : launch_job(one_shot_kernel<T, Store, kMaxAllReduceRanks>, setup, job, job.tiles,
                          shape, stream);
}

template <class T, class Out>
cudaError_t launch_sum(const AllReduceSetup& setup, Job job, cudaStream_t stream) {
  if (static_cast<size_t>(job.count) * sizeof(T) <= setup.one_shot_bytes) {
    constexpr int kWordElements = 4 / static_cast<int>(sizeof(T));
    // The lines of whole warps, half a block's at least.
    constexpr int kWarpWords = 32 * kLineWords;
    const int64_t block_words = ceil_div(job.count / kWordElements, block_limit(setup, {}));
    const int64_t tile_words = std::max<int64_t>(kThreads / 2 * kLineWords,
                                                 ceil_div(block_words, kWarpWords) * kWarpWords);
    job.tile_elements = static_cast<int>(tile_words) * kWordElements;
    return launch_one_shot<T, StoreSum<Out>>(setup, job, {}, stream);
  }
  const Shape shape{.blocks_per_multiprocessor = resident_blocks(job.size)};
  const int64_t units = job.count * static_cast<int64_t>(sizeof(T)) / 16;
  job.share_units = ceil_div(units, job.size);
  const int64_t blocks = ceil_div(job.share_units, kThreads);
  return job.size <= 2 ? launch_job(two_shot_kernel<T, Out, 2>, setup, job, blocks, shape, stream)
                       : launch_job(two_shot_kernel<T, Out, kMaxAllReduceRanks>, setup, job, blocks,
                                    shape, stream);
}

template <class T, class R>
cudaError_t launch_norm(const AllReduceSetup& setup, Job job, cudaStream_t stream) {
  // As few blocks to a row as give every thread one line. That no row's bits depend on the others,
  // it is the width alone that decides.
  const int64_t blocks = ceil_div(job.width * int64_t{sizeof(T)}, 4 * kLineWords * kThreads);
  const int split = arch() < 90 || blocks <= 1 ? 1 : blocks <= 2 ? 2 : kMaxRowBlocks;
  job.tile_elements = job.width / split;
  const Shape shape{
      .cluster = split,
      .shared_bytes = sizeof(float) * static_cast<size_t>(job.tile_elements + 2 * kMaxRowBlocks),
      .blocks_per_multiprocessor = resident_blocks(job.size)};
  return split == 1   ? launch_one_shot<T, StoreNorm<R, 1>>(setup, job, shape, stream)
         : split == 2 ? launch_one_shot<T, StoreNorm<R, 2>>(setup, job, shape, stream)
                      : launch_one_shot<T, StoreNorm<R, kMaxRowBlocks>>(setup, job, shape, stream);
}

}  // namespace

size_t default_one_shot_bytes(int size) {
  if (size <= 1) return size_t{1} << 18;
  // One shot sends 4/3 of the data to each of the others; two shots send 2 / size of it to each,
  // and take some 4 microseconds more. A link takes some 0.36 MB in a microsecond.
  const double others = size - 1;
  const double even = 4 * 0.36e6 / (others * (4.0 / 3.0 - 2.0 / size));
  return std::min<size_t>(size_t{2} << 20, static_cast<size_t>(even)) / 1024 * 1024;
}

size_t all_reduce_buffer_bytes(int size, size_t max_bytes, size_t one_shot_bytes) {
  const Areas a = areas(size, max_bytes, one_shot_bytes);
  return kAreasOffset + static_cast<size_t>(size) * (2 * a.line_bytes + 4 * a.share_bytes);
}

cudaError_t rehearse_all_reduce(const AllReduceSetup& setup, bool on, cudaStream_t stream) {
  unsigned char* state = static_cast<unsigned char*>(setup.buffers[setup.rank]);
  return cudaMemsetAsync(state + offsetof(State, failed), on ? 1 : 0, sizeof(State::failed),
                         stream);
}

cudaError_t launch_all_reduce(const AllReduceSetup& setup, const AllReduceParams& params,
                              cudaStream_t stream) {
  const size_t element = element_bytes(params.type);
  const size_t out_element = element_bytes(params.out_type);
  if (params.count < 0 || piece_bytes(setup) == 0 || out_element > element ||
      (out_element < element && params.in == params.out) ||
      !is_valid(setup, static_cast<size_t>(params.count) * element, {params.in, params.out})) {
    return cudaErrorInvalidValue;
  }
  const auto most = static_cast<int64_t>(piece_bytes(setup) / element);
  for (int64_t first = 0; first < params.count; first += most) {
    const Job job = make_job(setup, advance(params.in, static_cast<size_t>(first) * element),
                             advance(params.out, static_cast<size_t>(first) * out_element),
                             std::min(most, params.count - first));
    const cudaError_t error =
        element == 2       ? launch_sum<__nv_bfloat16, __nv_bfloat16>(setup, job, stream)
        : out_element == 2 ? launch_sum<float, __nv_bfloat16>(setup, job, stream)
                           : launch_sum<float, float>(setup, job, stream);
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

bool all_reduce_norm_takes(int width) { return width > 0 && width % 32 == 0 && width <= kMaxWidth; }

cudaError_t launch_all_reduce_norm(const AllReduceSetup& setup, const AllReduceNormParams& params,
                                   cudaStream_t stream) {
  const size_t row_bytes = static_cast<size_t>(params.width) * element_bytes(params.type);
  if (params.rows < 0 || !all_reduce_norm_takes(params.width) || setup.one_shot_bytes < row_bytes ||
      (params.type == ElementType::kBF16 && params.norm_type != ElementType::kBF16) ||
      !is_valid(setup, row_bytes, {params.in, params.out, params.residual, params.weight})) {
    return cudaErrorInvalidValue;
  }
  const auto most = static_cast<int64_t>(setup.one_shot_bytes / row_bytes);
  for (int64_t row = 0; row < params.rows; row += most) {
    const size_t element = static_cast<size_t>(row) * static_cast<size_t>(params.width);
    const size_t offset = element * element_bytes(params.norm_type);
    Job job =
        make_job(setup, advance(params.in, element * element_bytes(params.type)),
                 advance(params.out, offset), std::min(most, params.rows - row) * params.width);
    job.residual = advance(params.residual, offset);
    job.weight = params.weight;
    job.width = params.width;
    job.eps = params.eps;
    const cudaError_t error = params.type == ElementType::kBF16
                                  ? launch_norm<__nv_bfloat16, __nv_bfloat16>(setup, job, stream)
                              : params.norm_type == ElementType::kBF16
                                  ? launch_norm<float, __nv_bfloat16>(setup, job, stream)
                                  : launch_norm<float, float>(setup, job, stream);
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

cudaError_t launch_all_gather_columns(const AllReduceSetup& setup, const AllGatherParams& params,
                                      cudaStream_t stream) {
  const auto row_bytes = static_cast<size_t>(params.row_bytes);
  if (params.rows < 0 || params.row_bytes <= 0 ||
      !is_valid(setup, row_bytes, {params.part, params.out})) {
    return cudaErrorInvalidValue;
  }
  const size_t share = areas(setup.size, setup.max_bytes, setup.one_shot_bytes).share_bytes;
  const auto most = static_cast<int64_t>(share / row_bytes);
  if (most == 0) return cudaErrorInvalidValue;
  for (int64_t row = 0; row < params.rows; row += most) {
    const size_t offset = static_cast<size_t>(row) * row_bytes;
    const Job job = make_job(setup, advance(params.part, offset),
                             advance(params.out, offset * static_cast<size_t>(setup.size)), 0);
    const int64_t row_units = params.row_bytes / 16;
    const int64_t units = std::min(most, params.rows - row) * row_units;
    const cudaError_t error = launch_job(all_gather_kernel, setup, job, ceil_div(units, kThreads),
                                         {}, stream, units, row_units);
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

}  // namespace ernie::kernels
