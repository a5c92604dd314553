#pragma once

#include <cstdint>
#include <vector>

namespace ernie::cpu {

// Cosines and sines of the angles of one step. All layers of a step ask for the same ones, so they
// are kept until other positions or frequencies are asked for.
class RopeCache {
 public:
  // For row r and angle i: positions[r * axes + axis[i]] * frequency[i].
  // Tables are [rows, angles]; with `pairs` each angle stands twice, the first sine negated, as
  // TypedKernels::rotate_pairs wants it.
  void prepare(const int32_t* positions, int64_t rows, int axes,
               const std::vector<float>& frequency, const std::vector<uint8_t>& axis, bool pairs);

  const float* cos(int64_t row) const { return cos_.data() + row * width_; }
  const float* sin(int64_t row) const { return sin_.data() + row * width_; }

 private:
  std::vector<int32_t> positions_;
  std::vector<float> frequency_;
  std::vector<uint8_t> axis_;
  bool pairs_ = false;
  int64_t width_ = 0;
  std::vector<float> cos_;
  std::vector<float> sin_;
};

}  // namespace ernie::cpu
