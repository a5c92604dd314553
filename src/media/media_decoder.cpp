#include "media/media_decoder.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <thread>

#include "base/log.h"

namespace ernie::media {
namespace {

struct Pair {
  FileDescriptor ours;
  FileDescriptor theirs;
};

Result<Pair> socket_pair(int type) {
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return internal_error(std::string("socketpair: ") + std::strerror(errno));
  }
  return Pair{FileDescriptor(ends[0]), FileDescriptor(ends[1])};
}

// Starts the program with `socket` as descriptor 3 and nothing else of ours.
int spawn(const std::string& program, int socket, pid_t* pid) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  for (const int fd : {0, 1, 2}) {
    posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
  }
  posix_spawn_file_actions_adddup2(&actions, socket, 3);
  posix_spawn_file_actions_addclosefrom_np(&actions, 4);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  // A session of its own: a Ctrl-C reaches the server alone.
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
  std::string name = program;
  std::array<char*, 2> arguments{name.data(), nullptr};
  std::array<char*, 1> environment{nullptr};
  const int error = posix_spawn(pid, program.c_str(), &actions, &attributes, arguments.data(),
                                environment.data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return error;
}

// A file in memory that nobody can change any more.
Result<FileDescriptor> sealed_copy(std::span<const uint8_t> bytes) {
  const auto failed = [](const char* call) {
    return internal_error(std::string(call) + ": " + std::strerror(errno));
  };
  FileDescriptor file(memfd_create("media", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file) return failed("memfd_create");
  while (!bytes.empty()) {
    const ssize_t written = write(file.get(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return failed("write");
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
  if (fcntl(file.get(), F_ADD_SEALS, kSeals) != 0) return failed("fcntl");
  return file;
}

bool send_job(int decoder, JobRequest request, std::span<const uint32_t> frames, int file,
              int answer) {
  std::array<iovec, 2> parts{
      {{&request, sizeof(request)},
       {const_cast<uint32_t*>(frames.data()), frames.size() * sizeof(uint32_t)}}};
  const std::array<int, 2> descriptors{file, answer};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(descriptors))> control{};
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(descriptors));
  std::memcpy(CMSG_DATA(header), descriptors.data(), sizeof(descriptors));
  ssize_t sent = 0;
  do {
    sent = sendmsg(decoder, &message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent >= 0;
}

}  // namespace

std::string MediaDecoder::default_program() {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? std::string() : (self.parent_path() / "ernie-media-decoder").string();
}

bool MediaDecoder::is_there() const { return access(program_.c_str(), X_OK) == 0; }

MediaDecoder::~MediaDecoder() { stop(); }

// It ends by itself when its socket is closed, unless somebody has stopped it.
void MediaDecoder::stop() {
  decoder_.reset(-1);
  if (pid_ <= 0) return;
  constexpr int kPatience = 100;  // looks, 10 ms apart
  int looks = 0;
  while (waitpid(pid_, nullptr, WNOHANG) == 0) {
    if (++looks == kPatience) kill(pid_, SIGKILL);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  pid_ = 0;
}

bool MediaDecoder::has_ended() const {
  char byte = 0;
  const ssize_t got = recv(decoder_.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR);
}

Status MediaDecoder::launch() {
  if (!is_there()) {
    return invalid_argument(
        "this server decodes no video files and no pictures in BMP, TIFF, AVIF or HEIC: it has no "
        "program ernie-media-decoder beside it that can be run (a build without FFmpeg); send "
        "frames as pictures, and pictures as JPEG or PNG",
        {}, "unsupported_media_type");
  }
  const auto failed = [&](const std::string& why) {
    stop();
    log::error("{} cannot be started: {}", program_, why);
    return internal_error("the server's decoder of media cannot be started");
  };
  auto pair = socket_pair(SOCK_SEQPACKET);
  if (!pair) return pair.error();
  if (const int error = spawn(program_, pair->theirs.get(), &pid_); error != 0) {
    return failed(std::strerror(error));
  }
  decoder_ = std::move(pair->ours);
  pair->theirs.reset(-1);
  constexpr int kStartMs = 10'000;
  pollfd ready{decoder_.get(), POLLIN, 0};
  char byte = 0;
  if (poll(&ready, 1, kStartMs) != 1 || recv(decoder_.get(), &byte, 1, 0) != 1) {
    return failed("it does not say that it is ready; run it by hand, it may lack a library");
  }
  return {};
}

Result<MediaDecoder::Job> MediaDecoder::start(JobRequest job, std::span<const uint32_t> frames,
                                              std::span<const uint8_t> file) {
  job.file_bytes = file.size();
  const auto copy = sealed_copy(file);
  if (!copy) return copy.error();
  auto answer = socket_pair(SOCK_STREAM);
  if (!answer) return answer.error();
  const std::lock_guard lock(mutex_);
  for (int attempt = 0; attempt < 2; ++attempt) {
    if (decoder_ && has_ended()) stop();
    if (!decoder_) {
      if (auto s = launch(); !s) return s.error();
    }
    if (send_job(decoder_.get(), job, frames, copy->get(), answer->theirs.get())) {
      return Job{std::move(answer->ours), pid_};
    }
    stop();
  }
  return internal_error("ernie-media-decoder ends before it takes a job");
}

void MediaDecoder::replace(pid_t program) {
  const std::lock_guard lock(mutex_);
  if (pid_ != program) return;
  kill(pid_, SIGKILL);
  stop();
}

}  // namespace ernie::media
