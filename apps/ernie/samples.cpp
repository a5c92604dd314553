#include "samples.h"

#include <algorithm>
#include <cmath>

namespace ernie::app {

void Samples::add(double value) {
  ++count_;
  sum_ += value;
  if (values_.size() < limit_) {
    values_.push_back(value);
    return;
  }
  const uint64_t place = random_() % count_;  // reservoir sampling
  if (place < limit_) values_[place] = value;
}

double Samples::mean() const { return count_ > 0 ? sum_ / static_cast<double>(count_) : 0; }

double Samples::percentile(double percent) const {
  if (values_.empty()) return 0;
  std::sort(values_.begin(), values_.end());
  const double place = percent / 100 * static_cast<double>(values_.size() - 1);
  const auto below = static_cast<size_t>(place);
  const size_t above = std::min(below + 1, values_.size() - 1);
  return std::lerp(values_[below], values_[above], place - std::floor(place));
}

}  // namespace ernie::app
