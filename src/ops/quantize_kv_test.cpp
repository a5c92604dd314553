#include "ops/quantize_kv.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace ernie {
namespace {

constexpr KvType kTypes[] = {KvType::kInt8, KvType::kFp8};

// The cells of elements behind one that makes the scale 1.
std::vector<uint8_t> cells_of(std::vector<float> elements, KvType type) {
  elements.insert(elements.begin(), kv_limit(type));
  std::vector<uint8_t> cells(elements.size());
  EXPECT_EQ(to_float(quantize_kv(elements.data(), std::ssize(elements), type, cells.data())), 1);
  EXPECT_EQ(kv_cell(cells[0], type), kv_limit(type));
  cells.erase(cells.begin());
  return cells;
}

bool is_number(int cell, KvType type) {
  return type == KvType::kInt8 ? cell != 0x80 : (cell & 0x7f) != 0x7f;
}

TEST(QuantizeKv, EveryNumberOfACellStaysItself) {
  for (const KvType type : kTypes) {
    for (int cell = 0; cell < 256; ++cell) {
      if (!is_number(cell, type)) continue;
      const float number = kv_cell(static_cast<uint8_t>(cell), type);
      EXPECT_EQ(kv_cell(cells_of({number}, type)[0], type), number) << kv_type_name(type) << cell;
    }
  }
}

// Between two neighbours the middle goes to the one whose last bit is 0.
TEST(QuantizeKv, RoundsToTheNearestAndTiesToEven) {
  for (const KvType type : kTypes) {
    const int last = type == KvType::kInt8 ? 127 : 0x7e;
    for (int cell = 0; cell < last; ++cell) {
      const float low = kv_cell(static_cast<uint8_t>(cell), type);
      const float high = kv_cell(static_cast<uint8_t>(cell + 1), type);
      const float middle = (low + high) / 2;
      for (const float sign : {1.0f, -1.0f}) {
        const auto rounded = [&](float x) {
          return kv_cell(cells_of({sign * x}, type)[0], type) * sign;
        };
        EXPECT_EQ(rounded(middle), cell % 2 == 0 ? low : high) << kv_type_name(type) << cell;
        EXPECT_EQ(rounded(std::nextafter(middle, low)), low) << kv_type_name(type) << cell;
        EXPECT_EQ(rounded(std::nextafter(middle, high)), high) << kv_type_name(type) << cell;
      }
    }
  }
}

// The scale of 100 elements is rounded down here, which must not carry the largest past the limit.
TEST(QuantizeKv, CellsAreTakenByTheRoundedScale) {
  for (const KvType type : kTypes) {
    const std::vector<float> elements = {1.0f, -0.7f, 0.3f, 0.001f};
    std::vector<uint8_t> cells(elements.size());
    const BF16 scale = quantize_kv(elements.data(), 4, type, cells.data());
    EXPECT_EQ(scale.bits, to_bf16(1 / kv_limit(type)).bits);
    for (size_t i = 0; i < elements.size(); ++i) {
      const double step =
          type == KvType::kInt8 ? 0.5 : std::abs(elements[i]) / to_float(scale) / 16;
      EXPECT_NEAR(kv_cell(cells[i], type) * to_float(scale), elements[i],
                  to_float(scale) * std::max(step, 0.5 / 512) + 0.004);
    }
  }
}

TEST(QuantizeKv, ZerosStayZerosAndFaultsStayVisible) {
  const float infinity = std::numeric_limits<float>::infinity();
  for (const KvType type : kTypes) {
    std::vector<uint8_t> cells(2, 0xff);
    const std::vector<float> zeros(2);
    EXPECT_EQ(quantize_kv(zeros.data(), 2, type, cells.data()).bits, 0);
    EXPECT_EQ(cells, std::vector<uint8_t>(2));
    for (const float fault : {std::nanf(""), infinity, -infinity}) {
      for (const std::vector<float>& in : {std::vector{1.0f, fault}, std::vector{fault, 1.0f}}) {
        const float scale = to_float(quantize_kv(in.data(), 2, type, cells.data()));
        for (const uint8_t cell : cells) EXPECT_TRUE(std::isnan(kv_cell(cell, type) * scale));
      }
    }
  }
}

// What the arithmetic of float32 rounds to zero has cells of zero, too.
TEST(QuantizeKv, TheSmallestElementsVanish) {
  const std::vector<float> in = {std::numeric_limits<float>::denorm_min(), 0};
  for (const KvType type : kTypes) {
    std::vector<uint8_t> cells(2, 0xff);
    EXPECT_EQ(quantize_kv(in.data(), 2, type, cells.data()).bits, 0);
    EXPECT_EQ(cells, std::vector<uint8_t>(2));
  }
}

}  // namespace
}  // namespace ernie
