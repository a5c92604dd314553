#include "model/read_ahead.h"

#include <algorithm>
#include <cstddef>

namespace ernie::model {

void ReadAhead::reading(const MappedFile& file, const void* data, size_t bytes) {
  std::vector<bool>& asked = asked_[&file];
  if (asked.empty()) asked.resize((file.bytes() + kChunk - 1) / kChunk);
  const auto offset = static_cast<size_t>(static_cast<const std::byte*>(data) - file.data());
  const size_t end = std::min(asked.size(), (offset + bytes + kDistance) / kChunk);
  for (size_t chunk = offset / kChunk; chunk < end; ++chunk) {
    if (asked[chunk]) continue;
    asked[chunk] = true;
    file.will_need(chunk * kChunk, kChunk);
  }
}

}  // namespace ernie::model
