#include "media/local_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string>

namespace ernie::media {
namespace {

namespace fs = std::filesystem;

// root/media is the allowed folder; root/secret.txt lies outside of it.
class LocalFile : public testing::Test {
 protected:
  LocalFile() {
    std::string name = (fs::temp_directory_path() / "ernie_media_XXXXXX").string();
    root_ = mkdtemp(name.data());
    folder_ = root_ / "media";
    fs::create_directories(folder_ / "sub dir");
    std::ofstream(root_ / "secret.txt") << "secret";
    fs::create_directory(root_ / "media2");
    std::ofstream(root_ / "media2" / "x") << "secret";
    std::ofstream(folder_ / "a.txt") << "inside";
    std::ofstream(folder_ / "sub dir" / "b.txt") << "deep";
    fs::create_symlink(root_ / "secret.txt", folder_ / "out_absolute");
    fs::create_symlink("../secret.txt", folder_ / "out_relative");
    fs::create_symlink("..", folder_ / "up");
    fs::create_symlink("sub dir/b.txt", folder_ / "in_relative");
    fs::create_symlink("loop", folder_ / "loop");
    fs::create_symlink("/proc/self", folder_ / "process");
    mkfifo((folder_ / "fifo").c_str(), 0600);
    policy_.allowed_local_media_path = folder_.string();
  }
  ~LocalFile() override { fs::remove_all(root_); }

  std::string fetch(const std::string& url) {
    const auto media = read_media(url, policy_, memory_);
    return media ? std::string(media->bytes.begin(), media->bytes.end()) : media.error().code;
  }
  std::string url(const std::string& inside) { return "file://" + folder_.string() + inside; }

  fs::path root_;
  fs::path folder_;
  FetchPolicy policy_;
  RequestMemory memory_;
};

TEST_F(LocalFile, RegularFilesBeneathTheFolderAreRead) {
  EXPECT_EQ(fetch(url("/a.txt")), "inside");
  EXPECT_EQ(fetch(url("//a.txt")), "inside");
  EXPECT_EQ(fetch(url("/sub%20dir/b.txt")), "deep");
  EXPECT_EQ(fetch(url("/sub%20dir/../a.txt")), "inside");
  EXPECT_EQ(fetch(url("/in_relative")), "deep");
  EXPECT_EQ(fetch("FILE://localhost" + folder_.string() + "/a.txt?x#y"), "inside");
  policy_.allowed_local_media_path += "/";
  EXPECT_EQ(fetch(url("/a.txt")), "inside");
}

TEST_F(LocalFile, TheFolderMayBeReachedThroughALink) {
  fs::create_directory_symlink(folder_, root_ / "link");
  policy_.allowed_local_media_path = (root_ / "link").string();
  EXPECT_EQ(fetch(url("/a.txt")), "inside");
  EXPECT_EQ(fetch("file://" + (root_ / "link").string() + "/a.txt"), "inside");
}

// A51
TEST_F(LocalFile, NothingOutsideTheFolderIsRead) {
  for (const char* inside :
       {"/out_absolute", "/out_relative", "/up/secret.txt", "/../secret.txt",
        "/sub%20dir/../../secret.txt", "/%2e%2e/secret.txt", "2/x", "/process/environ", "/loop"}) {
    EXPECT_EQ(fetch(url(inside)), "media_url_blocked") << inside;
  }
  for (const char* other :
       {"file:///etc/passwd", "file:///dev/zero", "file:///proc/self/mem", "file://host/etc/passwd",
        "file:/etc/passwd", "file:", "file://", "/etc/passwd", "a.txt", ""}) {
    EXPECT_EQ(fetch(other), "media_url_blocked") << other;
  }
}

// A51
TEST_F(LocalFile, OnlyRegularFilesAreRead) {
  EXPECT_EQ(fetch(url("/fifo")), "media_url_blocked");  // and does not wait for a writer
  EXPECT_EQ(fetch(url("/sub%20dir")), "media_url_blocked");
  EXPECT_EQ(fetch(url("")), "media_url_blocked");
  EXPECT_EQ(fetch(url("/")), "media_url_blocked");
  EXPECT_EQ(fetch(url("/missing")), "media_fetch_failed");
  EXPECT_EQ(fetch(url("/a.txt/b")), "media_fetch_failed");
}

// A51
TEST_F(LocalFile, MalformedEscapesAreRefused) {
  for (const char* inside : {"/a%", "/a%2", "/a%zz", "/a.txt%00.png", "/a%+1"}) {
    EXPECT_EQ(fetch(url(inside)), "media_url_blocked") << inside;
  }
}

// A51
TEST_F(LocalFile, TheByteLimitHolds) {
  policy_.max_bytes = 6;
  EXPECT_EQ(fetch(url("/a.txt")), "inside");
  policy_.max_bytes = 5;
  EXPECT_EQ(fetch(url("/a.txt")), "media_too_large");
}

TEST_F(LocalFile, AFileForWhichThereIsNoRoomIsNotRead) {
  memory_ = RequestMemory(8);  // half of it for what is not decoded yet
  EXPECT_EQ(fetch(url("/a.txt")), "too_many_bytes");
  memory_ = RequestMemory(20);
  EXPECT_EQ(fetch(url("/a.txt")), "inside");
  EXPECT_EQ(memory_.held->used(), 0u);
}

TEST_F(LocalFile, WithoutAFolderTheMessageNamesTheFlag) {
  const auto bytes = read_media(url("/a.txt"), FetchPolicy{});
  ASSERT_FALSE(bytes);
  EXPECT_EQ(bytes.error().code, "media_url_blocked");
  EXPECT_NE(bytes.error().message.find("--allowed-local-media-path"), std::string::npos);
  EXPECT_EQ(bytes.error().message.find("a.txt"), std::string::npos);
}

// A51
TEST_F(LocalFile, TheWalkForOldKernelsRefusesLinksAndParents) {
  const int folder = open(folder_.c_str(), O_PATH | O_DIRECTORY);
  for (const char* path : {"a.txt", "./a.txt", "sub dir//b.txt", "sub dir/./b.txt"}) {
    const int fd = open_beneath_by_walking(folder, path);
    EXPECT_GE(fd, 0) << path;
    close(fd);
  }
  for (const char* path :
       {"out_absolute", "out_relative", "up/secret.txt", "in_relative", "loop"}) {
    EXPECT_EQ(open_beneath_by_walking(folder, path), -ELOOP) << path;
  }
  EXPECT_EQ(open_beneath_by_walking(folder, "../secret.txt"), -EXDEV);
  EXPECT_EQ(open_beneath_by_walking(folder, "sub dir/../../secret.txt"), -EXDEV);
  EXPECT_EQ(open_beneath_by_walking(folder, "missing"), -ENOENT);
  EXPECT_EQ(open_beneath_by_walking(folder, "."), -EISDIR);
  close(folder);
}

}  // namespace
}  // namespace ernie::media
