#include "host/disk_helper.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "host/call.h"
#include "host/confinement.h"
#include "host/file_io.h"
#include "host/local_socket.h"

namespace usk::host {
namespace {

// What the helper says: 0 or an errno.
using Answer = int32_t;

Answer sync(const std::vector<UniqueFd>& files) {
  for (const UniqueFd& file : files) {
    if (guarded(SYS_fsync, file.get()) < 0) return errno;
  }
  return 0;
}

// In the child, after a fork of a process with one thread.
[[noreturn]] void run(int far) {
  sigset_t all;
  sigfillset(&all);
  sigdelset(&all, SIGSYS);
  sigprocmask(SIG_SETMASK, &all, nullptr);
  prctl(PR_SET_NAME, "usk-disk");
  const int from = fcntl(far, F_DUPFD, 10);
  const int record = recording() >= 0 ? fcntl(recording(), F_DUPFD, 10) : -1;
  dup2(from, 0);
  if (record >= 0) set_confinement(Confinement::kRecord, dup2(record, 1));
  syscall(SYS_close_range, record >= 0 ? 2u : 1u, ~0u, 0u);
  if (!confine(kDisk)) _exit(1);
  for (;;) {
    char wish = 0;
    auto got = receive_with_fds(0, std::as_writable_bytes(std::span(&wish, 1)));
    if (!got || got->size == 0) break;
    if (DiskHelper::Wish(wish) != DiskHelper::Wish::kSync) continue;
    const Answer answer = sync(got->fds);
    got->fds.clear();
    if (!write(0, std::as_bytes(std::span(&answer, 1)))) break;
  }
  _exit(0);
}

}  // namespace

Result<DiskHelper> DiskHelper::start() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) return Err(errno);
  UniqueFd ours(ends[0]), theirs(ends[1]);
  // The helper waits for wishes; nobody waits for answers.
  if (fcntl(ours.get(), F_SETFL, O_NONBLOCK) < 0) return Err(errno);
  const pid_t child = fork();
  if (child < 0) return Err(errno);
  if (child == 0) run(theirs.get());
  return DiskHelper(std::move(ours), child);
}

DiskHelper::~DiskHelper() {
  if (!near_) return;
  near_.reset();
  // If the loop that waits for stubs has reaped it before, there is nothing to wait for.
  (void)guarded(SYS_wait4, pid_, nullptr, 0, nullptr);
}

Result<void> DiskHelper::ask(Wish wish, std::span<const int> files) {
  TRY(send_with_fds(near_.get(), std::as_bytes(std::span(&wish, 1)), files));
  return {};
}

Result<void> DiskHelper::answer() {
  Answer answer = 0;
  auto got = read(near_.get(), std::as_writable_bytes(std::span(&answer, 1)));
  if (failed_with(got, ECONNRESET)) return Err(EPIPE);
  if (!got) return Err(got.error());
  if (*got == 0) return Err(EPIPE);
  if (answer != 0) return Err(answer);
  return {};
}

}  // namespace usk::host
