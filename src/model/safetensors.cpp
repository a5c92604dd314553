#include "model/safetensors.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cstring>
#include <optional>

#include "base/result.h"

namespace ernie::model {
namespace {

constexpr uint64_t kMaxHeaderBytes = 100'000'000;

struct ElementType {
  const char* name;
  StoredType type;
  size_t bits;
};

constexpr ElementType kElementTypes[] = {
    {"BF16", StoredType::kBF16, 16},    {"U16", StoredType::kBF16, 16},
    {"F16", StoredType::kF16, 16},      {"F32", StoredType::kF32, 32},
    {"F64", StoredType::kOther, 64},    {"I64", StoredType::kOther, 64},
    {"U64", StoredType::kOther, 64},    {"I32", StoredType::kOther, 32},
    {"U32", StoredType::kOther, 32},    {"I16", StoredType::kOther, 16},
    {"I8", StoredType::kOther, 8},      {"U8", StoredType::kOther, 8},
    {"BOOL", StoredType::kOther, 8},    {"F8_E4M3", StoredType::kOther, 8},
    {"F8_E5M2", StoredType::kOther, 8},
};

[[noreturn]] void fail(const std::string& path, const std::string& tensor,
                       const std::string& problem) {
  throw StartError(path + ": " + (tensor.empty() ? "header" : "tensor \"" + tensor + "\"") + ": " +
                   problem + "; the file is damaged or not complete, get it again");
}

std::optional<uint64_t> to_size(const boost::json::value& value) {
  if (value.is_int64() && value.get_int64() >= 0) return value.get_int64();
  if (value.is_uint64()) return value.get_uint64();
  return std::nullopt;
}

std::vector<uint64_t> sizes(const boost::json::object& entry, const char* key,
                            const std::string& path, const std::string& tensor) {
  const boost::json::value* value = entry.if_contains(key);
  std::vector<uint64_t> out;
  if (value != nullptr && value->is_array()) {
    for (const boost::json::value& item : value->get_array()) {
      if (const auto n = to_size(item)) out.push_back(*n);
    }
    if (out.size() == value->get_array().size()) return out;
  }
  fail(path, tensor, std::string("expected ") + key + " to be a list of whole numbers");
}

StoredTensor read_entry(const std::string& path, const std::string& name,
                        const boost::json::value& value, const std::byte* data,
                        uint64_t data_bytes) {
  if (!value.is_object()) fail(path, name, "expected an object");
  const boost::json::object& entry = value.get_object();
  StoredTensor tensor;
  tensor.name = name;

  const boost::json::value* type = entry.if_contains("dtype");
  if (type == nullptr || !type->is_string()) fail(path, name, "expected dtype to be a string");
  tensor.type_name = std::string(type->get_string());
  const auto* known =
      std::find_if(std::begin(kElementTypes), std::end(kElementTypes),
                   [&](const ElementType& t) { return tensor.type_name == t.name; });
  if (known == std::end(kElementTypes)) {
    fail(path, name, "unknown dtype \"" + tensor.type_name.substr(0, 40) + "\"");
  }
  tensor.type = known->type;

  uint64_t bytes = known->bits / 8;
  for (const uint64_t dim : sizes(entry, "shape", path, name)) {
    if (dim > INT64_MAX || __builtin_mul_overflow(bytes, dim, &bytes)) {
      fail(path, name, "the product of its dimensions exceeds 64 bits");
    }
    tensor.shape.push_back(static_cast<int64_t>(dim));
  }
  const std::vector<uint64_t> span = sizes(entry, "data_offsets", path, name);
  if (span.size() != 2 || span[0] > span[1] || span[1] > data_bytes) {
    fail(path, name,
         "expected data_offsets [begin, end] within the file's " + std::to_string(data_bytes) +
             " bytes of data, found " + boost::json::serialize(*entry.if_contains("data_offsets")));
  }
  if (span[1] - span[0] != bytes) {
    fail(path, name,
         "expected " + std::to_string(bytes) + " bytes for " + tensor.type_name + " " +
             tensor.shape_text() + ", found " + std::to_string(span[1] - span[0]));
  }
  tensor.data = data + span[0];
  tensor.bytes = bytes;
  return tensor;
}

std::string read_format(const boost::json::value& metadata) {
  const boost::json::value* format =
      metadata.is_object() ? metadata.get_object().if_contains("format") : nullptr;
  return format != nullptr && format->is_string() ? std::string(format->get_string()) : "";
}

}  // namespace

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

std::string StoredTensor::shape_text() const { return model::shape_text(shape); }

size_t stored_type_bytes(StoredType type) { return type == StoredType::kF32 ? 4 : 2; }

SafetensorsFile::SafetensorsFile(std::string path) : file_(std::move(path)) {
  const std::string& where = file_.path();
  uint64_t header_bytes = 0;
  if (file_.bytes() < sizeof(header_bytes)) {
    fail(where, "", "expected at least 8 bytes, found " + std::to_string(file_.bytes()));
  }
  std::memcpy(&header_bytes, file_.data(), sizeof(header_bytes));
  const uint64_t rest = file_.bytes() - sizeof(header_bytes);
  if (header_bytes < 2 || header_bytes > std::min(rest, kMaxHeaderBytes)) {
    fail(where, "",
         "expected a length from 2 to " + std::to_string(std::min(rest, kMaxHeaderBytes)) +
             " bytes, found " + std::to_string(header_bytes));
  }
  header_bytes_ = sizeof(header_bytes) + header_bytes;
  const std::byte* data = file_.data() + header_bytes_;
  const uint64_t data_bytes = rest - header_bytes;

  boost::system::error_code code;
  const boost::json::value header = boost::json::parse(
      {reinterpret_cast<const char*>(file_.data()) + sizeof(header_bytes), header_bytes}, code);
  if (code || !header.is_object()) {
    fail(where, "", "expected a JSON object" + (code ? ", found: " + code.message() : ""));
  }

  for (const auto& [key, value] : header.get_object()) {
    if (key == "__metadata__") {
      format_ = read_format(value);
      continue;
    }
    tensors_.push_back(read_entry(where, std::string(key), value, data, data_bytes));
    tensors_.back().file = &file_;
  }
  std::sort(tensors_.begin(), tensors_.end(), [](const StoredTensor& a, const StoredTensor& b) {
    return a.data != b.data ? a.data < b.data : a.bytes < b.bytes;
  });
  const std::byte* end = data;
  for (const StoredTensor& tensor : tensors_) {
    if (tensor.data != end) {
      fail(where, tensor.name,
           std::string(tensor.data < end ? "overlaps" : "leaves a hole after") +
               " the tensor before it: expected to begin at byte " + std::to_string(end - data) +
               " of the data, found " + std::to_string(tensor.data - data));
    }
    end += tensor.bytes;
  }
  if (end != data + data_bytes) {
    fail(where, "",
         "expected " + std::to_string(end - data) + " bytes of data, found " +
             std::to_string(data_bytes));
  }
}

}  // namespace ernie::model
