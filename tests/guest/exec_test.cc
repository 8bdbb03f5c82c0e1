// execve(2), execveat(2): what survives, what does not, scripts, and broken files.
#include <elf.h>
#include <fcntl.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "tests/guest/harness.h"

namespace {

using namespace guest;

// This program again, listing cases: a cheap program that exists everywhere.
const char* const kSelf = "/proc/self/exe";

std::string self_path() {
  char path[4096];
  ssize_t n = MUST(readlink(kSelf, path, sizeof path));
  return std::string(path, n);
}

// What the program `path` prints when it is executed with these arguments; its status in *status.
std::string output_of(const char* path, std::initializer_list<const char*> arguments, int* status,
                      char** environment = environ) {
  int fds[2];
  MUST(pipe(fds));
  pid_t pid = fork_child([&] {
    dup2(fds[1], 1);
    const char* argv[16] = {};
    int n = 0;
    for (const char* argument : arguments) argv[n++] = argument;
    execve(path, const_cast<char**>(argv), environment);
    _exit(100 + errno);
  });
  close(fds[1]);
  std::string out;
  char buffer[4096];
  for (ssize_t n; (n = read(fds[0], buffer, sizeof buffer)) > 0;) out.append(buffer, n);
  close(fds[0]);
  *status = wait_for(pid);
  return out;
}

int exec_errno(const char* path) {
  int status;
  output_of(path, {path}, &status);
  return WIFEXITED(status) ? WEXITSTATUS(status) - 100 : -1;
}

void copy_self(const char* to, mode_t mode = 0755) {
  write_file(to, read_file(kSelf));
  MUST(chmod(to, mode));
}

TEST(Exec, RunsAProgram) {
  int status;
  std::string out = output_of(kSelf, {"guest", "--list", "-f", "Exec.RunsAProgram"}, &status);
  EXPECT_EXITED(status, 0);
  EXPECT_EQ(out, "Exec.RunsAProgram\n");
}

TEST(Exec, ErrorsOfThePath) {
  EXPECT_EQ(exec_errno("./missing"), ENOENT);
  EXPECT_EQ(exec_errno(""), ENOENT);
  MUST(mkdir("dir", 0755));
  EXPECT_EQ(exec_errno("./dir"), EACCES);
  write_file("plain", "x");
  EXPECT_EQ(exec_errno("./plain"), EACCES);
  EXPECT_EQ(exec_errno("./plain/x"), ENOTDIR);
  MUST(symlink("loop", "loop"));
  EXPECT_EQ(exec_errno("./loop"), ELOOP);
}

TEST(Exec, EmptyAndCorruptFilesAreEnoexec) {
  write_file("empty", "");
  MUST(chmod("empty", 0755));
  EXPECT_EQ(exec_errno("./empty"), ENOEXEC);
  write_file("text", "echo hello\n");
  MUST(chmod("text", 0755));
  EXPECT_EQ(exec_errno("./text"), ENOEXEC);
  write_file("short", "\177ELF");
  MUST(chmod("short", 0755));
  EXPECT_EQ(exec_errno("./short"), ENOEXEC);
}

// Writes a copy of this program whose ELF header was changed by `change`.
template <class F>
int errno_of_changed_elf(F change) {
  std::string image = read_file(kSelf);
  change(*reinterpret_cast<Elf64_Ehdr*>(image.data()), image);
  write_file("elf", image);
  MUST(chmod("elf", 0755));
  return exec_errno("./elf");
}

TEST(Exec, ForeignElfIsEnoexec) {
  EXPECT_EQ(errno_of_changed_elf([](Elf64_Ehdr& h, auto&) { h.e_machine = EM_AARCH64; }), ENOEXEC);
  EXPECT_EQ(errno_of_changed_elf([](Elf64_Ehdr& h, auto&) { h.e_type = ET_REL; }), ENOEXEC);
  EXPECT_EQ(errno_of_changed_elf([](Elf64_Ehdr& h, auto&) { h.e_phnum = 0; }), ENOEXEC);
  EXPECT_EQ(errno_of_changed_elf([](Elf64_Ehdr& h, auto&) { h.e_phentsize = 1; }), ENOEXEC);
  EXPECT_EQ(errno_of_changed_elf([](Elf64_Ehdr& h, auto&) { h.e_phnum = 0xffff; }), ENOEXEC);
}

TEST(Exec, TruncatedElfNeverReturnsWrongly) {
  // Cut within its pages: either refused, or killed when it touches what is not there.
  std::string image = read_file(kSelf);
  write_file("cut", std::string_view(image).substr(0, 70));
  MUST(chmod("cut", 0755));
  int error = exec_errno("./cut");
  EXPECT_TRUE(error == ENOEXEC || error == EIO);
}

TEST(Exec, ElfWithoutLoadableSegmentsDies) {
  int status = 0;
  std::string image = read_file(kSelf);
  auto* header = reinterpret_cast<Elf64_Ehdr*>(image.data());
  auto* segments = reinterpret_cast<Elf64_Phdr*>(image.data() + header->e_phoff);
  for (int i = 0; i < header->e_phnum; ++i) segments[i].p_type = PT_NOTE;
  write_file("none", image);
  MUST(chmod("none", 0755));
  output_of("./none", {"none"}, &status);
  EXPECT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 100 + ENOEXEC);
}

TEST(Exec, MissingInterpreterIsEnoent) {
  write_file("script", "#!/does/not/exist\n");
  MUST(chmod("script", 0755));
  EXPECT_EQ(exec_errno("./script"), ENOENT);
}

TEST(Exec, ScriptGetsInterpreterArgumentAndPath) {
  std::string script = "#! " + self_path() + " --list\t\n";
  write_file("script", script);
  MUST(chmod("script", 0755));
  int status;
  // Becomes: self --list ./script ..., and an unknown argument ends it with 125.
  output_of("./script", {"ignored"}, &status);
  EXPECT_EXITED(status, 125);
  write_file("script", "#!" + self_path() + "\n");
  output_of("./script", {"ignored"}, &status);
  EXPECT_EXITED(status, 125);
}

TEST(Exec, InterpreterArgumentIsOneWord) {
  // "-f Exec.NoSuchCase x" would be three arguments to a shell; here it is one, and unknown.
  write_file("script", "#!" + self_path() + " --list -f\n");
  MUST(chmod("script", 0755));
  int status;
  output_of("./script", {"script"}, &status);
  EXPECT_EXITED(status, 125);
}

TEST(Exec, ScriptsMayNestButNotForEver) {
  write_file("deep0", "#!" + self_path() + "\n");
  MUST(chmod("deep0", 0755));
  for (int i = 1; i < 8; ++i) {
    std::string name = "deep" + std::to_string(i);
    write_file(name.c_str(), "#!" + scratch() + "/deep" + std::to_string(i - 1) + "\n");
    MUST(chmod(name.c_str(), 0755));
  }
  int status;
  output_of("./deep2", {"x"}, &status);
  EXPECT_EXITED(status, 125);
  EXPECT_EQ(exec_errno("./deep7"), ELOOP);
}

TEST(Exec, EmptyInterpreterLineIsEnoexec) {
  write_file("script", "#!   \n");
  MUST(chmod("script", 0755));
  EXPECT_EQ(exec_errno("./script"), ENOEXEC);
}

TEST(Exec, BusyForWritingIsEtxtbsy) {
  copy_self("busy");
  UniqueFd fd(MUST(open("busy", O_WRONLY)));
  EXPECT_EQ(exec_errno("./busy"), ETXTBSY);
}

TEST(Exec, CloexecDescriptorsAreClosed) {
  int keep = MUST(open("/dev/null", O_RDONLY));
  int drop = MUST(open("/dev/null", O_RDONLY | O_CLOEXEC));
  pid_t pid = fork_child([] {
    execl(kSelf, "guest", "-f", "ExecHelper.Pause", nullptr);
    _exit(1);
  });
  std::string base = "/proc/" + std::to_string(pid) + "/";
  for (int i = 0; i < 1000; ++i) {
    if (read_file((base + "cmdline").c_str()).find("ExecHelper") != std::string::npos) break;
    usleep(1000);
  }
  EXPECT_OK(access((base + "fd/" + std::to_string(keep)).c_str(), F_OK));
  EXPECT_ERR(access((base + "fd/" + std::to_string(drop)).c_str(), F_OK), ENOENT);
  MUST(kill(pid, SIGKILL));
  EXPECT_KILLED(wait_for(pid), SIGKILL);
}

TEST(ExecHelper, Pause) {
  // Only for other cases, which run it by its name and kill it.
  usleep(200000);
}

TEST(Exec, CaughtSignalsAreResetIgnoredOnesStay) {
  handle_signal(SIGUSR1, [](int) {});
  handle_signal(SIGUSR2, SIG_IGN);
  block_signal(SIGHUP);
  int status;
  std::string out = output_of(kSelf, {"guest", "-f", "ExecHelper.ShowSignals"}, &status);
  EXPECT_EXITED(status, 0);
}

TEST(ExecHelper, ShowSignals) {
  struct sigaction action;
  EXPECT_OK(sigaction(SIGUSR1, nullptr, &action));
  EXPECT_TRUE(action.sa_handler == SIG_DFL);
}

TEST(Exec, FromAThreadMakesItTheLeader) {
  int status = run_child([] {
    Thread thread([] {
      execl(kSelf, "guest", "--list", "-f", "nothing", nullptr);
      _exit(1);
    });
    pause();
  });
  EXPECT_EXITED(status, 0);
}

TEST(Exec, BadPointersAreEfault) {
  EXPECT_ERR(syscall(SYS_execve, 8, nullptr, nullptr), EFAULT);
  EXPECT_ERR(syscall(SYS_execve, kSelf, 8, nullptr), EFAULT);
  char* argv[] = {reinterpret_cast<char*>(8), nullptr};
  EXPECT_ERR(syscall(SYS_execve, kSelf, argv, nullptr), EFAULT);
}

TEST(Exec, NullArgvBecomesOneEmptyString) {
  EXPECT_EXITED(run_child([] {
                  syscall(SYS_execve, kSelf, nullptr, environ);
                  _exit(100 + errno);
                }),
                125);
}

TEST(Exec, TooLongArgumentIsE2big) {
  std::string huge(32 * 4096, 'x');  // MAX_ARG_STRLEN, with its end.
  int status;
  output_of(kSelf, {"guest", huge.c_str()}, &status);
  EXPECT_EXITED(status, 100 + E2BIG);
  huge.resize(32 * 4096 - 1);
  output_of(kSelf, {"guest", huge.c_str()}, &status);
  EXPECT_EXITED(status, 125);
}

TEST(Exec, ArgumentsAreLimitedByAQuarterOfTheStack) {
  int status = run_child([] {
    rlimit limit = {1 << 20, 1 << 20};
    MUST(setrlimit(RLIMIT_STACK, &limit));
    std::string word(1000, 'x');
    static char* argv[400];
    for (int i = 0; i < 399; ++i) argv[i] = word.data();
    execv(kSelf, argv);
    _exit(errno == E2BIG ? 0 : 1);
  });
  EXPECT_EXITED(status, 0);
}

TEST(Execveat, ByDescriptor) {
  UniqueFd fd(MUST(open(kSelf, O_PATH)));
  int status = run_child([&] {
    const char* argv[] = {"guest", "--list", "-f", "nothing", nullptr};
    syscall(SYS_execveat, fd.get(), "", argv, environ, AT_EMPTY_PATH);
    _exit(100 + errno);
  });
  EXPECT_EXITED(status, 0);
}

TEST(Execveat, RelativeToADirectory) {
  MUST(mkdir("dir", 0755));
  copy_self("dir/program");
  UniqueFd dir(MUST(open("dir", O_PATH | O_DIRECTORY)));
  int status = run_child([&] {
    const char* argv[] = {"guest", "--list", "-f", "nothing", nullptr};
    syscall(SYS_execveat, dir.get(), "program", argv, environ, 0);
    _exit(100 + errno);
  });
  EXPECT_EXITED(status, 0);
}

TEST(Execveat, Errors) {
  const char* argv[] = {"x", nullptr};
  UniqueFd fd(MUST(open("/dev/null", O_RDONLY)));
  EXPECT_ERR(syscall(SYS_execveat, fd.get(), "", argv, environ, 0), ENOENT);
  EXPECT_ERR(syscall(SYS_execveat, fd.get(), "", argv, environ, AT_EMPTY_PATH), EACCES);
  EXPECT_ERR(syscall(SYS_execveat, fd.get(), "x", argv, environ, 0x4000000), EINVAL);
  EXPECT_ERR(syscall(SYS_execveat, -7, "x", argv, environ, 0), EBADF);
  MUST(symlink("/proc/self/exe", "link"));
  EXPECT_ERR(syscall(SYS_execveat, AT_FDCWD, "link", argv, environ, AT_SYMLINK_NOFOLLOW), ELOOP);
}

TEST(Execveat, ScriptByCloexecDescriptorIsEnoent) {
  // Its interpreter could not open /dev/fd/N any more.
  write_file("script", "#!" + self_path() + "\n");
  MUST(chmod("script", 0755));
  UniqueFd fd(MUST(open("script", O_RDONLY | O_CLOEXEC)));
  const char* argv[] = {"x", nullptr};
  EXPECT_ERR(syscall(SYS_execveat, fd.get(), "", argv, environ, AT_EMPTY_PATH), ENOENT);
}

TEST(Exec, MemfdIsExecutable) {
  UniqueFd fd(MUST(memfd_create("program", 0)));
  std::string image = read_file(kSelf);
  ASSERT_EQ(write(fd.get(), image.data(), image.size()), ssize_t(image.size()));
  std::string path = "/proc/self/fd/" + std::to_string(fd.get());
  UniqueFd readable(MUST(open(path.c_str(), O_RDONLY)));
  fd.reset();
  path = "/proc/self/fd/" + std::to_string(readable.get());
  int status;
  output_of(path.c_str(), {"guest", "--list", "-f", "nothing"}, &status);
  EXPECT_EXITED(status, 0);
}

TEST(Exec, NameIsThatOfTheFile) {
  copy_self("a-rather-long-program-name");
  int status;
  std::string out =
      output_of("./a-rather-long-program-name", {"argv0", "-f", "ExecHelper.Comm"}, &status);
  EXPECT_EXITED(status, 0);
}

TEST(ExecHelper, Comm) {
  char comm[16] = {};
  EXPECT_OK(prctl(PR_GET_NAME, comm));
  char path[4096] = {};
  MUST(readlink(kSelf, path, sizeof path - 1));
  std::string base = strrchr(path, '/') + 1;
  EXPECT_EQ(std::string(comm), base.substr(0, 15));
}

}  // namespace
