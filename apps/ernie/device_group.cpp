#include "device_group.h"

#include <charconv>
#include <cmath>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/memory.h"
#include "backend/cuda_sizing/cuda_sizing.h"
#include "base/result.h"

namespace ernie::app {
namespace {

constexpr size_t kMiB = size_t{1} << 20;
constexpr size_t kContextBytes = 550 * kMiB;  // some 500 MiB on an H100, and a little more
constexpr int kMostGpus = 64;
constexpr int kMostGigabytes = 1024;

// What nvidia-smi shows of GPUs that are sold as so many gigabytes.
struct KnownSize {
  int gigabytes;
  size_t mebibytes;
};
constexpr KnownSize kKnownSizes[] = {{24, 24564}, {48, 46068}, {80, 81559}, {141, 143771}};

// Of other sizes, the share that is usually shown.
constexpr double kUsualShare = 0.995;

void set_memory(int gigabytes, DeviceGroup& group) {
  for (const KnownSize& known : kKnownSizes) {
    if (known.gigabytes == gigabytes) {
      group.total_bytes = known.mebibytes * kMiB;
      return;
    }
  }
  group.known_size = false;
  group.total_bytes = static_cast<size_t>(std::floor(gigabytes * 1024 * kUsualShare)) * kMiB;
}

// A number from 1 to `most` that `end` follows; moves `at` behind both.
bool read_number(const char*& at, const char* last, int most, char end, int& number) {
  const auto [next, error] = std::from_chars(at, last, number);
  if (error != std::errc() || number < 1 || number > most || next == last || *next != end)
    return false;
  at = next + 1;
  return true;
}

}  // namespace

const ops::Sizing& DeviceGroup::sizing() const {
  return is_cpu ? cpu::cpu_sizing() : cuda::cuda_sizing();
}

DeviceGroup parse_device_group(const std::string& text) {
  DeviceGroup group{.name = text};
  if (text == "cpu") {
    group.is_cpu = true;
    const auto host = cpu::host_memory();
    group.total_bytes = host.total_bytes;
    group.reserved_bytes = host.total_bytes - host.free_bytes;
    return group;
  }
  const char* at = text.data();
  const char* last = at + text.size();
  int gigabytes = 0;
  if (!read_number(at, last, kMostGpus, 'x', group.count) ||
      !read_number(at, last, kMostGigabytes, 'G', gigabytes) || at != last)
    throw StartError("--gpus is " + text +
                     "; it must be cpu, or a count of GPUs (1 to 64) and the size of each, such "
                     "as 2x141G or 1x24G");
  group.reserved_bytes = kContextBytes;
  set_memory(gigabytes, group);
  return group;
}

}  // namespace ernie::app
