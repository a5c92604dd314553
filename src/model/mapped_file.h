#pragma once

#include <cstddef>
#include <string>

namespace ernie::model {

// A file mapped read-only into memory. Move-only.
class MappedFile {
 public:
  // Throws StartError when the path is no readable regular file.
  explicit MappedFile(std::string path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&&) = delete;
  ~MappedFile();

  const std::string& path() const { return path_; }
  const std::byte* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  std::string path_;
  const std::byte* data_ = nullptr;
  size_t bytes_ = 0;
};

// Tells the kernel that these bytes of a mapped file are not needed again soon, so that they stop
// counting as this process's memory.
void drop_pages(const void* data, size_t bytes);

}  // namespace ernie::model
