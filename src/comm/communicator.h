#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "tensor/tensor.h"

namespace ernie {

// residual += sum of x over the ranks, then out = RMSNorm(residual) * weight. T is the type of
// residual, weight and out. The sum is rounded to T before the addition, the new residual after it.
struct AllReduceNormArgs {
  TensorView x;         // [rows, width] float32 or T
  TensorView residual;  // [rows, width], updated
  TensorView weight;    // [width]
  float eps = 1e-5f;
  TensorView out;  // [rows, width]
};

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

  // These two do in one operation what the device may have no operation for. False when it has not;
  // then nothing was done, on any rank, and the caller takes the steps one by one.
  // out, bfloat16, becomes the sum of x, float32, rounded once.
  virtual bool all_reduce_sum_rounded(TensorView /*x*/, TensorView /*out*/) { return false; }
  virtual bool all_reduce_residual_rms_norm(const AllReduceNormArgs&) { return false; }

  // out [rows, size * cols] receives every rank's part [rows, cols], rank 0 leftmost.
  virtual void all_gather_columns(TensorView part, TensorView out) = 0;

  // x becomes rank `root`'s x on every rank; float32 or bfloat16, the same shape on all.
  virtual void broadcast(TensorView x, int root) = 0;

  virtual void barrier() = 0;

  // While a rehearsal is on, collectives do not wait and their results mean nothing, so that ranks
  // may load code, which can take an idle device. All ranks make the same calls in it.
  virtual void set_rehearsal(bool /*on*/) {}

  // Throws std::runtime_error when a collective of this rank has given up. What the devices have
  // computed may be used only after this returned on every rank. Any thread may call it.
  virtual void check() {}

  // From now on a device that waits for longer inside a collective gives up. Before, while ranks
  // load code and warm up, it waits longer. Any thread may call it.
  virtual void set_time_limit(std::chrono::milliseconds) {}

  // Since when this rank's thread has been waiting for the others inside a collective; nothing when
  // it has not, or where collectives do not hold up the thread. Any thread may call it.
  virtual std::optional<std::chrono::steady_clock::time_point> waiting_since() const { return {}; }

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
