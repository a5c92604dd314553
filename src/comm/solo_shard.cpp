#include "comm/solo_shard.h"

#include <string>
#include <utility>

#include "base/check.h"

namespace ernie {
namespace {

class SoloShard final : public Communicator {
 public:
  SoloShard(int size, RepeatRows repeat) : size_(size), repeat_(std::move(repeat)) {}

  int rank() const override { return 0; }
  int size() const override { return size_; }
  void all_reduce_sum(TensorView) override {}
  void all_gather_columns(TensorView part, TensorView out) override {
    CHECK(out.dtype == part.dtype && out.rows() == part.rows() && out.cols() == part.cols() * size_,
          "all_gather_columns: part " + part.shape.to_string() + " of " + std::to_string(size_) +
              " ranks, out " + out.shape.to_string());
    repeat_(part, {out.data, out.dtype, {part.rows() * size_, part.cols()}});
  }
  void broadcast(TensorView, int) override {}
  void barrier() override {}

 private:
  int size_;
  RepeatRows repeat_;
};

}  // namespace

std::unique_ptr<Communicator> make_solo_shard(int size, RepeatRows repeat) {
  CHECK(size >= 1, "a group needs at least 1 rank, got " + std::to_string(size));
  return std::make_unique<SoloShard>(size, std::move(repeat));
}

}  // namespace ernie
