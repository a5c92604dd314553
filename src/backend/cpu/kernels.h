#pragma once

#include <cstddef>
#include <cstdint>

// The table of functions that one instruction set provides, and the plain structures they take.
// This header must stay free of functions: the translation units under isa/ are compiled with their
// own instruction set, and an inline function emitted there could be linked into code that runs
// everywhere.
//
// All functions treat each row alone and in one fixed order of additions, so that the bits of a row
// do not depend on the rows beside it, on the number of threads or on how work is cut into tasks.
namespace ernie::cpu {

using Bf16Bits = uint16_t;

// Weights, keys and values are stored in panels of 16 columns of B in C = A * B:
//   float32   [k][16]
//   bfloat16  [k / 2][16][2], k padded with zeros to a multiple of kBf16KStep
constexpr int kPanel = 16;
constexpr int kBf16KStep = 32;
// Softmax runs over tiles of this many keys, aligned to absolute positions.
constexpr int kKeyTile = 64;
// At most this many columns of C in one GemmTile.
constexpr int kTilePanels = 5;
// Sums over quantised weights begin and end at multiples of this, or at the end.
constexpr int kQuantizedKStep = 8;

// Copies rows [first, first + count) of A, taken through `index` when given, to the order gemm()
// wants.
struct PackRows {
  const void* src = nullptr;
  int64_t src_stride = 0;  // elements
  const int32_t* index = nullptr;
  int64_t k = 0;
  int64_t first = 0;
  int64_t count = 0;
  void* dst = nullptr;
};

// C[rows][16 * panels] = A * B for rows [row, row + rows) of packed A, summed over columns
// [k_begin, k_end) of A only.
struct GemmTile {
  const void* a = nullptr;
  int64_t row = 0;  // a multiple of gemm_row_step
  int rows = 0;
  const void* b = nullptr;  // first panel
  int panels = 0;
  int64_t k = 0;        // columns of packed A
  int64_t k_begin = 0;  // a multiple of gemm_k_step
  int64_t k_end = 0;    // a multiple of gemm_k_step, or k
  float* c = nullptr;   // with room for whole gemm_row_step rows
  int64_t ldc = 0;
  bool add = false;  // C += A * B
  // The panels hold columns [b_begin, b_begin + b_k) of A only; b_k = 0: all.
  int64_t b_begin = 0;
  int64_t b_k = 0;
  // The rest only matters to kernels with gemm_slice.
  int64_t a_begin = 0;  // packed A holds columns [a_begin, a_begin + a_k) only; a_k = 0: all
  int64_t a_k = 0;
  const void* next_b = nullptr;  // read next, probably: a first panel at its first k
};

// Quantised weights in panels, in two's complement:
//   int8  [k][16] bytes
//   int4  [k / 8][16] 32-bit words; nibble p of its lower half is k 2p, of its upper half k 2p + 1
// with k padded with zeros to a multiple of kBf16KStep, and bfloat16 scales [groups of k][16].
struct QuantizedPanels {
  const char* values = nullptr;  // of the first panel
  const Bf16Bits* scales = nullptr;
  int64_t stride = 0;  // bytes from one panel's values to the next, as for scales below
  int64_t scale_stride = 0;
  int64_t group = 0;  // columns of A that share a scale; 0: all
  bool int4 = false;
};

// Writes columns [k_begin, k_end) of A, padded to a multiple of kBf16KStep, as panels for
// gemm_expanded(): the values without their scales, which both types of activations hold exactly.
struct ExpandPanels {
  QuantizedPanels from;
  int panels = 0;
  int64_t k_begin = 0;  // a multiple of kQuantizedKStep
  int64_t k_end = 0;
  void* out = nullptr;
};

// out (+)= C * scales, element by element; `out` may be C unless it is added to.
struct ScaleTile {
  const float* c = nullptr;
  int64_t ldc = 0;
  int rows = 0;
  int panels = 0;
  const Bf16Bits* scales = nullptr;  // of the first panel
  int64_t stride = 0;                // bytes from one panel's to the next
  float* out = nullptr;
  int64_t out_ld = 0;
  bool add = false;
};

// out = act(C + more + bias)
struct StoreTile {
  const float* c = nullptr;
  const float* more = nullptr;  // a second part of the sums, laid out as C; may be null
  int64_t ldc = 0;
  int rows = 0;
  int cols = 0;
  const void* bias = nullptr;  // T, may be null
  int activation = 0;          // ops::Activation
  void* out = nullptr;         // T or float32
  int64_t out_stride = 0;
  bool out_f32 = false;
  bool many_rows = false;  // the whole of `out` is larger than caches: they may be passed by
};

// out = silu(gate) * up
struct SwiGluTile {
  const float* gate = nullptr;
  const float* up = nullptr;
  int64_t ldc = 0;
  int rows = 0;
  int cols = 0;
  void* out = nullptr;  // T
  int64_t out_stride = 0;
};

struct NormRows {
  const void* x = nullptr;   // T [rows, width]
  void* residual = nullptr;  // T; when given, residual += x is what is normalised
  const void* weight = nullptr;
  const void* bias = nullptr;
  void* out = nullptr;
  int64_t width = 0;
  int64_t rows = 0;
  float eps = 0;
};

// What a cache keeps of keys and values: T, or quantised numbers of 8 bits (KvType).
enum class CacheCells : uint8_t { kPlain, kInt8, kE4m3 };

// Queries of one key-value head against its keys in pages.
// Inside a page of one head (page_size * head_dim elements each), where page_size and head_dim are
// multiples of 16: keys are panels [page_size / 16] with k = head_dim, values are panels
// [head_dim / 16] with k = page_size. Otherwise both are [page_size][head_dim]. Quantised cells lie
// where elements of T would; a tile's are expanded to T, cell * scale rounded once.
struct AttentionTask {
  const void* q = nullptr;  // T, of the first query and head
  int64_t q_stride = 0;     // elements from one query to the next; heads are head_dim apart
  int queries = 0;
  int heads = 0;  // query heads that share this key-value head
  int head_dim = 0;
  const void* keys = nullptr;  // page 0 of this head
  const void* values = nullptr;
  CacheCells cells = CacheCells::kPlain;
  const Bf16Bits* scales = nullptr;  // of quantised cells: page 0 of this head, [page_size][2]
  int64_t page_stride = 0;           // elements from one page to the next
  int page_size = 0;
  const int32_t* pages = nullptr;  // page table; null = the single page 0
  int64_t visible = 0;             // keys visible to the first query
  bool causal = false;             // each further query sees one key more
  float scale = 1;
  void* out = nullptr;  // T, laid out as q
  int64_t out_stride = 0;
  float* scratch = nullptr;  // attention_scratch_floats(rows, head_dim)
};

// The functions that depend on the activation type T.
struct TypedKernels {
  int element_bytes = 0;   // of T
  int gemm_row_step = 1;   // a tile starts at a multiple of this
  int gemm_k_step = 1;     // sums begin and end at multiples of this
  int gemm_slice = 0;      // columns of A that many rows are best packed and multiplied by; 0 = all
  int gemm_tile_rows = 0;  // rows of A that suit the second-level cache; a multiple of the step
  size_t (*packed_rows_bytes)(int64_t rows, int64_t k) = nullptr;
  void (*pack_rows)(const PackRows&) = nullptr;
  void (*gemm)(const GemmTile&) = nullptr;
  // Products with quantised weights. Without groups the sums of q * x are given, which
  // scale_tile() has to scale; with groups each group's sum is scaled and added in float32. All
  // ways give a row the same bits.
  int expanded_bytes = 0;  // of a value in expanded panels
  void (*expand)(const ExpandPanels&) = nullptr;
  void (*gemm_expanded)(const GemmTile&) = nullptr;  // with expanded panels as B, without groups
  // The same with groups, whose scales begin at the tile's k_begin; null: each group's sum by
  // gemm_expanded() goes to scale_tile().
  void (*gemm_expanded_groups)(const GemmTile&, const QuantizedPanels&) = nullptr;
  int direct_rows = 0;  // so many rows at most are best multiplied without expanding
  // For up to direct_rows rows; ignores `b` and what comes after `ldc` in the tile.
  void (*gemm_quantized)(const GemmTile&, const QuantizedPanels&) = nullptr;
  void (*scale_tile)(const ScaleTile&) = nullptr;
  void (*store_tile)(const StoreTile&) = nullptr;
  void (*swiglu_tile)(const SwiGluTile&) = nullptr;
  void (*add_scaled)(float* acc, const float* x, float scale, int64_t n) = nullptr;

  void (*rms_norm)(const NormRows&) = nullptr;
  void (*layer_norm)(const NormRows&) = nullptr;
  void (*add)(const void* x, void* inout, int64_t n) = nullptr;
  void (*swiglu_row)(const void* gate_up, void* out, int64_t width) = nullptr;
  // Rotates pairs (2i, 2i+1) of x[n]: x * cos + swap(x) * sin, both tables [n], sines signed.
  void (*rotate_pairs)(void* x, const float* cos, const float* sin, int64_t n) = nullptr;
  // Rotates (i, i + half) of x[2 * half]; tables [half].
  void (*rotate_halves)(void* x, const float* cos, const float* sin, int64_t half) = nullptr;
  // out[e] = dot(x, w[e]) in float32
  void (*router)(const void* x, const float* w, int64_t experts, int64_t width,
                 float* out) = nullptr;
  void (*from_float)(const float* in, void* out, int64_t n) = nullptr;
  void (*to_float)(const void* in, float* out, int64_t n) = nullptr;
  void (*normalize)(const uint8_t* in, void* out, int64_t n, float mul, float add) = nullptr;

  void (*attention)(const AttentionTask&) = nullptr;
  int64_t (*attention_scratch_floats)(int64_t rows, int64_t head_dim) = nullptr;
};

struct RowMaximum {
  float value = 0;
  int32_t index = -1;  // the smallest that has the value
  bool fault = false;  // NaN or +infinity was there
};

struct Kernels {
  TypedKernels f32;
  TypedKernels bf16;
  RowMaximum (*row_maximum)(const float* x, int64_t n) = nullptr;
  // Sum of exp((x[i] - shift) * scale); stores the terms to out unless it is null (it may be x).
  double (*exp_sum)(const float* x, int64_t n, float shift, float scale, float* out) = nullptr;
  // Sum of the elements > pivot.
  double (*mass_above)(const float* x, int64_t n, float pivot) = nullptr;
  // Sets elements < pivot to zero.
  void (*drop_below)(float* x, int64_t n, float pivot) = nullptr;
};

extern const Kernels kGenericKernels;
extern const Kernels kAvx2Kernels;
extern const Kernels kAvx512Kernels;
extern const Kernels kAvx512Bf16Kernels;
extern const Kernels kAmxKernels;

}  // namespace ernie::cpu
