#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "model/config.h"

namespace ernie::model {

// One format by FastDeploy's name, in any case: bf16 or bfloat16 (nothing), wint8, wint4; with
// "-g32", "-g64" or "-g128" behind wint4, that many neighbours along in_features share a scale. The
// error says what it may be.
Result<std::optional<WeightFormat>> parse_weight_format(const std::string& name);

// Its name there, in lower case.
std::string weight_format_name(const std::optional<WeightFormat>& format);

// The mix that a name stands for in FastDeploy: wint8 is int8 everywhere; wint4 is int4 in routed
// experts and int8 elsewhere.
Result<Quantization> parse_quantization(const std::string& name);

// For example "int4 experts, int8 elsewhere".
std::string describe(const Quantization& quantization, DType activation);

// What the matrices are loaded in: as they are stored, or as `wanted` asks (--quantization). An
// error names both when they are stored quantised otherwise.
Result<Quantization> resolve_quantization(const ModelConfig& config,
                                          const std::optional<Quantization>& wanted);

// Groups must not be cut by tensor parallelism. The error names format, matrix, width and ranks.
Status check_quantization(const ModelConfig& config, const Quantization& quantization,
                          int tensor_parallel_size);

}  // namespace ernie::model
