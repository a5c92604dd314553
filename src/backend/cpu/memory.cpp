#include "backend/cpu/memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>

#include "base/result.h"

namespace ernie::cpu {
namespace {

constexpr size_t kHeader = 64;  // holds the length of a mapping; keeps the alignment
constexpr size_t kMapFrom = size_t{1} << 20;
constexpr size_t kHugePage = size_t{2} << 20;  // Linux aligns mappings of whole ones to them

std::optional<uint64_t> read_number(const std::string& path) {
  std::ifstream in(path);
  uint64_t value = 0;
  if (in >> value) return value;  // "max" is no number
  return std::nullopt;
}

// Value in bytes of a line "Key:   123 kB" of /proc/meminfo.
uint64_t meminfo(const std::string& key) {
  std::ifstream in("/proc/meminfo");
  for (std::string line; std::getline(in, line);) {
    std::istringstream fields(line);
    std::string name;
    uint64_t kib = 0;
    if (fields >> name >> kib && name == key + ":") return kib * 1024;
  }
  return 0;
}

// Pages of the file cache that a group can give back at once count as free.
uint64_t reclaimable(const std::string& stat_file, const std::string& key) {
  std::ifstream in(stat_file);
  std::string name;
  uint64_t value = 0;
  while (in >> name >> value) {
    if (name == key) return value;
  }
  return 0;
}

void bound(ops::Backend::MemoryInfo& info, const std::string& dir, const char* limit_file,
           const char* used_file, const char* cache_key) {
  const std::optional<uint64_t> limit = read_number(dir + limit_file);
  const std::optional<uint64_t> used = read_number(dir + used_file);
  if (!limit || !used || *limit >= info.total_bytes) return;
  const uint64_t cache = reclaimable(dir + "/memory.stat", cache_key);
  const uint64_t held = *used > cache ? *used - cache : 0;
  info.total_bytes = *limit;
  info.free_bytes = std::min<size_t>(info.free_bytes, *limit > held ? *limit - held : 0);
}

// Calls visit(folder) for a group and all groups above it.
template <class Visit>
void for_group_and_parents(const std::string& root, std::string group, Visit visit) {
  while (true) {
    visit(root + group);
    const size_t slash = group.rfind('/');
    if (group.empty() || slash == std::string::npos) return;
    group.resize(slash);
  }
}

void unmap(void* p) {
  char* base = static_cast<char*>(p) - kHeader;
  size_t length = 0;
  std::memcpy(&length, base, sizeof(length));
  munmap(base, length);
}

std::string mib(size_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

}  // namespace

ops::Backend::MemoryInfo host_memory() {
  ops::Backend::MemoryInfo info{meminfo("MemTotal"), meminfo("MemAvailable")};
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string group = line.substr(second + 1) == "/" ? "" : line.substr(second + 1);
    if (controllers.empty()) {
      for_group_and_parents("/sys/fs/cgroup", group, [&](const std::string& dir) {
        bound(info, dir, "/memory.max", "/memory.current", "inactive_file");
      });
    } else if (controllers.find("memory") != std::string::npos) {
      for_group_and_parents("/sys/fs/cgroup/memory", group, [&](const std::string& dir) {
        bound(info, dir, "/memory.limit_in_bytes", "/memory.usage_in_bytes", "total_inactive_file");
      });
    }
  }
  return info;
}

Buffer allocate_host(size_t bytes) {
  const auto full = [&]() -> StartError {
    const auto info = host_memory();
    return StartError("cannot allocate " + std::to_string(bytes) + " bytes (" + mib(bytes) +
                      ") of host memory: " + mib(info.free_bytes) + " of " + mib(info.total_bytes) +
                      " are free; use a smaller model, fewer KV blocks or a lower "
                      "--gpu-memory-utilization");
  };
  if (bytes < kMapFrom) {
    const size_t rounded = std::max<size_t>(64, (bytes + 63) / 64 * 64);
    void* p = std::aligned_alloc(64, rounded);
    if (p == nullptr) throw full();
    std::memset(p, 0, rounded);
    return Buffer(p, bytes, [](void* q) { std::free(q); });
  }
  if (bytes > host_memory().free_bytes) throw full();
  const size_t length = (bytes + kHeader + kHugePage - 1) / kHugePage * kHugePage;
  void* base = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) throw full();
  madvise(base, length, MADV_HUGEPAGE);
  std::memcpy(base, &length, sizeof(length));
  return Buffer(static_cast<char*>(base) + kHeader, bytes, unmap);
}

}  // namespace ernie::cpu
