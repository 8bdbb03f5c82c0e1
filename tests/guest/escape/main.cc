// escape PID DIR ABSTRACT PORT [NAME]: makes each attempt in a child process of its own, says how
// that ended, and "survived" at the end.
#include "tests/guest/escape/escape.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

void escaped(const char* format, ...) {
  va_list args;
  va_start(args, format);
  printf("ESCAPE: ");
  vprintf(format, args);
  printf("\n");
  va_end(args);
  fflush(stdout);
}

void show(int fd, const char* what) {
  char text[256] = {};
  if (fd < 0 || read(fd, text, sizeof text - 1) <= 0) return;
  text[strcspn(text, "\n")] = 0;
  printf("  read %s: %s\n", what, text);
  fflush(stdout);
}

void show(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_NONBLOCK);
  show(fd, path.c_str());
  if (fd >= 0) close(fd);
}

namespace {

constexpr int kSeconds = 60;

// Ends the attempt with all that it has started.
void end(pid_t group) {
  kill(-group, SIGKILL);
  while (waitpid(-group, nullptr, 0) > 0) {
  }
}

void make(const Attempt& a, const Facts& facts) {
  fflush(stdout);
  const pid_t pid = fork();
  if (pid < 0) {
    printf("FAILED %s: no process for it\n", a.name);
    return;
  }
  if (pid == 0) {
    setpgid(0, 0);
    alarm(kSeconds);
    a.run(facts);
    fflush(stdout);
    _exit(0);
  }
  setpgid(pid, pid);
  int status = 0;
  waitpid(pid, &status, 0);
  end(pid);
  if (WIFSIGNALED(status)) {
    printf("%s: ended by signal %d\n", a.name, WTERMSIG(status));
  } else {
    printf("%s: done\n", a.name);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) return 2;
  const Facts facts{atoi(argv[1]), argv[2], argv[3], atoi(argv[4])};
  for (const auto& list : {file_attempts(), mount_attempts(), process_attempts(), socket_attempts(),
                           handed_attempts(), exhaustion_attempts()}) {
    for (const Attempt& a : list) {
      if (argc == 5 || strcmp(argv[5], a.name) == 0) make(a, facts);
    }
  }
  printf("survived\n");
  return 0;
}
