#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>

#include "base/check.h"
#include "tensor/dtype.h"

namespace ernie {

// Up to four dimensions, outermost first.
class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) {
    CHECK(dims.size() <= 4, "a shape has at most 4 dimensions");
    for (int64_t d : dims) dims_[rank_++] = d;
  }
  int rank() const { return rank_; }
  int64_t operator[](int i) const { return dims_[i]; }
  int64_t elements() const {
    int64_t n = 1;
    for (int i = 0; i < rank_; ++i) n *= dims_[i];
    return n;
  }
  friend bool operator==(const Shape&, const Shape&) = default;
  std::string to_string() const {
    std::string s = "[";
    for (int i = 0; i < rank_; ++i) s += (i ? ", " : "") + std::to_string(dims_[i]);
    return s + "]";
  }

 private:
  std::array<int64_t, 4> dims_{};
  int rank_ = 0;
};

// A dense, row-major view; owns nothing. The memory lives on the device of the backend that uses
// it.
struct TensorView {
  void* data = nullptr;
  DType dtype = DType::kF32;
  Shape shape;

  int64_t rows() const { return shape[0]; }
  // Elements of one row; a tensor without rows has columns too.
  int64_t cols() const {
    int64_t n = 1;
    for (int i = 1; i < shape.rank(); ++i) n *= shape[i];
    return n;
  }
  size_t bytes() const { return static_cast<size_t>(shape.elements()) * dtype_bytes(dtype); }
  template <typename T>
  T* as() const {
    return static_cast<T*>(data);
  }
  // Rows [begin, begin + count) of a tensor of rank >= 1.
  TensorView slice_rows(int64_t begin, int64_t count) const {
    CHECK(shape.rank() == 2, "slice_rows wants a matrix, got " + shape.to_string());
    CHECK(begin >= 0 && begin + count <= shape[0], "row slice outside " + shape.to_string());
    return {
        static_cast<char*>(data) + begin * shape[1] * dtype_bytes(dtype), dtype, {count, shape[1]}};
  }
};

// Device memory that frees itself. Move-only; made by Backend::allocate().
class Buffer {
 public:
  Buffer() = default;
  Buffer(void* data, size_t bytes, void (*free)(void*)) : data_(data, free), bytes_(bytes) {}

  void* data() const { return data_.get(); }
  size_t bytes() const { return bytes_; }
  TensorView view(DType dtype, Shape shape) const {
    TensorView v{data_.get(), dtype, shape};
    CHECK(v.bytes() <= bytes_, "view of " + shape.to_string() + " exceeds its buffer");
    return v;
  }

 private:
  std::unique_ptr<void, void (*)(void*)> data_{nullptr, [](void*) {}};
  size_t bytes_ = 0;
};

}  // namespace ernie
