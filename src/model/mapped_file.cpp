#include "model/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/result.h"

namespace ernie::model {

MappedFile::MappedFile(std::string path) : path_(std::move(path)) {
  const int fd = open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // not waiting at a pipe
  if (fd < 0) {
    throw StartError(path_ + ": expected a readable file, found: " + std::strerror(errno));
  }
  struct stat info {};
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    close(fd);
    throw StartError(path_ + ": expected a regular file");
  }
  bytes_ = static_cast<size_t>(info.st_size);
  void* data = bytes_ == 0 ? nullptr : mmap(nullptr, bytes_, PROT_READ, MAP_PRIVATE, fd, 0);
  const int map_error = errno;
  close(fd);
  if (data == MAP_FAILED) {
    throw StartError(path_ + ": cannot map " + std::to_string(bytes_) +
                     " bytes: " + std::strerror(map_error));
  }
  data_ = static_cast<const std::byte*>(data);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)) {}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(const_cast<std::byte*>(data_), bytes_);
}

void MappedFile::will_need(size_t offset, size_t bytes) const {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t begin = offset / page * page;
  const size_t end = std::min(bytes_, offset + bytes);
  if (begin < end) madvise(const_cast<std::byte*>(data_) + begin, end - begin, MADV_WILLNEED);
}

void MappedFile::drop(const void* data, size_t bytes) const {
  // A page fault maps up to 64 KiB around it, so the neighbours' edges may be mapped too.
  constexpr size_t kFaultAround = size_t{64} << 10;
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const auto offset = static_cast<size_t>(static_cast<const std::byte*>(data) - data_);
  const size_t begin = (offset - std::min(offset, kFaultAround)) / page * page;
  const size_t end = std::min(bytes_, offset + bytes + kFaultAround);
  if (begin < end) madvise(const_cast<std::byte*>(data_) + begin, end - begin, MADV_DONTNEED);
}

}  // namespace ernie::model
