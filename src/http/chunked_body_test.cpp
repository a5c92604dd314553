#include "http/chunked_body.h"

#include <gtest/gtest.h>

namespace ernie::http {
namespace {

TEST(ChunkedBody, A05IsNotCompleteWhenItsLastByteIsRefused) {
  ChunkedBody chunks(100);
  std::string body;
  chunks.push("1\r\na\r\n0\r\n\rx", body);
  ASSERT_TRUE(chunks.rejection());
  EXPECT_EQ(chunks.rejection()->status, 400);
  EXPECT_FALSE(chunks.done());
}

}  // namespace
}  // namespace ernie::http
