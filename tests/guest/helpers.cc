// The helpers of harness.h that have nothing to do with running cases.
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sys/stat.h>

#include "tests/guest/harness.h"

namespace guest {

std::string describe_errno(int error) {
  const char* name = strerrorname_np(error);
  return name ? name : "errno " + std::to_string(error);
}

std::string describe_string(std::string_view text) {
  std::string out = "\"";
  for (unsigned char c : text.substr(0, 200)) {
    char code[8];
    snprintf(code, sizeof code, c == '\n' ? "\\n" : c < ' ' || c > '~' ? "\\x%02x" : "%c", c);
    out += code;
  }
  return out + "\"";
}

void expect_status(const char* file, int line, int status, int want, const char* name) {
  if (status == want) return;
  std::string got = WIFEXITED(status)     ? "exit code " + std::to_string(WEXITSTATUS(status))
                    : WIFSIGNALED(status) ? std::string("death by ") + strsignal(WTERMSIG(status))
                                          : "status " + std::to_string(status);
  fail(file, line, "the process ended with " + got + ", not " + name);
}

int wait_for(pid_t pid) {
  int status = 0;
  pid_t got;
  while ((got = waitpid(pid, &status, __WALL)) == -1 && errno == EINTR) {
  }
  if (got == -1) {
    fail(__FILE__, __LINE__, "waitpid: " + describe_errno(errno));
    abandon();
  }
  return status;
}

namespace {
char state_of(pid_t tid) {
  // /proc/TID resolves for threads, too, though it is not listed.
  std::string stat = read_file(("/proc/" + std::to_string(tid) + "/stat").c_str());
  size_t paren = stat.rfind(')');
  return paren == std::string::npos || paren + 2 >= stat.size() ? '?' : stat[paren + 2];
}
}  // namespace

void wait_for_state(pid_t pid, const char* states) {
  for (int i = 0; i < 5000; ++i) {
    if (strchr(states, state_of(pid)) != nullptr) return;
    usleep(1000);
  }
  fail(__FILE__, __LINE__, "process never got into a state of " + std::string(states));
  abandon();
}

void wait_until_blocked(pid_t tid) {
  // Asleep twice in a row: once may be a lock that is about to be had.
  for (int asleep = 0; asleep < 2; ++asleep) {
    wait_for_state(tid, "S");
    usleep(1000);
    if (state_of(tid) != 'S') asleep = -1;
  }
}

bool is_root() { return geteuid() == 0; }

bool has_capability(int capability) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  if (syscall(SYS_capget, &header, data) != 0) return false;
  return (data[capability / 32].effective >> (capability % 32)) & 1;
}

void become_unprivileged() {
  if (!is_root()) return;
  constexpr id_t kNobody = 65534;
  MUST(chmod(".", 0777));
  MUST(setgroups(0, nullptr));
  MUST(setresgid(kNobody, kNobody, kNobody));
  MUST(setresuid(kNobody, kNobody, kNobody));
}

std::string read_file(const char* path) {
  std::string content;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return content;
  // Of a long one more and more at a time.
  for (size_t size = 0, room = 4096;; room *= 2) {
    content.resize(size + room);
    const ssize_t n = read(fd, content.data() + size, room);
    if (n > 0) size += static_cast<size_t>(n);
    content.resize(size);
    if (n <= 0) break;
  }
  close(fd);
  return content;
}

void write_file(const char* path, std::string_view content) {
  UniqueFd fd(MUST(open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)));
  ASSERT_EQ(write(fd.get(), content.data(), content.size()), ssize_t(content.size()));
}

std::string proc_field(const char* path, const char* name) {
  std::string content = "\n" + read_file(path);
  std::string key = std::string("\n") + name + ":";
  size_t at = content.find(key);
  if (at == std::string::npos) return "";
  at = content.find_first_not_of(" \t", at + key.size());
  return content.substr(at, content.find('\n', at) - at);
}

int64_t now_ms() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * int64_t{1000} + now.tv_nsec / 1000000;
}

void sleep_ms(int64_t ms) {
  timespec left = ms_to_timespec(ms);
  while (nanosleep(&left, &left) == -1 && errno == EINTR) {
  }
}

void handle_signal(int signal, void (*handler)(int), int flags) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  ASSERT_OK(sigaction(signal, &action, nullptr));
}

void handle_signal_info(int signal, void (*handler)(int, siginfo_t*, void*), int flags) {
  struct sigaction action = {};
  action.sa_sigaction = handler;
  action.sa_flags = flags | SA_SIGINFO;
  ASSERT_OK(sigaction(signal, &action, nullptr));
}

namespace {
void change_mask(int how, int signal) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signal);
  ASSERT_EQ(pthread_sigmask(how, &set, nullptr), 0);
}
}  // namespace

void block_signal(int signal) { change_mask(SIG_BLOCK, signal); }
void unblock_signal(int signal) { change_mask(SIG_UNBLOCK, signal); }

}  // namespace guest
