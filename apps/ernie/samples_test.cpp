#include "samples.h"

#include <gtest/gtest.h>

namespace ernie::app {
namespace {

TEST(Samples, PercentilesLieBetweenNeighbours) {
  Samples samples;
  for (const double value : {40.0, 10.0, 30.0, 20.0}) samples.add(value);
  EXPECT_DOUBLE_EQ(samples.percentile(0), 10);
  EXPECT_DOUBLE_EQ(samples.percentile(50), 25);
  EXPECT_DOUBLE_EQ(samples.percentile(90), 37);
  EXPECT_DOUBLE_EQ(samples.percentile(100), 40);
  EXPECT_DOUBLE_EQ(samples.mean(), 25);
  samples.add(0);  // after a percentile was asked for
  EXPECT_DOUBLE_EQ(samples.percentile(50), 20);
}

TEST(Samples, NothingIsZero) {
  EXPECT_EQ(Samples().mean(), 0);
  EXPECT_EQ(Samples().percentile(99), 0);
}

TEST(Samples, ManyKeepALimitedSample) {
  Samples samples(1000);
  for (int i = 0; i < 100000; ++i) samples.add(i);
  EXPECT_EQ(samples.count(), 100000u);
  EXPECT_DOUBLE_EQ(samples.mean(), 49999.5);
  EXPECT_NEAR(samples.percentile(50), 50000, 6000);
  EXPECT_NEAR(samples.percentile(90), 90000, 4000);
}

}  // namespace
}  // namespace ernie::app
