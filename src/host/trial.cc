#include "host/trial.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "host/call.h"
#include "host/host_fd.h"

namespace usk::host {

std::string try_in_child(const std::function<std::string()>& f) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return fmt::format("pipe: {}", strerror(errno));
  const UniqueFd from(ends[0]);
  UniqueFd to(ends[1]);
  const pid_t pid = fork();
  if (pid < 0) return fmt::format("fork: {}", strerror(errno));
  if (pid == 0) {
    const std::string text = f();
    (void)guarded(SYS_write, to.get(), text.data(), text.size());
    guarded(SYS_exit_group, 0);
  }
  to.reset();
  std::string text;
  std::array<char, 512> part;
  ssize_t n;
  while ((n = read(from.get(), part.data(), part.size())) > 0) text.append(part.data(), size_t(n));
  int status = 0;
  if (waitpid(pid, &status, 0) != pid) return "its process is gone";
  if (WIFSIGNALED(status)) return fmt::format("it ends with signal {}", WTERMSIG(status));
  return text;
}

}  // namespace usk::host
