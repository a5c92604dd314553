#include "fence.h"

#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <initializer_list>

namespace ernie::media {
namespace {

bool limit(__rlimit_resource resource, rlim_t value) {
  const rlimit both{value, value};
  return setrlimit(resource, &both) == 0;
}

// Bytes of private writable memory, which RLIMIT_DATA counts (proc(5), statm).
uint64_t data_bytes() {
  std::FILE* statm = std::fopen("/proc/self/statm", "re");
  if (!statm) return 0;
  unsigned long pages = 0;
  const int read = std::fscanf(statm, "%*u %*u %*u %*u %*u %lu", &pages);
  std::fclose(statm);
  return read == 1 ? pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)) : 0;
}

void exit_if_closed(int, siginfo_t* info, void*) {
  if (info->si_code == POLL_HUP) _exit(1);
}

// The kernel sends a signal when the server closes its end.
bool end_with_peer(int answer) {
  struct sigaction action {};
  action.sa_sigaction = exit_if_closed;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  const int signal = SIGRTMIN;
  return sigaction(signal, &action, nullptr) == 0 && fcntl(answer, F_SETSIG, signal) == 0 &&
         fcntl(answer, F_SETOWN, getpid()) == 0 &&
         fcntl(answer, F_SETFL, fcntl(answer, F_GETFL) | O_ASYNC) == 0;
}

bool add(scmp_filter_ctx filter, uint32_t action, std::initializer_list<int> calls) {
  for (const int call : calls) {
    if (seccomp_rule_add(filter, action, call, 0) != 0) return false;
  }
  return true;
}

bool add_rules(scmp_filter_ctx filter) {
  const auto without = [&](int call, unsigned argument, scmp_datum_t bits) {
    return seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 1,
                            SCMP_CMP(argument, SCMP_CMP_MASKED_EQ, bits, 0)) == 0;
  };
  return add(filter, SCMP_ACT_ALLOW,
             {SCMP_SYS(write),         SCMP_SYS(munmap),           SCMP_SYS(mremap),
              SCMP_SYS(brk),           SCMP_SYS(madvise),          SCMP_SYS(futex),
              SCMP_SYS(sched_yield),   SCMP_SYS(set_robust_list),  SCMP_SYS(rseq),
              SCMP_SYS(exit),          SCMP_SYS(exit_group),       SCMP_SYS(rt_sigprocmask),
              SCMP_SYS(rt_sigreturn),  SCMP_SYS(gettid),           SCMP_SYS(getpid),
              SCMP_SYS(clock_gettime), SCMP_SYS(clock_nanosleep),  SCMP_SYS(gettimeofday),
              SCMP_SYS(getrandom),     SCMP_SYS(sched_getaffinity)}) &&
         // Memory that is never executable.
         without(SCMP_SYS(mmap), 2, PROT_EXEC) && without(SCMP_SYS(mprotect), 2, PROT_EXEC) &&
         // Threads, not processes. glibc turns to clone where clone3, whose flags a filter cannot
         // see, is unknown.
         seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                          SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD)) == 0 &&
         seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) == 0;
}

bool restrict_calls() {
  scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
  if (!filter) return false;
  const bool loaded = add_rules(filter) && seccomp_load(filter) == 0;
  seccomp_release(filter);
  return loaded;
}

}  // namespace

bool raise_fence(int answer, uint64_t memory_bytes, uint32_t cpu_seconds) {
  const uint64_t data = data_bytes();
  return data > 0 && end_with_peer(answer) && limit(RLIMIT_CORE, 0) && limit(RLIMIT_FSIZE, 0) &&
         limit(RLIMIT_CPU, cpu_seconds) && limit(RLIMIT_DATA, data + memory_bytes) &&
         limit(RLIMIT_NOFILE, 0) && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && restrict_calls();
}

}  // namespace ernie::media
