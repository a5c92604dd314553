#pragma once

#include <unordered_map>
#include <vector>

#include "model/mapped_file.h"

namespace ernie::model {

// Has the kernel read what lies behind the place where files are read now, so that disks work while
// weights are converted and copied. Each part of a file is asked for once, and never more than
// kDistance beyond what was used, so that little memory is enough for its cache.
class ReadAhead {
 public:
  static constexpr size_t kDistance = size_t{128} << 20;

  // `bytes` at `data` in `file` are about to be used.
  void reading(const MappedFile& file, const void* data, size_t bytes);

 private:
  static constexpr size_t kChunk = size_t{16} << 20;
  std::unordered_map<const MappedFile*, std::vector<bool>> asked_;  // chunks of each file
};

}  // namespace ernie::model
