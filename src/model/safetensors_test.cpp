#include "model/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/result.h"
#include "model/checkpoint.h"
#include "model/testing/checkpoint_writer.h"

namespace ernie::model {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::safetensors_bytes;
using testing::TempFolder;

// The message of the StartError that `action` throws.
template <typename Action>
std::string error_of(Action action) {
  try {
    action();
  } catch (const StartError& error) {
    return error.what();
  }
  return "no error";
}

std::string open_error(const std::string& bytes) {
  TempFolder folder;
  folder.write("a.safetensors", bytes);
  return error_of([&] { SafetensorsFile(folder.path() + "/a.safetensors"); });
}

TEST(Safetensors, ReadsWhatWasWritten) {
  TempFolder folder;
  folder.write("a.safetensors",
               safetensors_bytes({{"x", {{2, 3}, {1, 2, 3, 4, 5, 6}}}, {"y", {{1}, {7}, "F32"}}}));
  const SafetensorsFile file(folder.path() + "/a.safetensors");
  ASSERT_EQ(file.tensors().size(), 2u);
  EXPECT_EQ(file.tensors()[0].name, "x");
  EXPECT_EQ(file.tensors()[0].shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(file.tensors()[1].type, StoredType::kF32);
  float y = 0;
  std::memcpy(&y, file.tensors()[1].data, sizeof(y));
  EXPECT_EQ(y, 7.0f);
}

struct Hostile {
  const char* what;
  std::string bytes;
  const char* said;
};

std::string length_only(uint64_t length) {
  return std::string(reinterpret_cast<const char*>(&length), sizeof(length)) + "{}";
}

std::string entry(const std::string& type, const std::string& shape, const std::string& offsets) {
  return R"({"w":{"dtype":")" + type + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets +
         "}}";
}

class HostileHeader : public ::testing::TestWithParam<Hostile> {};

// A76
TEST_P(HostileHeader, IsRefusedWithTheFilesName) {
  EXPECT_THAT(open_error(GetParam().bytes),
              AllOf(HasSubstr("a.safetensors"), HasSubstr(GetParam().said)))
      << GetParam().what;
}

INSTANTIATE_TEST_SUITE_P(
    Headers, HostileHeader,
    ::testing::Values(
        Hostile{"empty file", "", "at least 8 bytes"}, Hostile{"seven bytes", "1234567", "found 7"},
        Hostile{"no header", length_only(0), "found 0"},
        Hostile{"huge length", length_only(uint64_t{1} << 63), "9223372036854775808"},
        Hostile{"length beyond the file", length_only(3), "from 2 to 2"},
        Hostile{"bad JSON", safetensors_bytes("{\"w\":", ""), "JSON object"},
        Hostile{"a list", safetensors_bytes("[]", ""), "JSON object"},
        Hostile{"entry is a number", safetensors_bytes("{\"w\":1}", ""), "\"w\""},
        Hostile{"no dtype", safetensors_bytes("{\"w\":{}}", ""), "dtype"},
        Hostile{"unknown dtype", safetensors_bytes(entry("Q3", "[1]", "[0,1]"), "1"), "Q3"},
        Hostile{"negative dimension", safetensors_bytes(entry("F32", "[-1]", "[0,4]"), "1234"),
                "shape"},
        Hostile{"fractional offset", safetensors_bytes(entry("F32", "[1]", "[0,4.5]"), "1234"),
                "data_offsets"},
        Hostile{"product overflows",
                safetensors_bytes(entry("F32", "[4294967296,4294967296]", "[0,4]"), "1234"),
                "64 bits"},
        Hostile{"offset past the end", safetensors_bytes(entry("F32", "[2]", "[0,8]"), "1234"),
                "[0,8]"},
        Hostile{"offsets turned", safetensors_bytes(entry("F32", "[1]", "[4,0]"), "1234"), "[4,0]"},
        Hostile{"size differs from shape", safetensors_bytes(entry("F32", "[2]", "[0,4]"), "1234"),
                "expected 8 bytes for F32 [2], found 4"},
        Hostile{"hole", safetensors_bytes(entry("F32", "[1]", "[4,8]"), "12345678"), "hole"},
        Hostile{"overlap",
                safetensors_bytes(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                                  R"("b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})",
                                  "123456789012"),
                "overlaps"},
        Hostile{"data left over", safetensors_bytes(entry("F32", "[1]", "[0,4]"), "12345"),
                "expected 4 bytes of data, found 5"}));

// A76
TEST(Safetensors, TruncatedAtEveryByteIsRefused) {
  const std::string whole = safetensors_bytes({{"x", {{2, 2}, {1, 2, 3, 4}}}});
  for (size_t bytes = 0; bytes < whole.size(); ++bytes) {
    EXPECT_NE(open_error(whole.substr(0, bytes)), "no error") << bytes;
  }
}

std::string checkpoint_error(const TempFolder& folder) {
  return error_of([&] { Checkpoint{folder.path()}; });
}

TEST(Checkpoint, ShardsOfAnIndex) {
  TempFolder folder;
  folder.write("one.safetensors", safetensors_bytes({{"x", {{1}, {1}}}}));
  folder.write("two.safetensors", safetensors_bytes({{"y", {{1}, {2}}}}));
  folder.write("model.safetensors.index.json",
               R"({"weight_map": {"x": "one.safetensors", "y": "two.safetensors"}})");
  const Checkpoint checkpoint(folder.path());
  EXPECT_EQ(checkpoint.tensors().size(), 2u);
  EXPECT_NE(checkpoint.find("y"), nullptr);
  EXPECT_EQ(checkpoint.find("z"), nullptr);
}

TEST(Checkpoint, ShardsWithoutAnIndex) {
  TempFolder folder;
  EXPECT_FALSE(has_checkpoint(folder.path()));
  folder.write("model-00001-of-00002.safetensors", safetensors_bytes({{"x", {{1}, {1}}}}));
  EXPECT_TRUE(has_checkpoint(folder.path()));
  EXPECT_THAT(checkpoint_error(folder), HasSubstr("model-00002-of-00002.safetensors: expected"));
  folder.write("model-00002-of-00002.safetensors", safetensors_bytes({{"y", {{1}, {2}}}}));
  folder.write("config.json", "{}");
  const Checkpoint checkpoint(folder.path());
  EXPECT_EQ(checkpoint.tensors().size(), 2u);
  EXPECT_NE(checkpoint.find("y"), nullptr);
}

TEST(Checkpoint, OneFileOfAnyName) {
  TempFolder folder;
  folder.write("weights-of-mine.safetensors", safetensors_bytes({{"x", {{1}, {1}}}}));
  EXPECT_NE(Checkpoint(folder.path()).find("x"), nullptr);
}

TEST(Checkpoint, KnowsItsFormat) {
  for (const std::string format : {"pt", "np"}) {
    TempFolder folder;
    folder.write("model.safetensors", safetensors_bytes({{"x", {{1}, {1}}}}, false, format));
    EXPECT_EQ(Checkpoint(folder.path()).saved_from_numpy(), format == "np");
  }
}

// A76
TEST(Checkpoint, FormatsThatAreNotReadAreNamedWithAWayToConvertThem) {
  const struct {
    const char* file;
    const char* said;
  } rows[] = {{"model_state.pdparams", "\"model_state.pdparams\", which is Paddle's own format"},
              {"model_state-00001-of-00002.pdparams", "save_to_hf=True"},
              {"pytorch_model.bin", "\"pytorch_model.bin\", which is PyTorch's own format"},
              {"rank0/model_state.pdparams", "\"rank0/\", in which FastDeploy keeps weights"},
              {"rank1/model.safetensors", "cut for one GPU of several"}};
  for (const auto& row : rows) {
    TempFolder folder;
    folder.write("config.json", "{}");
    folder.write(row.file, "");
    EXPECT_THAT(checkpoint_error(folder), AllOf(HasSubstr(folder.path()), HasSubstr(row.said)));
  }
}

// A79
TEST(Checkpoint, BadIndexesAreRefused) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"weight_map": {"x": "../one.safetensors"}})", "../one.safetensors"},
      {R"({"weight_map": {"x": "/etc/passwd"}})", "/etc/passwd"},
      {R"({"weight_map": {"x": ".."}})", "name of a file"},
      {R"({"weight_map": {"x": 3}})", "name of a file"},
      {R"({"weight_map": {"x": "gone.safetensors"}})", "gone.safetensors"},
      {R"({"weight_map": {"z": "one.safetensors"}})", "\"z\""},
      {R"({"weight_map": []})", "weight_map"},
      {R"({})", "weight_map"},
      {R"({"weight)", "model.safetensors.index.json"},
      {R"({"weight_map": {"x": "one.safetensors", "w": "two.safetensors"}})", "also in"},
  };
  for (const auto& [index, said] : cases) {
    TempFolder folder;
    folder.write("one.safetensors", safetensors_bytes({{"x", {{1}, {1}}}}));
    folder.write("two.safetensors", safetensors_bytes({{"w", {{1}, {1}}}, {"x", {{1}, {2}}}}));
    folder.write("model.safetensors.index.json", index);
    EXPECT_THAT(checkpoint_error(folder), HasSubstr(said)) << index;
  }
  TempFolder empty;
  EXPECT_THAT(checkpoint_error(empty), AllOf(HasSubstr(empty.path()), HasSubstr("neither")));
}

}  // namespace
}  // namespace ernie::model
