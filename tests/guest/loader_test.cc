// What a new program finds: auxiliary vector, arguments, environment, registers, address layout.
#include <elf.h>
#include <fcntl.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/stat.h>

#include "tests/guest/harness.h"

namespace {

using namespace guest;

extern "C" const char __ehdr_start[];

TEST(Auxv, Identities) {
  EXPECT_EQ(getauxval(AT_UID), getuid());
  EXPECT_EQ(getauxval(AT_EUID), geteuid());
  EXPECT_EQ(getauxval(AT_GID), getgid());
  EXPECT_EQ(getauxval(AT_EGID), getegid());
  EXPECT_EQ(getauxval(AT_SECURE), 0u);
}

TEST(Auxv, MachineFacts) {
  EXPECT_EQ(getauxval(AT_PAGESZ), 4096u);
  EXPECT_EQ(getauxval(AT_CLKTCK), 100u);
  EXPECT_EQ(std::string(reinterpret_cast<char*>(getauxval(AT_PLATFORM))), "x86_64");
  EXPECT_NE(getauxval(AT_HWCAP), 0u);
  EXPECT_GE(getauxval(AT_MINSIGSTKSZ), 2048u);
}

TEST(Auxv, ProgramHeaders) {
  auto* header = reinterpret_cast<const Elf64_Ehdr*>(__ehdr_start);
  EXPECT_EQ(getauxval(AT_PHDR), reinterpret_cast<unsigned long>(__ehdr_start) + header->e_phoff);
  EXPECT_EQ(getauxval(AT_PHNUM), header->e_phnum);
  EXPECT_EQ(getauxval(AT_PHENT), sizeof(Elf64_Phdr));
  EXPECT_EQ(getauxval(AT_ENTRY), header->e_entry);
  EXPECT_EQ(getauxval(AT_BASE), 0u);
}

TEST(Auxv, RandomBytesDiffer) {
  auto* bytes = reinterpret_cast<unsigned char*>(getauxval(AT_RANDOM));
  ASSERT_TRUE(bytes != nullptr);
  unsigned char any = 0;
  for (int i = 0; i < 16; ++i) any |= bytes[i];
  EXPECT_NE(any, 0);
}

TEST(Auxv, ExecfnNamesTheProgram) {
  std::string name = reinterpret_cast<char*>(getauxval(AT_EXECFN));
  EXPECT_NE(name.find("loader_test"), std::string::npos);
}

TEST(Auxv, ProcShowsIt) {
  std::string raw = read_file("/proc/self/auxv");
  ASSERT_GE(raw.size(), 16 * 10u);
  auto* pairs = reinterpret_cast<const unsigned long*>(raw.data());
  unsigned long entry = 0;
  for (size_t i = 0; i + 1 < raw.size() / 8; i += 2) {
    if (pairs[i] == AT_ENTRY) entry = pairs[i + 1];
  }
  EXPECT_EQ(entry, getauxval(AT_ENTRY));
}

// This program again, running one helper case; its output and environment.
int rerun(const char* helper, char** environment = environ) {
  return run_child([&] {
    const char* argv[] = {"guest", "-f", helper, nullptr};
    execve("/proc/self/exe", const_cast<char**>(argv), environment);
    _exit(99);
  });
}

TEST(Loader, EnvironmentIsPassed) {
  char variable[] = "GUEST_MARK=is here";
  char* environment[] = {variable, nullptr};
  EXPECT_EXITED(rerun("LoaderHelper.Environment", environment), 0);
}

TEST(LoaderHelper, Environment) {
  const char* mark = getenv("GUEST_MARK");
  if (mark == nullptr) return;  // Run by itself.
  EXPECT_EQ(std::string(mark), "is here");
  EXPECT_EQ(read_file("/proc/self/environ"), std::string("GUEST_MARK=is here\0", 19));
  EXPECT_TRUE(environ[1] == nullptr);
}

TEST(Loader, EmptyEnvironment) {
  char* environment[] = {nullptr};
  EXPECT_EXITED(rerun("LoaderHelper.Nothing", environment), 0);
}

TEST(LoaderHelper, Nothing) {}

TEST(Loader, StackIsAligned) {
  // At the entry rsp is a multiple of 16; argc is there. /proc/self/stat's startstack tells where.
  std::string stat = read_file("/proc/self/stat");
  const char* at = stat.c_str() + stat.rfind(')') + 2;
  unsigned long start = 0;
  for (int field = 3; field < 28; ++field) at = strchr(at, ' ') + 1;
  start = strtoul(at, nullptr, 10);
  EXPECT_EQ(start % 16, 0u);
  long arguments = 0;
  for (char c : read_file("/proc/self/cmdline")) arguments += c == 0;
  EXPECT_EQ(*reinterpret_cast<long*>(start), arguments);
}

TEST(Loader, StackIsNotExecutable) {
  std::string maps = read_file("/proc/self/maps");
  size_t at = maps.find("[stack]");
  ASSERT_NE(at, std::string::npos);
  size_t line = maps.rfind('\n', at) + 1;
  EXPECT_EQ(maps.substr(maps.find(' ', line) + 1, 4), "rw-p");
}

std::string stack_line_of_a_new_program(bool randomize) {
  int fds[2];
  MUST(pipe(fds));
  int status = run_child([&] {
    personality(randomize ? 0 : ADDR_NO_RANDOMIZE);
    dup2(fds[1], 100);
    execl("/proc/self/exe", "guest", "-f", "LoaderHelper.PrintStack", nullptr);
  });
  EXPECT_EXITED(status, 0);
  close(fds[1]);
  char line[64] = {};
  EXPECT_GT(read(fds[0], line, sizeof line - 1), 0);
  close(fds[0]);
  return line;
}

TEST(LoaderHelper, PrintStack) {
  std::string maps = read_file("/proc/self/maps");
  size_t line = maps.rfind('\n', maps.find("[stack]")) + 1;
  std::string end = maps.substr(line + 13, 12) + "\n";
  [[maybe_unused]] ssize_t n = write(100, end.data(), end.size());
}

TEST(Loader, AddressesAreRandom) {
  std::string first = stack_line_of_a_new_program(true);
  bool differs = false;
  for (int i = 0; i < 5 && !differs; ++i) differs = stack_line_of_a_new_program(true) != first;
  EXPECT_TRUE(differs);
}

TEST(Loader, NoRandomizePersonalityHolds) {
  EXPECT_EQ(stack_line_of_a_new_program(false), stack_line_of_a_new_program(false));
}

TEST(Loader, ExeLinkFollowsARename) {
  write_file("first", read_file("/proc/self/exe"));
  MUST(chmod("first", 0755));
  int fds[2];
  MUST(pipe(fds));
  pid_t pid = fork_child([&] {
    dup2(fds[0], 100);
    execl("./first", "guest", "-f", "LoaderHelper.ReadByte", nullptr);
  });
  std::string exe = "/proc/" + std::to_string(pid) + "/exe";
  char path[4096] = {};
  for (int i = 0; i < 2000; ++i) {
    ssize_t n = readlink(exe.c_str(), path, sizeof path - 1);
    if (n > 0 && (path[n] = 0, strstr(path, "/first") != nullptr)) break;
    usleep(1000);
  }
  EXPECT_EQ(std::string(path), scratch() + "/first");
  MUST(rename("first", "second"));
  memset(path, 0, sizeof path);
  MUST(readlink(exe.c_str(), path, sizeof path - 1));
  EXPECT_EQ(std::string(path), scratch() + "/second");
  MUST(unlink("second"));
  memset(path, 0, sizeof path);
  MUST(readlink(exe.c_str(), path, sizeof path - 1));
  EXPECT_EQ(std::string(path), scratch() + "/second (deleted)");
  EXPECT_EQ(write(fds[1], "x", 1), 1);
  EXPECT_EXITED(wait_for(pid), 0);
}

TEST(LoaderHelper, ReadByte) {
  char byte;
  [[maybe_unused]] ssize_t n = read(100, &byte, 1);
}

TEST(Loader, BssIsZeroAndWritable) {
  static char block[100000];
  char any = 0;
  for (char c : block) any |= c;
  EXPECT_EQ(any, 0);
  memset(block, 1, sizeof block);
}

TEST(Loader, SegmentsHaveTheirProtections) {
  std::string maps = read_file("/proc/self/maps");
  EXPECT_NE(maps.find("r-xp"), std::string::npos);
  EXPECT_EQ(maps.find("rwxp"), std::string::npos);
}

TEST(Loader, FloatingPointStateIsFresh) { EXPECT_EXITED(rerun("LoaderHelper.FloatState"), 0); }

TEST(LoaderHelper, FloatState) {
  unsigned mxcsr = 0;
  unsigned short control = 0;
  asm volatile("stmxcsr %0; fnstcw %1" : "=m"(mxcsr), "=m"(control));
  EXPECT_EQ(mxcsr & 0xffc0u, 0x1f80u);
  EXPECT_EQ(control, 0x37f);
}

}  // namespace
