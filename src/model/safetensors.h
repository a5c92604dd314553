#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "model/mapped_file.h"

namespace ernie::model {

// Element types that can be read; Paddle stores bfloat16 as 16-bit unsigned numbers.
enum class StoredType : uint8_t { kBF16, kF16, kF32, kOther };

// One tensor of a safetensors file. `data` points into the mapped file, at any alignment.
struct StoredTensor {
  std::string name;
  StoredType type = StoredType::kOther;
  std::string type_name;  // as the file writes it
  std::vector<int64_t> shape;
  const std::byte* data = nullptr;
  size_t bytes = 0;
  const MappedFile* file = nullptr;  // of the SafetensorsFile, which must not move

  std::string shape_text() const;  // "[64, 160]"
};

std::string shape_text(const std::vector<int64_t>& shape);
size_t stored_type_bytes(StoredType type);  // of kBF16, kF16 or kF32

// One safetensors file: an 8-byte little-endian header length, a JSON header, then the data, which
// the tensors cover without hole or overlap (format: huggingface/safetensors). Throws StartError
// that names file, tensor, expected and found.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(std::string path);

  const std::string& path() const { return file_.path(); }
  const std::vector<StoredTensor>& tensors() const { return tensors_; }
  // "format" of the file's metadata: the library whose tensors were saved. Empty when absent.
  const std::string& format() const { return format_; }
  // All that comes before the data.
  std::span<const std::byte> header() const { return {file_.data(), header_bytes_}; }

 private:
  MappedFile file_;
  size_t header_bytes_ = 0;
  std::string format_;
  std::vector<StoredTensor> tensors_;
};

}  // namespace ernie::model
