#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "tensor/tensor.h"

namespace ernie {

// Collectives among the ranks of one tensor-parallel group. Each rank thread owns one Communicator
// and calls it in the same order as every other rank. Calls return when the result may be read on
// this rank.
class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;

  // In-place sum over ranks of a float32 or bfloat16 tensor. Sums are taken in float32 in rank
  // order.
  virtual void all_reduce_sum(TensorView x) = 0;

  // out [rows, size * cols] receives every rank's part [rows, cols], rank 0 leftmost.
  virtual void all_gather_columns(TensorView part, TensorView out) = 0;

  virtual void barrier() = 0;

  // Ends the group after a rank has failed: every rank that waits in a collective, or calls one
  // from now on, gets a std::runtime_error. Any thread may call it.
  virtual void abort() {}
};

// A group of one: every collective is the identity.
std::unique_ptr<Communicator> make_single_communicator();

// `size` communicators for threads of this process that exchange host memory.
std::vector<std::unique_ptr<Communicator>> make_local_communicators(int size);

// Makes the communicators of a group, rank 0 first.
using CommunicatorFactory = std::function<std::vector<std::unique_ptr<Communicator>>(int size)>;

// The factory for devices whose memory the host addresses: single for one rank, else local.
std::vector<std::unique_ptr<Communicator>> make_host_communicators(int size);

}  // namespace ernie
