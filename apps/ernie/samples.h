#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

namespace ernie::app {

// Collects numbers for their mean and percentiles. Keeps at most `limit` of them: past that,
// percentiles are those of a random sample of this size (the same one for the same numbers). One
// thread.
class Samples {
 public:
  explicit Samples(size_t limit = 1'000'000) : limit_(limit) {}

  void add(double value);

  size_t count() const { return count_; }
  double sum() const { return sum_; }
  double mean() const;  // 0 without numbers
  // The number below which `percent` of them lie, between neighbours on a line (as NumPy does it).
  // 0 without numbers. `percent` is 0 to 100.
  double percentile(double percent) const;

 private:
  size_t limit_;
  size_t count_ = 0;
  double sum_ = 0;
  std::mt19937_64 random_;
  mutable std::vector<double> values_;
};

}  // namespace ernie::app
