#include "kernels/common/launch.cuh"
#include "kernels/elementwise/activation.cuh"
#include "kernels/linear/linear.h"
#include "kernels/quantized/stream.cuh"

namespace ernie::kernels {
namespace {

using quantized::Item;

// A block's share of the outputs, and of the rows when they are more than a tile's.
template <class S>
class Work {
 public:
  using Cursor = int64_t;  // slab, counted on through the tiles of rows

  __device__ explicit Work(const LinearParams& p)
      : p_(p), slabs_(static_cast<int>(ceil_div(p.out_features, kSlabRows))) {
    const int64_t all = ceil_div(p.rows, S::kRows) * slabs_;
    begin_ = all * blockIdx.x / gridDim.x;
    end_ = all * (blockIdx.x + 1) / gridDim.x;
  }

  __device__ Cursor first() const { return begin_; }
  __device__ bool find(Cursor& c) const { return c < end_; }
  __device__ Item item(Cursor c) const {
    const auto tile = static_cast<int>(c / slabs_);
    Item item;
    item.int4 = p_.format.type == WeightType::kInt4;
    item.group = p_.format.group;
    item.values = static_cast<const unsigned char*>(p_.weight);
    item.scales = static_cast<const __nv_bfloat16*>(p_.scales);
    item.k = static_cast<int>(p_.in_features);
    item.slab = static_cast<int>(c % slabs_);
    item.slabs = static_cast<int>(min(min(int64_t{slabs_ - item.slab}, end_ - c),
                                      int64_t{S::max_slabs(item.int4, item.slab)}));
    item.row = tile * S::kRows;
    item.rows = static_cast<int>(min(p_.rows - item.row, int64_t{S::kRows}));
    return item;
  }
  __device__ Cursor after(Cursor c, const Item& item) const { return c + item.slabs; }
  __device__ const __nv_bfloat16* row(const Item& item, int i) const {
    return static_cast<const __nv_bfloat16*>(p_.x) + int64_t{item.row + i} * p_.in_features;
  }
  __device__ void finish(const Item& item, int slab, int g, int i, float low, float high) const {
    write(item.row + i, slab * kSlabRows + g, low);
    write(item.row + i, slab * kSlabRows + g + 8, high);
  }

 private:
  __device__ void write(int row, int output, float y) const {
    if (output >= p_.out_features) return;
    if (p_.bias != nullptr) y += to_float(static_cast<const __nv_bfloat16*>(p_.bias)[output]);
    y = activate(p_.activation, y);
    const int64_t at = row * p_.out_features + output;
    if (p_.out_type == ElementType::kF32) {
      static_cast<float*>(p_.out)[at] = y;
    } else {
      static_cast<__nv_bfloat16*>(p_.out)[at] = from_float<__nv_bfloat16>(y);
    }
  }

  const LinearParams& p_;
  int slabs_;
  int64_t begin_;
  int64_t end_;
};

template <class S>
__global__ __launch_bounds__(S::kThreads, S::kBlocks) void quantized_kernel(
    const __grid_constant__ LinearParams p) {
  extern __shared__ __align__(128) uint4 shared_memory[];
  __shared__ typename S::Exchange exchange;
  let_next_kernel_start();
  const Work<S> work(p);
  quantized::Ring<S> ring(shared_memory, static_cast<int>(min(p.rows, int64_t{S::kRows})));
  quantized::prefetch_weights(ring, work, exchange);
  wait_for_previous_kernel();
  quantized::stream_products(ring, work, exchange);
}

template <class S>
cudaError_t launch_shape(const LinearParams& p, cudaStream_t stream) {
  const auto kernel = quantized_kernel<S>;
  const size_t shared_bytes =
      S::ring_bytes(static_cast<int>(p.rows < S::kRows ? p.rows : S::kRows));
  if (const cudaError_t error = allow_shared_memory(kernel, shared_bytes); error != cudaSuccess) {
    return error;
  }
  const int64_t slabs = ceil_div(p.out_features, kSlabRows) * ceil_div(p.rows, S::kRows);
  // One on each multiprocessor leaves the next kernel room to begin.
  const int64_t blocks = multiprocessors();
  return launch(kernel,
                {.grid = dim3(static_cast<unsigned>(slabs < blocks ? slabs : blocks)),
                 .block = dim3(S::kThreads),
                 .shared_bytes = shared_bytes,
                 .overlap_previous = true},
                stream, p);
}

template <bool kGroups>
cudaError_t launch_rows(const LinearParams& p, cudaStream_t stream) {
  if (p.rows <= 8) return launch_shape<quantized::OneRow<kGroups>>(p, stream);
  // sm_80 has less shared memory.
  return arch() >= 90 ? launch_shape<quantized::ManyStages<kGroups>>(p, stream)
                      : launch_shape<quantized::MoreRows<kGroups>>(p, stream);
}

}  // namespace

bool linear_quantized_fits(const LinearParams& p) {
  return p.type == ElementType::kBF16 && p.in_features % 8 == 0 && is_aligned16(p.x);
}

cudaError_t launch_linear_quantized(const LinearParams& p, cudaStream_t stream) {
  if (p.rows == 0) return cudaSuccess;
  if (p.rows < 0 || p.format.type == WeightType::kNative || !linear_quantized_fits(p)) {
    return cudaErrorInvalidValue;
  }
  return p.format.group > 0 ? launch_rows<true>(p, stream) : launch_rows<false>(p, stream);
}

}  // namespace ernie::kernels
