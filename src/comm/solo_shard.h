#pragma once

#include <functional>
#include <memory>

#include "comm/communicator.h"

namespace ernie {

// out [rows * n, cols] receives each row of part [rows, cols] n times in a row. Both lie on the
// device.
using RepeatRows = std::function<void(TensorView part, TensorView out)>;

// Rank 0 of a group of `size` whose other ranks do not exist: measures one rank's share of a large
// model on one device, without communication. A sum leaves the tensor as it is; a gather repeats
// this rank's part with `repeat`. What the model computes is of the right sizes and has no meaning.
std::unique_ptr<Communicator> make_solo_shard(int size, RepeatRows repeat);

}  // namespace ernie
