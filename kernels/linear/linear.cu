#include <cublasLt.h>

#include <algorithm>
#include <array>
#include <bit>
#include <map>

#include "kernels/linear/linear.h"

namespace ernie::kernels {
namespace {

constexpr const char* kNoAlgorithm = "no algorithm for this shape";
constexpr int kCandidates = 16;
// Of more rows than this, launch_linear_quantized would read W so often that it is slower.
constexpr int64_t kFewQuantizedRows = 64;

cudaDataType_t data_type(ElementType type) {
  return type == ElementType::kF32 ? CUDA_R_32F : CUDA_R_16BF;
}

bool aligned16(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

// Products of nearly as many rows share a plan: four for each doubling.
int64_t rows_bucket(int64_t rows) {
  const int64_t step =
      std::max<int64_t>(8, static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(rows))) / 4);
  return (rows + step - 1) / step * step;
}

const char* error_name(cublasStatus_t status) {
  return status == CUBLAS_STATUS_SUCCESS ? nullptr : cublasLtGetStatusName(status);
}

}  // namespace

class Linear::Library {
 public:
  explicit Library(const LinearMemory& memory) : memory_(memory) {
    status_ = cublasLtCreate(&handle_);
  }
  ~Library() {
    if (status_ == CUBLAS_STATUS_SUCCESS) cublasLtDestroy(handle_);
  }
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

  const char* status() const { return error_name(status_); }

  LinearStatus run(const LinearParams& p, cudaStream_t stream) {
    // cuBLASLt adds a bias of the result's type; activations of ours it does not know.
    const bool finish = p.activation != Activation::kNone ||
                        (p.bias != nullptr && (p.type != p.out_type || !aligned16(p.bias)));
    if (!finish) return {.library = multiply(p, stream)};
    const size_t row_bytes = static_cast<size_t>(p.out_features) * sizeof(float);
    const bool in_place = p.out_type == ElementType::kF32;
    const int64_t rows_at_once =
        in_place ? p.rows : static_cast<int64_t>(memory_.sums_bytes / row_bytes);
    if (rows_at_once == 0) return {.cuda = cudaErrorInvalidValue};
    for (int64_t row = 0; row < p.rows; row += rows_at_once) {
      LinearParams part = p;
      part.rows = std::min(rows_at_once, p.rows - row);
      part.x = static_cast<const char*>(p.x) +
               static_cast<size_t>(row * p.in_features) * element_bytes(p.type);
      void* out = static_cast<char*>(p.out) +
                  static_cast<size_t>(row * p.out_features) * element_bytes(p.out_type);
      part.bias = nullptr;
      part.activation = Activation::kNone;
      part.out = in_place ? out : memory_.sums;
      part.out_type = ElementType::kF32;
      if (const char* error = multiply(part, stream)) return {.library = error};
      const cudaError_t error = launch_bias_activation({.in = static_cast<const float*>(part.out),
                                                        .bias = p.bias,
                                                        .out = out,
                                                        .rows = part.rows,
                                                        .width = p.out_features,
                                                        .activation = p.activation,
                                                        .bias_type = p.type,
                                                        .out_type = p.out_type},
                                                       stream);
      if (error != cudaSuccess) return {.cuda = error};
    }
    return {};
  }

 private:
  struct Plan {
    bool found = false;
    cublasLtMatmulAlgo_t algorithm{};
  };
  // rows (bucket), out_features, in_features, T, out_type, with bias, aligned to 16 bytes.
  using Key = std::array<int64_t, 7>;

  // The operands as cuBLASLt sees them, column-major: out^T [n, m] = W [k, n]^T * x^T [k, m].
  struct Operands {
    cublasLtMatmulDescOpaque_t operation;
    cublasLtMatrixLayoutOpaque_t weight;
    cublasLtMatrixLayoutOpaque_t x;
    cublasLtMatrixLayoutOpaque_t out;
  };

  static cublasStatus_t describe(const LinearParams& p, int64_t rows, Operands& o) {
    const cublasOperation_t transpose = CUBLAS_OP_T;
    const cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_BIAS;
    const auto n = static_cast<uint64_t>(p.out_features);
    const auto k = static_cast<uint64_t>(p.in_features);
    const auto m = static_cast<uint64_t>(rows);
    cublasStatus_t s = cublasLtMatmulDescInit(&o.operation, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    const auto set = [&](cublasLtMatmulDescAttributes_t attribute, const auto& value) {
      if (s != CUBLAS_STATUS_SUCCESS) return;
      s = cublasLtMatmulDescSetAttribute(&o.operation, attribute, &value, sizeof(value));
    };
    const auto lay_out = [&](cublasLtMatrixLayoutOpaque_t& layout, ElementType type, uint64_t rows,
                             uint64_t cols) {
      if (s != CUBLAS_STATUS_SUCCESS) return;
      s = cublasLtMatrixLayoutInit(&layout, data_type(type), rows, cols,
                                   static_cast<int64_t>(rows));
    };
    set(CUBLASLT_MATMUL_DESC_TRANSA, transpose);
    if (p.bias != nullptr) {
      set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
      set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.bias);
    }
    lay_out(o.weight, p.type, k, n);
    lay_out(o.x, p.type, k, m);
    lay_out(o.out, p.out_type, n, m);
    return s;
  }

  // The heuristics' first choice that adds up every sum in one piece.
  cublasStatus_t find(const LinearParams& p, int64_t rows, bool aligned, Plan& plan) {
    Operands o;
    cublasStatus_t s = describe(p, rows, o);
    cublasLtMatmulPreferenceOpaque_t preference;
    if (s == CUBLAS_STATUS_SUCCESS) s = cublasLtMatmulPreferenceInit(&preference);
    const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
      if (s != CUBLAS_STATUS_SUCCESS) return;
      s = cublasLtMatmulPreferenceSetAttribute(&preference, attribute, &value, sizeof(value));
    };
    const auto at = [&](ElementType type) {
      return aligned ? uint32_t{16} : static_cast<uint32_t>(element_bytes(type));
    };
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t{memory_.workspace_bytes});
    prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, uint32_t{CUBLASLT_REDUCTION_SCHEME_NONE});
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, at(p.type));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, at(p.type));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, at(p.out_type));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, at(p.out_type));
    if (s != CUBLAS_STATUS_SUCCESS) return s;
    std::array<cublasLtMatmulHeuristicResult_t, kCandidates> results{};
    int count = 0;
    s = cublasLtMatmulAlgoGetHeuristic(handle_, &o.operation, &o.weight, &o.x, &o.out, &o.out,
                                       &preference, kCandidates, results.data(), &count);
    if (s == CUBLAS_STATUS_NOT_SUPPORTED) return CUBLAS_STATUS_SUCCESS;  // none found
    for (int i = 0; i < count && !plan.found; ++i) {
      if (results[i].state != CUBLAS_STATUS_SUCCESS) continue;
      int32_t parts = 1;
      size_t written = 0;
      cublasLtMatmulAlgoConfigGetAttribute(&results[i].algo, CUBLASLT_ALGO_CONFIG_SPLITK_NUM,
                                           &parts, sizeof(parts), &written);
      if (parts > 1) continue;
      plan = {true, results[i].algo};
    }
    return s;
  }

  const char* multiply(const LinearParams& p, cudaStream_t stream) {
    const bool aligned = aligned16(p.x) && aligned16(p.weight) && aligned16(p.out);
    const int64_t bucket = rows_bucket(p.rows);
    const Key key{bucket,
                  p.out_features,
                  p.in_features,
                  static_cast<int64_t>(p.type),
                  static_cast<int64_t>(p.out_type),
                  p.bias != nullptr,
                  aligned};
    auto found = plans_.find(key);
    if (found == plans_.end()) {
      Plan plan;
      if (const char* error = error_name(find(p, bucket, aligned, plan))) return error;
      found = plans_.emplace(key, plan).first;
    }
    if (!found->second.found) return kNoAlgorithm;
    Operands o;
    if (const char* error = error_name(describe(p, p.rows, o))) return error;
    const float one = 1.0f;
    const float zero = 0.0f;
    return error_name(cublasLtMatmul(handle_, &o.operation, &one, p.weight, &o.weight, p.x, &o.x,
                                     &zero, p.out, &o.out, p.out, &o.out, &found->second.algorithm,
                                     memory_.workspace, memory_.workspace_bytes, stream));
  }

  LinearMemory memory_;
  cublasLtHandle_t handle_ = nullptr;
  cublasStatus_t status_;
  std::map<Key, Plan> plans_;
};

Linear::Linear(const LinearMemory& memory) : library_(std::make_unique<Library>(memory)) {}
Linear::~Linear() = default;

LinearStatus Linear::status() const { return {.library = library_->status()}; }

LinearStatus Linear::run(const LinearParams& params, cudaStream_t stream) {
  if (params.rows == 0) return {};
  if (params.format.type != WeightType::kNative) {
    if (params.rows > kFewQuantizedRows && linear_quantized_hopper_fits(params)) {
      return {.cuda = launch_linear_quantized_hopper(params, stream)};
    }
    return {.cuda = linear_quantized_fits(params) ? launch_linear_quantized(params, stream)
                                                  : launch_linear_dot(params, stream)};
  }
  if (linear_small_fits(params)) return {.cuda = launch_linear_small(params, stream)};
  if (params.rows <= kMaxSmallRows) return {.cuda = launch_linear_dot(params, stream)};
  const LinearStatus status = library_->run(params, stream);
  if (status.library == kNoAlgorithm) return {.cuda = launch_linear_dot(params, stream)};
  return status;
}

LinearStatus Linear::run_library(const LinearParams& params, cudaStream_t stream) {
  return params.rows == 0 ? LinearStatus{} : library_->run(params, stream);
}

}  // namespace ernie::kernels
