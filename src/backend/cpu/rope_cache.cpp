#include "backend/cpu/rope_cache.h"

#include <algorithm>
#include <cmath>

namespace ernie::cpu {

void RopeCache::prepare(const int32_t* positions, int64_t rows, int axes,
                        const std::vector<float>& frequency, const std::vector<uint8_t>& axis,
                        bool pairs) {
  const size_t count = static_cast<size_t>(rows * axes);
  if (count == positions_.size() && std::equal(positions, positions + count, positions_.begin()) &&
      pairs == pairs_ && frequency == frequency_ && axis == axis_) {
    return;
  }
  positions_.assign(positions, positions + count);
  frequency_ = frequency;
  axis_ = axis;
  pairs_ = pairs;
  const int copies = pairs ? 2 : 1;
  width_ = static_cast<int64_t>(frequency.size()) * copies;
  cos_.resize(static_cast<size_t>(rows * width_));
  sin_.resize(static_cast<size_t>(rows * width_));
  for (int64_t r = 0; r < rows; ++r) {
    for (size_t i = 0; i < frequency.size(); ++i) {
      const float angle = static_cast<float>(positions[r * axes + axis[i]]) * frequency[i];
      const size_t at = static_cast<size_t>(r * width_) + i * static_cast<size_t>(copies);
      cos_[at] = std::cos(angle);
      sin_[at] = std::sin(angle);
      if (pairs) {
        cos_[at + 1] = cos_[at];
        sin_[at + 1] = sin_[at];
        sin_[at] = -sin_[at];
      }
    }
  }
}

}  // namespace ernie::cpu
