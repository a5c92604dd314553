#include "kernels/rows/rows.h"

#include "backend/cuda/cuda_backend.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/norm/norm.h"

namespace ernie::cuda {

void CudaBackend::do_embed(const ops::EmbedArgs& a) {
  const DeviceWeight& w = device_weight(*a.table);
  check(kernels::launch_gather_rows(
            {.in = w.data(),
             .index = a.ids.as<const int32_t>(),
             .out = a.out.data,
             .count = a.out.rows(),
             .row_bytes = static_cast<size_t>(a.out.cols()) * dtype_bytes(a.out.dtype),
             .first_row = static_cast<int32_t>(a.first_row),
             .table_rows = w.out_features()},
            stream()),
        "launch of embed");
}

void CudaBackend::do_rms_norm(const ops::RmsNormArgs& a) {
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

void CudaBackend::do_residual_rms_norm(const ops::ResidualRmsNormArgs& a) {
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

void CudaBackend::do_layer_norm(const ops::LayerNormArgs& a) {
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

void CudaBackend::do_add(const ops::AddArgs& a) {
  check(kernels::launch_add({.x = a.x.data,
                             .inout = a.inout.data,
                             .count = a.x.shape.elements(),
                             .type = element_type(a.x.dtype)},
                            stream()),
        "launch of add");
}

void CudaBackend::do_cast(const ops::CastArgs& a) {
  check(kernels::launch_cast({.in = a.in.data,
                              .out = a.out.data,
                              .count = a.in.shape.elements(),
                              .in_type = element_type(a.in.dtype),
                              .out_type = element_type(a.out.dtype)},
                             stream()),
        "launch of cast");
}

void CudaBackend::do_swiglu(const ops::SwiGluArgs& a) {
  check(kernels::launch_swiglu({.gate_up = a.gate_up.data,
                                .out = a.out.data,
                                .rows = a.out.rows(),
                                .width = a.out.cols(),
                                .type = element_type(a.out.dtype)},
                               stream()),
        "launch of swiglu");
}

void CudaBackend::do_normalize_patches(const ops::NormalizePatchesArgs& a) {
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

void CudaBackend::do_gather_rows(const ops::GatherRowsArgs& a) {
  check(kernels::launch_gather_rows(
            {.in = a.in.data,
             .index = a.rows.as<const int32_t>(),
             .out = a.out.data,
             .count = a.out.rows(),
             .row_bytes = static_cast<size_t>(a.in.cols()) * dtype_bytes(a.in.dtype),
             .table_rows = a.in.rows()},
            stream()),
        "launch of gather_rows");
}

void CudaBackend::do_resolve_tokens(const ops::ResolveTokensArgs& a) {
  check(kernels::launch_resolve_tokens({.drawn = a.drawn.as<const int32_t>(),
                                        .sources = a.sources.as<const int32_t>(),
                                        .ids = a.ids.as<int32_t>(),
                                        .count = static_cast<int>(a.ids.shape.elements())},
                                       stream()),
        "launch of resolve_tokens");
}

}  // namespace ernie::cuda
