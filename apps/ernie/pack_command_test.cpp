#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/result.h"
#include "commands.h"

namespace ernie::app {
namespace {

using ::testing::HasSubstr;

std::string refusal_of(const std::vector<std::string>& args) {
  try {
    run_pack(args);
  } catch (const StartError& error) {
    return error.what();
  }
  return {};
}

TEST(PackCommand, RefusalsNameTheFlag) {
  EXPECT_THAT(refusal_of({}), HasSubstr("ernie pack --help"));
  EXPECT_THAT(refusal_of({"--model", "m", "--output", "o"}), HasSubstr("--quantization"));
  EXPECT_THAT(refusal_of({"--model", "m", "--quantization", "wint4"}), HasSubstr("--output"));
  EXPECT_THAT(refusal_of({"--model", "m", "--quantization", "fp3", "--output", "o"}),
              HasSubstr("--quantization is fp3"));
  EXPECT_THAT(refusal_of({"--model", "m", "--quantization", "bf16", "--output", "o"}),
              HasSubstr("--quantization is bf16; it must be wint8"));
  EXPECT_THAT(refusal_of({"--model", "/no/such", "--quantization", "wint4", "--output", "o"}),
              HasSubstr("/no/such"));
}

}  // namespace
}  // namespace ernie::app
