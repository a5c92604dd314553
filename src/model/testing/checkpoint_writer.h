#pragma once

#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "tensor/bf16.h"

namespace ernie::model::testing {

// A folder that is removed with its content.
class TempFolder {
 public:
  TempFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "ernie-model-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
    path_ = pattern;
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }
  void write(const std::string& name, const std::string& content) const {
    std::filesystem::create_directories((std::filesystem::path(path_) / name).parent_path());
    std::ofstream(path_ + "/" + name, std::ios::binary) << content;
  }

 private:
  std::string path_;
};

// A tensor to be written, values in float32.
struct NamedTensor {
  std::vector<int64_t> shape;
  std::vector<float> values;
  std::string type = "BF16";  // BF16, U16 (bfloat16 bits) or F32; any other only with `raw`
  std::string raw;            // the bytes, in place of values
};

using TensorMap = std::map<std::string, NamedTensor>;

// The bytes of a safetensors file with this header and data.
inline std::string safetensors_bytes(const std::string& header, const std::string& data) {
  const uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), sizeof(length)) + header + data;
}

// `odd_header` makes the header's length odd, so that all data is unaligned. `format` is written
// into the metadata.
inline std::string safetensors_bytes(const TensorMap& tensors, bool odd_header = false,
                                     const std::string& format = "pt") {
  std::string header = "{\"__metadata__\":{\"format\":\"" + format + "\"}";
  std::string data;
  for (const auto& [name, tensor] : tensors) {
    const size_t begin = data.size();
    data += tensor.raw;
    for (const float value : tensor.values) {
      if (tensor.type == "F32") {
        data.append(reinterpret_cast<const char*>(&value), sizeof(value));
      } else {
        const BF16 bits = to_bf16(value);
        data.append(reinterpret_cast<const char*>(&bits), sizeof(bits));
      }
    }
    std::string shape;
    for (const int64_t dim : tensor.shape)
      shape += (shape.empty() ? "" : ",") + std::to_string(dim);
    header += "," + ("\"" + name + "\":{\"dtype\":\"") + tensor.type + "\",\"shape\":[" + shape +
              "],\"data_offsets\":[" + std::to_string(begin) + "," + std::to_string(data.size()) +
              "]}";
  }
  header += "}";
  while (header.size() % 8 != (odd_header ? 7 : 0)) header += " ";
  return safetensors_bytes(header, data);
}

}  // namespace ernie::model::testing
