// Equality with Pillow is proved in golden_test.cpp; here are the properties and the kernels.
#include "media/resize.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <vector>

#include "media/resize_kernel.h"

namespace ernie::media {
namespace {

Image random_image(int width, int height) {
  Image image{width, height, {}};
  uint32_t state = 1;
  for (int i = 0; i < 3 * width * height; ++i) {
    state = state * 1664525 + 1013904223;
    image.rgb.push_back(state >> 24);
  }
  return image;
}

Image transposed(const Image& image) {
  Image out{image.height, image.width, {}};
  out.rgb.resize(image.rgb.size());
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x) {
      std::copy_n(&image.rgb[3 * (y * image.width + x)], 3, &out.rgb[3 * (x * out.width + y)]);
    }
  }
  return out;
}

TEST(Resize, AFlatPictureStaysFlatAtAnySize) {
  EXPECT_TRUE(rc::check([] {
    const int w = *rc::gen::inRange(1, 60);
    const int h = *rc::gen::inRange(1, 60);
    const uint8_t value = *rc::gen::arbitrary<uint8_t>();
    const Image flat{w, h, std::vector<uint8_t>(3 * w * h, value)};
    const Image out = resize_bicubic(flat, *rc::gen::inRange(1, 90), *rc::gen::inRange(1, 90));
    RC_ASSERT(std::all_of(out.rgb.begin(), out.rgb.end(), [&](uint8_t v) { return v == value; }));
  }));
}

// One axis at a time the two passes compute the same, though by different code.
TEST(Resize, TheAxesAreTreatedAlike) {
  EXPECT_TRUE(rc::check([] {
    const Image image = random_image(*rc::gen::inRange(1, 70), *rc::gen::inRange(1, 70));
    const int width = *rc::gen::inRange(1, 120);
    const Image wide = resize_bicubic(image, width, image.height);
    const Image tall = resize_bicubic(transposed(image), image.height, width);
    RC_ASSERT(wide.rgb == transposed(tall).rgb);
  }));
}

TEST(Resize, TheKernelsAgree) {
  if (!__builtin_cpu_supports("avx2")) GTEST_SKIP() << "this machine runs the plain kernel only";
  EXPECT_TRUE(rc::check([] {
    const int count = *rc::gen::inRange(0, 40);
    constexpr int32_t kLargest = (1 << kPrecisionBits) / 8;
    const auto weights =
        *rc::gen::container<std::vector<int32_t>>(count, rc::gen::inRange(-kLargest, kLargest));
    const size_t stride = *rc::gen::inRange(kLanes, 2 * kLanes);
    const Image noise = random_image(static_cast<int>(stride), count + 1);
    const Window window{0, count, weights.data()};
    uint8_t plain[kLanes];
    uint8_t avx2[kLanes];
    weigh_plain(window, noise.rgb.data(), stride, plain);
    weigh_avx2(window, noise.rgb.data(), stride, avx2);
    RC_ASSERT(std::equal(plain, plain + kLanes, avx2));
  }));
}

TEST(Resize, TheSameSizeIsACopy) {
  const Image image = random_image(13, 7);
  EXPECT_EQ(resize_bicubic(image, 13, 7).rgb, image.rgb);
}

}  // namespace
}  // namespace ernie::media
