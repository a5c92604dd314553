#include "text/json_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/json/value.hpp>
#include <filesystem>
#include <fstream>
#include <string>

namespace ernie::text {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

class ReadFile : public testing::Test {
 protected:
  ReadFile() { fs::create_directories(folder_); }
  ~ReadFile() override { fs::remove_all(folder_); }

  std::string error(const std::string& name) const {
    const Result<std::string> text = read_file(folder_ / name);
    return text ? "none" : text.error().message;
  }

  const fs::path folder_ = fs::temp_directory_path() / ("ernie-read-" + std::to_string(getpid()));
};

TEST_F(ReadFile, GivesTheWholeFileAndAnEmptyOne) {
  const std::string bytes("a\0b\n", 4);
  std::ofstream(folder_ / "file", std::ios::binary) << bytes;
  std::ofstream(folder_ / "empty");
  EXPECT_EQ(*read_file(folder_ / "file"), bytes);
  EXPECT_EQ(*read_file(folder_ / "empty"), "");
}

TEST_F(ReadFile, JsonMayFollowAByteOrderMark) {
  std::ofstream(folder_ / "marked.json") << "\xEF\xBB\xBF{\"a\": 1}";
  const auto object = read_json_object(folder_ / "marked.json");
  ASSERT_TRUE(object) << object.error().message;
  EXPECT_EQ(object->at("a"), 1);
}

// A78
TEST_F(ReadFile, WaitsForNothingAndNamesWhatIsNoFile) {
  ASSERT_EQ(mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  fs::create_symlink("/dev/zero", folder_ / "device");
  fs::create_symlink("circle", folder_ / "circle");
  fs::create_directory(folder_ / "folder");
  for (const char* name : {"pipe", "device", "folder"}) {
    EXPECT_THAT(error(name), testing::AllOf(HasSubstr(name), HasSubstr("pipe or device")));
  }
  EXPECT_THAT(error("circle"), HasSubstr("symbolic links"));
  EXPECT_THAT(error("missing"), HasSubstr("No such file"));
  EXPECT_TRUE(has_entry(folder_ / "circle"));
  EXPECT_FALSE(has_entry(folder_ / "missing"));
}

// A78
TEST_F(ReadFile, HasALimit) {
  std::ofstream(folder_ / "huge");
  fs::resize_file(folder_ / "huge", uintmax_t{30} << 30);
  EXPECT_THAT(error("huge"), HasSubstr("found 32212254720 bytes"));
}

}  // namespace
}  // namespace ernie::text
