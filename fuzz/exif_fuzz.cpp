#include "base/check.h"
#include "media/exif.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const int orientation = ernie::media::exif_orientation({data, size});
  CHECK(orientation >= 1 && orientation <= 8, std::to_string(orientation));
  const auto upright =
      ernie::media::apply_orientation({2, 3, std::vector<uint8_t>(18)}, orientation);
  CHECK(upright.width == (orientation >= 5 ? 3 : 2) && upright.rgb.size() == 18, "not all pixels");
  return 0;
}
