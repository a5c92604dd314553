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

  // Has the kernel begin to read these bytes of the file, which will be used soon. Does not wait.
  void will_need(size_t offset, size_t bytes) const;
  // These bytes stop counting as this process's memory; they can still be read.
  void drop(const void* data, size_t bytes) const;

 private:
  std::string path_;
  const std::byte* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace ernie::model
