#include "kernels/common/launch.cuh"
#include "kernels/common/reduce.cuh"
#include "kernels/quantized/pack.cuh"

namespace ernie::kernels {
namespace {

// The channel or group that a value belongs to.
struct Range {
  float absmax;
  float steps;  // limit / absmax
};

// q = w / absmax * limit, rounded half away from zero and clamped; 0 where absmax is zero or not
// finite: then the scale shows it. The
// product with steps differs from the exact quotients in the last bits, which matters near a half
// only, and where steps is infinite.
__device__ __forceinline__ int quantize(float w, Range range, float limit) {
  constexpr float kWhole = 12582912.0f;  // 1.5 * 2^23: a sum with it has no fraction
  const float quick = w * range.steps;
  const float sum = quick + kWhole;
  if (fabsf(quick - (sum - kWhole)) < 0.499f) return __float_as_int(sum) - __float_as_int(kWhole);
  if (!(range.absmax > 0.0f && range.absmax < INFINITY)) return 0;
  const float x = roundf(__fmul_rn(__fdiv_rn(w, range.absmax), limit));
  return static_cast<int>(fminf(fmaxf(x, -limit), limit));
}

// The elements of a piece of one slab on their way from rows to lanes. The pitch keeps the lanes'
// pairs in banks of their own.
constexpr int kPieceCols = 2 * kQuantizedTile;  // the widest group
template <class T>
struct alignas(16) Piece {
  T element[kSlabRows][kPieceCols + 8];
  Range range[kSlabRows][kPieceCols / 32];
};

// A block quantises one slab: first it reads its rows for the absmax of channels, then again, now
// from L2, for the values. kElements are loaded at once.
template <class T, int kElements>
__global__ __launch_bounds__(kPackThreads) void quantize_kernel(QuantizeParams p) {
  constexpr int kWarps = kPackThreads / 32;
  __shared__ Piece<T> pieces[kWarps];
  __shared__ Range channel[kSlabRows];
  const QuantizedMatrix& out = p.out;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const SlabRows rows(out, p.first_row, p.rows, blockIdx.x);
  if (rows.none()) return;
  const bool per_channel = out.format.group == 0;
  const float limit = out.format.type == WeightType::kInt4 ? 7.0f : 127.0f;
  const auto row_of = [&](int r) -> const T* {
    const int64_t row = rows.source(r);
    return row < 0 ? nullptr : static_cast<const T*>(p.in) + row * p.stride;
  };
  // Elements [col, col + kElements) of a row of `cols`, zeros behind its end.
  const auto load = [&](const T* row, int64_t col, int64_t cols) {
    Vector<T, kElements> v;
    if (row != nullptr && col + kElements <= cols) {
      v = load_vector<T, kElements>(row + col);
    } else {
#pragma unroll
      for (int i = 0; i < kElements; ++i) {
        v.v[i] = row != nullptr && col + i < cols ? row[col + i] : from_float<T>(0.0f);
      }
    }
    return v;
  };
  const auto most = [](const Vector<T, kElements>& v) {
    float absmax = 0;
#pragma unroll
    for (int i = 0; i < kElements; ++i) absmax = MaxOrNan::combine(absmax, fabsf(to_float(v.v[i])));
    return absmax;
  };

  if (per_channel) {
    constexpr int kTogether = 8;  // loads under way
    for (int r = warp; r < kSlabRows; r += kWarps) {
      const T* row = row_of(r);
      float absmax = 0;
      for (int64_t col = lane * kElements; row != nullptr && col < p.all_cols;
           col += 32 * kElements * kTogether) {
        Vector<T, kElements> v[kTogether];
#pragma unroll
        for (int u = 0; u < kTogether; ++u) v[u] = load(row, col + u * 32 * kElements, p.all_cols);
#pragma unroll
        for (int u = 0; u < kTogether; ++u) absmax = MaxOrNan::combine(absmax, most(v[u]));
      }
      absmax = warp_reduce<MaxOrNan>(absmax);
      if (lane == 0) {
        channel[r] = {absmax, limit / absmax};
        if (rows.covers(r)) scale_of(out, blockIdx.x, r, 0) = __float2bfloat16_rn(absmax / limit);
      }
    }
    __syncthreads();
  }

  Piece<T>& piece = pieces[warp];
  const int64_t groups = quantized_groups(out.cols, out.format.group);
  for (int64_t first = int64_t{warp} * kPieceCols; first < quantized_cols(out.cols);
       first += kWarps * kPieceCols) {
    constexpr int kRowLanes = kPieceCols / kElements < 32 ? kPieceCols / kElements : 32;
    constexpr int kRowsAtOnce = 32 / kRowLanes;
#pragma unroll
    for (int r = 0; r < kSlabRows; r += kRowsAtOnce) {
      const int row = r + lane / kRowLanes;
#pragma unroll
      for (int c = 0; c < kPieceCols; c += kRowLanes * kElements) {
        const int col = c + lane % kRowLanes * kElements;
        const T* from = row_of(row);
        store_vector(&piece.element[row][col],
                     load(from == nullptr ? from : from + p.first_col, first + col, out.cols));
      }
    }
    __syncwarp();
    if (!per_channel) {
      // Two lanes to a row, each with half of the piece.
      const int row = lane / 2;
      const int half = lane % 2;
      float absmax[2] = {};
#pragma unroll
      for (int i = 0; i < kPieceCols / 2; ++i) {
        float& part = absmax[i / 32];
        part =
            MaxOrNan::combine(part, fabsf(to_float(piece.element[row][half * kPieceCols / 2 + i])));
      }
      if (out.format.group >= 64) absmax[0] = absmax[1] = MaxOrNan::combine(absmax[0], absmax[1]);
      if (out.format.group == 128) {
        absmax[0] = absmax[1] =
            MaxOrNan::combine(absmax[0], __shfl_xor_sync(kAllLanes, absmax[0], 1));
      }
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        piece.range[row][2 * half + i] = {absmax[i], limit / absmax[i]};
        const int64_t group = (first + half * kPieceCols / 2 + 32 * i) / out.format.group;
        if (group < groups && rows.covers(row)) {
          scale_of(out, blockIdx.x, row, group) = __float2bfloat16_rn(absmax[i] / limit);
        }
      }
      __syncwarp();
    }
    const int g = lane / 4;
    for (int tile = 0; tile < kPieceCols / kQuantizedTile; ++tile) {
      const int64_t k_tile = first / kQuantizedTile + tile;
      if (k_tile >= quantized_cols(out.cols) / kQuantizedTile) break;
      Range ranges[2][2];  // of the lane's rows in either half of the tile
#pragma unroll
      for (int high = 0; high < 2; ++high) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          ranges[high][half] =
              per_channel ? channel[g + 8 * high] : piece.range[g + 8 * high][2 * tile + half];
        }
      }
      pack_slab(out, rows, blockIdx.x, k_tile, [&](int high, int step, int in_step) {
        const int col = tile * kQuantizedTile + 16 * step + in_step;
        const auto pair = load_vector<T, 2>(&piece.element[g + 8 * high][col]);
        const Range range = ranges[high][step / 2];
        return make_int2(quantize(to_float(pair.v[0]), range, limit),
                         quantize(to_float(pair.v[1]), range, limit));
      });
    }
    __syncwarp();  // before the next piece
  }
}

template <class T>
cudaError_t launch_quantize_of(const QuantizeParams& p, cudaStream_t stream) {
  constexpr int kWide = kVectorElements<T>;
  const bool aligned = is_aligned16(p.in) && p.stride % kWide == 0 && p.first_col % kWide == 0;
  const LaunchShape shape{.grid = pack_grid(p.out), .block = dim3(kPackThreads)};
  return aligned ? launch(quantize_kernel<T, kWide>, shape, stream, p)
                 : launch(quantize_kernel<T, 1>, shape, stream, p);
}

}  // namespace

cudaError_t launch_quantize(const QuantizeParams& p, cudaStream_t stream) {
  const int64_t end = p.first_col + p.out.cols;
  if (!is_packable(p.out, p.first_row, p.rows) || p.first_col < 0 || end > p.stride ||
      (p.out.format.group == 0 && (end > p.all_cols || p.all_cols > p.stride))) {
    return cudaErrorInvalidValue;
  }
  if (p.rows == 0) return cudaSuccess;
  return p.type == ElementType::kF32 ? launch_quantize_of<float>(p, stream)
                                     : launch_quantize_of<__nv_bfloat16>(p, stream);
}

}  // namespace ernie::kernels
