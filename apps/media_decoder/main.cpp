// ernie-media-decoder: decodes media for `ernie`, which starts it when the first such file comes.
// It reads no file itself; each job is done by a child (see media/decode_job.h).
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <optional>
#include <vector>

#include "job.h"
#include "media/decode_job.h"

namespace ernie::media {
namespace {

constexpr int kServer = 3;  // the descriptor that the server passes

struct Message {
  Job job;
  int file = -1;
  int answer = -1;
};

// The two descriptors of a message, -1 where there are none.
std::array<int, 2> descriptors(msghdr& header) {
  std::array<int, 2> out{-1, -1};
  for (cmsghdr* part = CMSG_FIRSTHDR(&header); part; part = CMSG_NXTHDR(&header, part)) {
    if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_RIGHTS &&
        part->cmsg_len == CMSG_LEN(sizeof(out))) {
      std::memcpy(out.data(), CMSG_DATA(part), sizeof(out));
    }
  }
  return out;
}

// The next job, or nothing when the server has gone.
std::optional<Message> receive() {
  Message message;
  message.job.frames.resize(kMaxJobFrames);
  std::array<iovec, 2> parts{
      {{&message.job.request, sizeof(message.job.request)},
       {message.job.frames.data(), message.job.frames.size() * sizeof(uint32_t)}}};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(2 * sizeof(int))> control{};
  msghdr header{};
  header.msg_iov = parts.data();
  header.msg_iovlen = parts.size();
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  ssize_t got = 0;
  do {
    got = recvmsg(kServer, &header, MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  if (got < static_cast<ssize_t>(sizeof(JobRequest))) return std::nullopt;
  message.job.frames.resize((static_cast<size_t>(got) - sizeof(JobRequest)) / sizeof(uint32_t));
  const auto [file, answer] = descriptors(header);
  message.file = file;
  message.answer = answer;
  return message;
}

int serve() {
  const char ready = 1;
  if (send(kServer, &ready, 1, MSG_NOSIGNAL) != 1) return 1;
  while (const auto message = receive()) {
    const pid_t child = fork();
    if (child == 0) {
      close(kServer);
      _exit(run_job(message->job, message->file, message->answer));
    }
    close(message->file);
    close(message->answer);
  }
  return 0;
}

}  // namespace
}  // namespace ernie::media

int main() {
  if (fcntl(3, F_GETFD) < 0) {
    std::fputs("ernie-media-decoder is started by ernie; it does nothing on its own\n", stderr);
    return 2;
  }
  // It ends when the server does. Until then a Ctrl-C is the server's to handle.
  for (const int ignored : {SIGINT, SIGTERM, SIGHUP, SIGCHLD}) signal(ignored, SIG_IGN);
  return ernie::media::serve();
}
