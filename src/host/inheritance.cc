#include "host/inheritance.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "host/call.h"
#include "host/open.h"

namespace usk::host {

void close_inherited(std::span<const int> kept) {
  for (const std::string& name : list_proc("self/fd")) {
    const int fd = atoi(name.c_str());
    if (fd < 3 || std::ranges::find(kept, fd) != kept.end()) continue;
    const long flags = guarded(SYS_fcntl, fd, F_GETFD);
    if (flags >= 0 && !(flags & FD_CLOEXEC)) (void)guarded(SYS_close, fd);
  }
}

Result<std::string> lasting_name(const std::string& path) {
  static constexpr const char* kStreams[] = {"/dev/stdin", "/dev/stdout", "/dev/stderr"};
  std::string number;
  for (int fd = 0; fd < 3; fd++) {
    if (path == kStreams[fd]) number = std::to_string(fd);
  }
  for (const char* directory : {"/dev/fd/", "/proc/self/fd/"}) {
    if (path.starts_with(directory)) number = path.substr(strlen(directory));
  }
  if (number.empty() || !std::ranges::all_of(number, isdigit)) return path;
  const std::string name = TRY(path_of(atoi(number.c_str())));
  if (!name.starts_with('/')) return Err(ENOENT);
  TRY(open_at(AT_FDCWD, name, O_PATH));
  return name;
}

void forget_environment() {
  for (char** e = environ; e && *e; e++) explicit_bzero(*e, strlen(*e));
  clearenv();
}

}  // namespace usk::host
