// A picture: header and decoder agree, and decoding takes the memory that the header announced. The
// format is that of the seeds.
#include <sanitizer/allocator_interface.h>

#include <algorithm>
#include <atomic>

#include "base/check.h"
#include "media/image.h"

namespace {

constexpr ernie::media::DecodeLimits kLimits{.max_pixels = 100'000, .max_side = 4'000};
// Tables and rows of decoders, whatever the size of the picture.
constexpr int64_t kBeside = int64_t{1} << 20;

std::atomic<int64_t> g_held;
std::atomic<int64_t> g_peak;

void on_malloc(const volatile void* memory, size_t) {
  const auto bytes =
      static_cast<int64_t>(__sanitizer_get_allocated_size(const_cast<const void*>(memory)));
  const int64_t held = g_held += bytes;
  if (held > g_peak) g_peak = held;
}

void on_free(const volatile void* memory) {
  if (memory == nullptr) return;
  g_held -= static_cast<int64_t>(__sanitizer_get_allocated_size(const_cast<const void*>(memory)));
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto info = ernie::media::probe_image({data, size}, kLimits);
  const int64_t before = g_held;
  g_peak = before;
  const auto image = ernie::media::decode_image({data, size}, kLimits);
  const int64_t taken = g_peak - before;
  if (image) {
    CHECK(info && info->width == image->width && info->height == image->height,
          "decoded to another size than the header's");
    CHECK(image->rgb.size() == size_t{3} * image->width * image->height, "not all pixels");
  }
  const auto announced = static_cast<int64_t>(info ? info->decoding_bytes : 0);
  CHECK(taken <= announced + kBeside,
        std::to_string(taken) + " bytes for " + std::to_string(announced) + " announced");
  return 0;
}
