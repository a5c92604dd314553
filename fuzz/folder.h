#pragma once

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "base/check.h"

namespace ernie::fuzz {

// A folder of its own for what is read by name; gone when the process ends.
class Folder {
 public:
  Folder() {
    std::string name = std::filesystem::temp_directory_path() / "ernie-fuzz-XXXXXX";
    CHECK(mkdtemp(name.data()) != nullptr, "cannot make " + name);
    path_ = name;
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  void write(const std::string& name, std::string_view bytes) const {
    std::ofstream out(path_ / name, std::ios::binary | std::ios::trunc);
    out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }
  // A file of the repository, in whose root fuzzers run.
  void copy(const std::string& file) const {
    std::filesystem::copy(file, path_ / std::filesystem::path(file).filename());
  }
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

}  // namespace ernie::fuzz
