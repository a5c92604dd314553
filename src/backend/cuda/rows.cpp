#include "kernels/rows/rows.h"

#include <string>

#include "backend/cuda/cuda_backend.h"
#include "base/check.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/norm/norm.h"

namespace ernie::cuda {

void CudaBackend::embed(const Weight& table, int64_t first_row, TensorView ids, TensorView out) {
  const DeviceWeight& w = device_weight(table);
  CHECK(ids.dtype == DType::kI32 && ids.shape.elements() == out.rows() && out.dtype == w.dtype() &&
            out.cols() == w.in_features(),
        "embed: ids " + ids.shape.to_string() + ", out " + out.shape.to_string());
  check(kernels::launch_gather_rows(
            {.in = w.data(),
             .index = ids.as<const int32_t>(),
             .out = out.data,
             .count = out.rows(),
             .row_bytes = static_cast<size_t>(out.cols()) * dtype_bytes(out.dtype),
             .first_row = static_cast<int32_t>(first_row),
             .table_rows = w.out_features()},
            stream()),
        "launch of embed");
}

void CudaBackend::rms_norm(const ops::NormArgs& a) {
  CHECK(a.weight.dtype == a.x.dtype && a.out.dtype == a.x.dtype && a.out.shape == a.x.shape &&
            a.weight.shape.elements() == a.x.cols(),
        "rms_norm: x " + a.x.shape.to_string() + ", weight " + a.weight.shape.to_string());
  check(kernels::launch_rms_norm({.x = a.x.data,
                                  .weight = a.weight.data,
                                  .out = a.out.data,
                                  .rows = a.x.rows(),
                                  .width = a.x.cols(),
                                  .eps = a.eps,
                                  .type = element_type(a.x.dtype)},
                                 stream()),
        "launch of rms_norm");
}

void CudaBackend::residual_rms_norm(const ops::ResidualRmsNormArgs& a) {
  CHECK(a.weight.dtype == a.x.dtype && a.out.dtype == a.x.dtype && a.out.shape == a.x.shape &&
            a.residual.shape == a.x.shape && a.residual.dtype == a.x.dtype &&
            a.weight.shape.elements() == a.x.cols(),
        "residual_rms_norm: x " + a.x.shape.to_string() + ", residual " +
            a.residual.shape.to_string() + ", weight " + a.weight.shape.to_string());
  check(kernels::launch_rms_norm({.x = a.x.data,
                                  .residual = a.residual.data,
                                  .weight = a.weight.data,
                                  .out = a.out.data,
                                  .rows = a.x.rows(),
                                  .width = a.x.cols(),
                                  .eps = a.eps,
                                  .type = element_type(a.x.dtype)},
                                 stream()),
        "launch of residual_rms_norm");
}

void CudaBackend::layer_norm(const ops::NormArgs& a) {
  CHECK(a.weight.dtype == a.x.dtype && a.bias.dtype == a.x.dtype && a.out.dtype == a.x.dtype &&
            a.out.shape == a.x.shape && a.weight.shape.elements() == a.x.cols() &&
            a.bias.shape.elements() == a.x.cols(),
        "layer_norm: x " + a.x.shape.to_string() + ", weight " + a.weight.shape.to_string());
  check(kernels::launch_layer_norm({.x = a.x.data,
                                    .weight = a.weight.data,
                                    .bias = a.bias.data,
                                    .out = a.out.data,
                                    .rows = a.x.rows(),
                                    .width = a.x.cols(),
                                    .eps = a.eps,
                                    .type = element_type(a.x.dtype)},
                                   stream()),
        "launch of layer_norm");
}

void CudaBackend::add(TensorView x, TensorView inout) {
  CHECK(x.dtype == inout.dtype && x.shape == inout.shape,
        "add: x " + x.shape.to_string() + ", inout " + inout.shape.to_string());
  check(kernels::launch_add({.x = x.data,
                             .inout = inout.data,
                             .count = x.shape.elements(),
                             .type = element_type(x.dtype)},
                            stream()),
        "launch of add");
}

void CudaBackend::cast(TensorView in, TensorView out) {
  CHECK(in.shape == out.shape,
        "cast: in " + in.shape.to_string() + ", out " + out.shape.to_string());
  check(kernels::launch_cast({.in = in.data,
                              .out = out.data,
                              .count = in.shape.elements(),
                              .in_type = element_type(in.dtype),
                              .out_type = element_type(out.dtype)},
                             stream()),
        "launch of cast");
}

void CudaBackend::swiglu(const ops::SwiGluArgs& a) {
  CHECK(a.gate_up.dtype == a.out.dtype && a.gate_up.cols() == 2 * a.out.cols() &&
            a.gate_up.rows() == a.out.rows(),
        "swiglu: gate_up " + a.gate_up.shape.to_string() + ", out " + a.out.shape.to_string());
  check(kernels::launch_swiglu({.gate_up = a.gate_up.data,
                                .out = a.out.data,
                                .rows = a.out.rows(),
                                .width = a.out.cols(),
                                .type = element_type(a.out.dtype)},
                               stream()),
        "launch of swiglu");
}

void CudaBackend::normalize_patches(const ops::NormalizePatchesArgs& a) {
  CHECK(a.patches.dtype == DType::kU8 && a.patches.shape == a.out.shape && a.out.cols() % 3 == 0,
        "normalize_patches: patches " + a.patches.shape.to_string() + ", out " +
            a.out.shape.to_string());
  check(kernels::launch_normalize_patches({.patches = a.patches.as<const uint8_t>(),
                                           .out = a.out.data,
                                           .rows = a.out.rows(),
                                           .plane = a.out.cols() / 3,
                                           .mean = {a.mean[0], a.mean[1], a.mean[2]},
                                           .std = {a.std[0], a.std[1], a.std[2]},
                                           .out_type = element_type(a.out.dtype)},
                                          stream()),
        "launch of normalize_patches");
}

void CudaBackend::gather_rows(TensorView in, TensorView rows, TensorView out) {
  CHECK(in.dtype == out.dtype && in.cols() == out.cols() && rows.dtype == DType::kI32 &&
            rows.shape.elements() == out.rows(),
        "gather_rows: in " + in.shape.to_string() + ", rows " + rows.shape.to_string() + ", out " +
            out.shape.to_string());
  check(kernels::launch_gather_rows(
            {.in = in.data,
             .index = rows.as<const int32_t>(),
             .out = out.data,
             .count = out.rows(),
             .row_bytes = static_cast<size_t>(in.cols()) * dtype_bytes(in.dtype),
             .table_rows = in.rows()},
            stream()),
        "launch of gather_rows");
}

void CudaBackend::scatter_rows(TensorView in, TensorView rows, TensorView out) {
  CHECK(in.dtype == out.dtype && in.cols() == out.cols() && rows.dtype == DType::kI32 &&
            rows.shape.elements() == in.rows(),
        "scatter_rows: in " + in.shape.to_string() + ", rows " + rows.shape.to_string() + ", out " +
            out.shape.to_string());
  check(kernels::launch_scatter_rows(
            {.in = in.data,
             .index = rows.as<const int32_t>(),
             .out = out.data,
             .count = in.rows(),
             .row_bytes = static_cast<size_t>(in.cols()) * dtype_bytes(in.dtype),
             .table_rows = out.rows()},
            stream()),
        "launch of scatter_rows");
}

void CudaBackend::resolve_tokens(TensorView drawn, TensorView sources, TensorView ids) {
  CHECK(drawn.dtype == DType::kI32 && sources.dtype == DType::kI32 && ids.dtype == DType::kI32 &&
            sources.shape.elements() == ids.shape.elements(),
        "resolve_tokens: sources " + sources.shape.to_string() + ", ids " + ids.shape.to_string());
  check(kernels::launch_resolve_tokens({.drawn = drawn.as<const int32_t>(),
                                        .sources = sources.as<const int32_t>(),
                                        .ids = ids.as<int32_t>(),
                                        .count = static_cast<int>(ids.shape.elements())},
                                       stream()),
        "launch of resolve_tokens");
}

}  // namespace ernie::cuda
