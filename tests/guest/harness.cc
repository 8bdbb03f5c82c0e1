#include "tests/guest/harness.h"

#include <fcntl.h>
#include <fnmatch.h>
#include <ftw.h>
#include <grp.h>
#include <linux/capability.h>
#include <poll.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>

namespace guest {
namespace {

enum Verdict : int { kPassed, kFailed, kSkipped };

// Shared with all descendants of a case.
struct Shared {
  int failures;
  int skipped;
  char why[128];
};

struct Options {
  bool list = false;
  bool fork = true;
  bool few_rounds = false;
  int timeout_ms = 10000;
  const char* filter = "*";
};

Case* g_first = nullptr;
Case** g_last = &g_first;
Options g_options;
Shared g_private;
Shared* g_shared = &g_private;
pid_t g_case_pid;
sigjmp_buf g_end_of_case;
char g_scratch[64];

bool selected(const Case& test) {
  std::string name = std::string(test.suite) + "." + test.name;
  return fnmatch(g_options.filter, name.c_str(), 0) == 0;
}

int remove_entry(const char* path, const struct stat*, int, FTW*) {
  remove(path);
  return 0;
}

void make_scratch() {
  strcpy(g_scratch, "/tmp/guest.XXXXXX");
  if (mkdtemp(g_scratch) == nullptr || chdir(g_scratch) != 0) {
    perror("scratch directory under /tmp");
    exit(125);
  }
}

void remove_scratch() {
  if (chdir("/") == 0) nftw(g_scratch, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

// Kills what a case left behind. The program is a subreaper, so all of it are its children.
void kill_leftovers() {
  char path[64];
  snprintf(path, sizeof path, "/proc/self/task/%d/children", getpid());
  for (int round = 0; round < 100; ++round) {
    while (waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    std::string pids = read_file(path);
    if (pids.empty()) return;
    for (char *at = pids.data(), *end; *at != 0; at = end + 1) {
      long pid = strtol(at, &end, 10);
      if (end == at) break;
      if (pid > 0) kill(static_cast<pid_t>(pid), SIGKILL);
      if (*end == 0) break;
    }
    usleep(1000);
  }
}

// Whether the child has ended in time, without a look at it every other millisecond.
bool ends_in_time(pid_t pid) {
  const int fd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  if (fd < 0) return false;
  pollfd ended = {fd, POLLIN, 0};
  const bool in_time = poll(&ended, 1, g_options.timeout_ms) == 1;
  close(fd);
  return in_time;
}

// The wait status of the case, or -1 after its time was up.
int wait_with_timeout(pid_t pid) {
  if (g_options.few_rounds && ends_in_time(pid)) return wait_for(pid);
  int64_t deadline = now_ms() + g_options.timeout_ms;
  for (int pause_us = 50;; pause_us = pause_us < 2000 ? pause_us * 2 : 2000) {
    int status = 0;
    if (waitpid(pid, &status, WNOHANG) == pid) return status;
    if (now_ms() > deadline) {
      kill(-pid, SIGKILL);
      kill(pid, SIGKILL);
      waitpid(pid, nullptr, 0);
      return -1;
    }
    usleep(pause_us);
  }
}

void run_forked(const Case& test, std::string& note) {
  pid_t pid = fork();
  if (pid < 0) {
    perror("fork");
    exit(125);
  }
  if (pid == 0) {
    setpgid(0, 0);
    g_case_pid = getpid();
    test.run();
    fflush(nullptr);
    _exit(0);
  }
  int status = wait_with_timeout(pid);
  if (status == -1) {
    note = " (out of time)";
  } else if (WIFSIGNALED(status)) {
    note = std::string(" (killed by ") + strsignal(WTERMSIG(status)) + ")";
  } else if (WEXITSTATUS(status) != 0 && g_shared->failures == 0) {
    note = " (exit code " + std::to_string(WEXITSTATUS(status)) + ")";
  }
  if (!note.empty()) ++g_shared->failures;
  kill_leftovers();
}

Verdict run_case(const Case& test) {
  *g_shared = {};
  make_scratch();
  std::string note;
  if (g_options.fork) {
    run_forked(test, note);
  } else {
    g_case_pid = getpid();
    if (sigsetjmp(g_end_of_case, 1) == 0) test.run();
  }
  remove_scratch();
  Verdict verdict = g_shared->failures ? kFailed : g_shared->skipped ? kSkipped : kPassed;
  const char* words[] = {"ok", "FAIL", "skip"};
  if (verdict == kSkipped) note = std::string(": ") + g_shared->why;
  printf("%s %s.%s%s\n", words[verdict], test.suite, test.name, note.c_str());
  fflush(stdout);
  return verdict;
}

[[noreturn]] void usage() {
  fputs("usage: TEST [--list] [--no-fork] [--few-rounds] [--timeout MS] [-f GLOB]\n", stderr);
  exit(125);
}

void parse(int argc, char** argv) {
  // Tests of exec run this program with odd arguments; it must not run itself then.
  if (argc == 0 || *argv[0] == 0) usage();
  for (int i = 1; i < argc; ++i) {
    std::string_view flag = argv[i];
    if (flag == "--list") {
      g_options.list = true;
    } else if (flag == "--no-fork") {
      g_options.fork = false;
    } else if (flag == "--few-rounds") {
      g_options.few_rounds = true;
    } else if (flag == "--timeout" && i + 1 < argc) {
      g_options.timeout_ms = atoi(argv[++i]);
    } else if (flag == "-f" && i + 1 < argc) {
      g_options.filter = argv[++i];
    } else {
      usage();
    }
  }
}

// --no-fork is for kernels on which little works yet, so only the forking mode asks for more.
void prepare() {
  if (!g_options.fork) return;
  void* memory =
      mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    perror("shared memory for results");
    exit(125);
  }
  g_shared = static_cast<Shared*>(memory);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
}

}  // namespace

Case::Case(const char* suite, const char* name, void (*run)())
    : suite(suite), name(name), run(run) {
  *g_last = this;
  g_last = &next;
}

void fail(const char* file, int line, const std::string& what) {
  __atomic_fetch_add(&g_shared->failures, 1, __ATOMIC_SEQ_CST);
  const char* base = strstr(file, "tests/guest/");
  // One write, so that lines of several processes do not mix.
  std::string text =
      std::string("  ") + (base ? base : file) + ":" + std::to_string(line) + ": " + what + "\n";
  [[maybe_unused]] ssize_t written = write(STDOUT_FILENO, text.data(), text.size());
}

bool any_failure() { return __atomic_load_n(&g_shared->failures, __ATOMIC_SEQ_CST) != 0; }

void abandon() {
  if (!g_options.fork && getpid() == g_case_pid && gettid() == g_case_pid) {
    siglongjmp(g_end_of_case, 1);
  }
  _exit(1);
}

void skip(const char* why) {
  snprintf(g_shared->why, sizeof g_shared->why, "%s", why);
  g_shared->skipped = 1;
  if (!g_options.fork) siglongjmp(g_end_of_case, 1);
  _exit(0);
}

pid_t fork_case() {
  fflush(nullptr);
  pid_t pid = fork();
  if (pid < 0) {
    fail(__FILE__, __LINE__, "fork: " + describe_errno(errno));
    abandon();
  }
  return pid;
}

void exit_child() { _exit(any_failure() ? 1 : 0); }

std::string scratch() { return g_scratch; }

int rounds(int n) { return g_options.few_rounds ? (n + 49) / 50 : n; }

}  // namespace guest

int main(int argc, char** argv) {
  using namespace guest;
  parse(argc, argv);
  if (!g_options.list) prepare();
  int counts[3] = {};
  for (const Case* test = g_first; test != nullptr; test = test->next) {
    if (!selected(*test)) continue;
    if (g_options.list) {
      printf("%s.%s\n", test->suite, test->name);
    } else {
      ++counts[run_case(*test)];
    }
  }
  if (g_options.list) return 0;
  printf("%d passed, %d failed, %d skipped\n", counts[kPassed], counts[kFailed], counts[kSkipped]);
  return counts[kFailed] ? 1 : 0;
}
