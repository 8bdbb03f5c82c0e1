// /proc: the files that programs like ps, top, gdb and language runtimes read.
#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <set>

#include "tests/guest/harness.h"

namespace {

using namespace guest;

std::string link_of(const std::string& path) {
  char target[4096];
  ssize_t n = readlink(path.c_str(), target, sizeof target);
  return n < 0 ? "(" + describe_errno(errno) + ")" : std::string(target, n);
}

std::set<std::string> entries_of(const char* path) {
  std::set<std::string> names;
  DIR* dir = opendir(path);
  ASSERT_TRUE(dir != nullptr);
  while (dirent* entry = readdir(dir)) names.insert(entry->d_name);
  closedir(dir);
  return names;
}

// The fields of /proc/PID/stat after the name; [0] is the state (field 3 of proc(5)).
std::string stat_field(const char* path, int number) {
  std::string stat = read_file(path);
  size_t at = stat.rfind(')') + 2;
  for (int i = 3; i < number; ++i) at = stat.find(' ', at) + 1;
  return stat.substr(at, stat.find_first_of(" \n", at) - at);
}

TEST(Proc, SelfAndThreadSelf) {
  EXPECT_EQ(link_of("/proc/self"), std::to_string(getpid()));
  EXPECT_EQ(link_of("/proc/thread-self"),
            std::to_string(getpid()) + "/task/" + std::to_string(gettid()));
}

TEST(Proc, ListsProcesses) {
  pid_t pid = fork_child([] { pause(); });
  auto names = entries_of("/proc");
  EXPECT_TRUE(names.count(std::to_string(getpid())));
  EXPECT_TRUE(names.count(std::to_string(pid)));
  for (const char* name : {"self", "meminfo", "stat", "uptime", "cpuinfo", "mounts", "version",
                           "loadavg", "filesystems", "sys", "cmdline"}) {
    EXPECT_TRUE(names.count(name));
  }
  MUST(kill(pid, SIGKILL));
  wait_for(pid);
  EXPECT_FALSE(entries_of("/proc").count(std::to_string(pid)));
}

TEST(Proc, GoneProcessIsEsrchOrEnoent) {
  pid_t pid = fork_child([] { pause(); });
  std::string base = "/proc/" + std::to_string(pid);
  UniqueFd fd(MUST(open((base + "/status").c_str(), O_RDONLY)));
  MUST(kill(pid, SIGKILL));
  wait_for(pid);
  char byte;
  EXPECT_ERR(read(fd.get(), &byte, 1), ESRCH);
  EXPECT_ERR(open((base + "/status").c_str(), O_RDONLY), ENOENT);
}

TEST(ProcStatus, Fields) {
  const char* path = "/proc/self/status";
  EXPECT_EQ(proc_field(path, "Pid"), std::to_string(getpid()));
  EXPECT_EQ(proc_field(path, "Tgid"), std::to_string(getpid()));
  EXPECT_EQ(proc_field(path, "PPid"), std::to_string(getppid()));
  EXPECT_EQ(proc_field(path, "Name"), "procfs_test");
  EXPECT_EQ(proc_field(path, "State"), "R (running)");
  EXPECT_EQ(proc_field(path, "Threads"), "1");
  for (const char* field : {"VmPeak", "VmSize", "VmRSS", "VmData", "VmStk", "FDSize", "SigQ",
                            "CapEff", "CapBnd", "Seccomp"}) {
    EXPECT_NE(proc_field(path, field), "");
  }
  EXPECT_GT(atoi(proc_field(path, "VmRSS").c_str()), 0);
}

TEST(ProcStatus, StatesOfOthers) {
  pid_t pid = fork_child([] { pause(); });
  std::string path = "/proc/" + std::to_string(pid) + "/status";
  wait_until_blocked(pid);
  EXPECT_EQ(proc_field(path.c_str(), "State"), "S (sleeping)");
  MUST(kill(pid, SIGSTOP));
  wait_for_state(pid, "T");
  EXPECT_EQ(proc_field(path.c_str(), "State"), "T (stopped)");
  MUST(kill(pid, SIGKILL));
  wait_for_state(pid, "Z");
  EXPECT_EQ(proc_field(path.c_str(), "State"), "Z (zombie)");
  wait_for(pid);
}

TEST(ProcStat, Fields) {
  const char* path = "/proc/self/stat";
  EXPECT_EQ(read_file(path).substr(0, std::to_string(getpid()).size() + 14),
            std::to_string(getpid()) + " (procfs_test)");
  EXPECT_EQ(stat_field(path, 3), "R");
  EXPECT_EQ(stat_field(path, 4), std::to_string(getppid()));
  EXPECT_EQ(stat_field(path, 5), std::to_string(getpgrp()));
  EXPECT_EQ(stat_field(path, 6), std::to_string(getsid(0)));
  EXPECT_EQ(stat_field(path, 20), "1");
  EXPECT_NE(stat_field(path, 22), "");
  EXPECT_EQ(stat_field(path, 38), std::to_string(SIGCHLD));
  EXPECT_EQ(read_file(path).back(), '\n');
}

TEST(ProcStat, NameWithParentheses) {
  prctl(PR_SET_NAME, "a) R (b");
  std::string stat = read_file("/proc/self/stat");
  EXPECT_NE(stat.find("(a) R (b) R "), std::string::npos);
  EXPECT_EQ(read_file("/proc/self/comm"), "a) R (b\n");
}

TEST(ProcStatm, SevenNumbers) {
  long size, rss, shared, text, lib, data, dirty;
  EXPECT_EQ(sscanf(read_file("/proc/self/statm").c_str(), "%ld %ld %ld %ld %ld %ld %ld", &size,
                   &rss, &shared, &text, &lib, &data, &dirty),
            7);
  EXPECT_GT(size, rss);
  EXPECT_GT(rss, 0);
}

TEST(ProcCmdline, SeparatedByZeroes) {
  std::string line = read_file("/proc/self/cmdline");
  EXPECT_EQ(line.back(), '\0');
  EXPECT_NE(line.find("procfs_test"), std::string::npos);
}

TEST(ProcCmdline, FollowsMemory) {
  // setproctitle()-like programs write over their arguments.
  std::string stat = read_file("/proc/self/stat");
  auto start = strtoul(stat_field("/proc/self/stat", 48).c_str(), nullptr, 10);
  ASSERT_NE(start, 0u);
  *reinterpret_cast<char*>(start) = '#';
  EXPECT_EQ(read_file("/proc/self/cmdline")[0], '#');
}

TEST(ProcCmdline, OfAZombieIsEmpty) {
  pid_t pid = fork_child([] {});
  wait_for_state(pid, "Z");
  EXPECT_EQ(read_file(("/proc/" + std::to_string(pid) + "/cmdline").c_str()), "");
  wait_for(pid);
}

TEST(ProcFd, LinksAndListing) {
  UniqueFd fd(MUST(open("/dev/null", O_RDONLY)));
  EXPECT_EQ(link_of("/proc/self/fd/" + std::to_string(fd.get())), "/dev/null");
  auto names = entries_of("/proc/self/fd");
  EXPECT_TRUE(names.count("0"));
  EXPECT_TRUE(names.count(std::to_string(fd.get())));
  struct stat info;
  EXPECT_ERR(stat("/proc/self/fd/999", &info), ENOENT);
  MUST(lstat(("/proc/self/fd/" + std::to_string(fd.get())).c_str(), &info));
  EXPECT_TRUE(S_ISLNK(info.st_mode));
  EXPECT_EQ(info.st_mode & 0700, 0500u);  // Readable only, as the descriptor is.
}

TEST(ProcFd, AnonymousNames) {
  UniqueFd fd(MUST(memfd_create("m", 0)));
  EXPECT_EQ(link_of("/proc/self/fd/" + std::to_string(fd.get())), "/memfd:m (deleted)");
}

TEST(ProcFd, OfAnotherProcess) {
  int fds[2];
  MUST(pipe(fds));
  pid_t pid = fork_child([&] {
    MUST(dup2(fds[0], 88));
    EXPECT_EQ(write(fds[1], "x", 1), 1);
    pause();
  });
  std::string path = "/proc/" + std::to_string(pid) + "/fd/88";
  for (int i = 0; i < 1000 && access(path.c_str(), F_OK) != 0; ++i) usleep(1000);
  EXPECT_EQ(link_of(path), link_of("/proc/self/fd/" + std::to_string(fds[0])));
  MUST(kill(pid, SIGKILL));
  wait_for(pid);
}

TEST(ProcLinks, ExeCwdRoot) {
  EXPECT_EQ(link_of("/proc/self/cwd"), scratch());
  EXPECT_EQ(link_of("/proc/self/root"), "/");
  EXPECT_NE(link_of("/proc/self/exe").find("procfs_test"), std::string::npos);
  UniqueFd fd(MUST(open("/proc/self/cwd", O_RDONLY | O_DIRECTORY)));
  EXPECT_OK(access("/proc/self/root/proc", F_OK));
}

TEST(ProcTask, ListsThreads) {
  int fds[2];
  MUST(pipe(fds));
  Thread thread([&] {
    char byte;
    EXPECT_EQ(read(fds[0], &byte, 1), 1);
  });
  auto names = entries_of("/proc/self/task");
  EXPECT_TRUE(names.count(std::to_string(getpid())));
  EXPECT_TRUE(names.count(std::to_string(thread.tid())));
  EXPECT_EQ(names.size(), 4u);
  EXPECT_FALSE(entries_of("/proc").count(std::to_string(thread.tid())));
  EXPECT_EQ(write(fds[1], "x", 1), 1);
}

TEST(ProcMounts, HasProcAndRoot) {
  std::string mounts = read_file("/proc/self/mounts");
  EXPECT_NE(mounts.find(" /proc proc "), std::string::npos);
  EXPECT_NE(mounts.find(" / "), std::string::npos);
  std::string mountinfo = read_file("/proc/self/mountinfo");
  int id, parent, major, minor;
  EXPECT_EQ(sscanf(mountinfo.c_str(), "%d %d %d:%d ", &id, &parent, &major, &minor), 4);
  EXPECT_NE(mountinfo.find(" - "), std::string::npos);
  EXPECT_EQ(link_of("/proc/mounts"), "self/mounts");
}

TEST(ProcLimits, Table) {
  std::string limits = read_file("/proc/self/limits");
  for (const char* name : {"Max cpu time", "Max open files", "Max stack size", "Max processes"}) {
    EXPECT_NE(limits.find(name), std::string::npos);
  }
}

TEST(ProcMeminfo, Fields) {
  long total = atol(proc_field("/proc/meminfo", "MemTotal").c_str());
  long available = atol(proc_field("/proc/meminfo", "MemAvailable").c_str());
  EXPECT_GT(total, 0);
  EXPECT_LE(available, total);
  EXPECT_NE(proc_field("/proc/meminfo", "SwapTotal"), "");
}

TEST(ProcUptime, TwoNumbers) {
  double up = 0, idle = 0;
  EXPECT_EQ(sscanf(read_file("/proc/uptime").c_str(), "%lf %lf", &up, &idle), 2);
  EXPECT_TRUE(up > 0);
}

TEST(ProcStatFile, CpuLinesAndBtime) {
  std::string stat = read_file("/proc/stat");
  EXPECT_EQ(stat.substr(0, 4), "cpu ");
  EXPECT_NE(stat.find("\ncpu0 "), std::string::npos);
  EXPECT_NE(stat.find("\nbtime "), std::string::npos);
}

TEST(ProcCpuinfo, OneEntryPerCpu) {
  std::string info = read_file("/proc/cpuinfo");
  int n = 0;
  for (size_t at = 0; (at = info.find("processor\t:", at)) != std::string::npos; ++at) ++n;
  EXPECT_EQ(n, get_nprocs());
  EXPECT_NE(info.find("flags\t"), std::string::npos);
}

TEST(ProcLoadavg, Format) {
  double a, b, c;
  int running, total, last;
  EXPECT_EQ(sscanf(read_file("/proc/loadavg").c_str(), "%lf %lf %lf %d/%d %d", &a, &b, &c, &running,
                   &total, &last),
            6);
}

TEST(ProcSys, Values) {
  EXPECT_GT(atoi(read_file("/proc/sys/kernel/pid_max").c_str()), 1000);
  EXPECT_GT(atoi(read_file("/proc/sys/fs/file-max").c_str()), 0);
  EXPECT_NE(read_file("/proc/sys/kernel/osrelease"), "");
  EXPECT_EQ(read_file("/proc/sys/kernel/random/uuid").size(), 37u);
  EXPECT_NE(read_file("/proc/sys/kernel/random/uuid"), read_file("/proc/sys/kernel/random/uuid"));
}

TEST(ProcSys, BootIdStays) {
  EXPECT_EQ(read_file("/proc/sys/kernel/random/boot_id"),
            read_file("/proc/sys/kernel/random/boot_id"));
}

TEST(ProcOom, ScoreAdj) {
  EXPECT_EQ(read_file("/proc/self/oom_score_adj"), "0\n");
  write_file("/proc/self/oom_score_adj", "500");
  EXPECT_EQ(read_file("/proc/self/oom_score_adj"), "500\n");
}

TEST(ProcComm, MayBeWritten) {
  write_file("/proc/self/comm", "renamed");
  char name[16];
  prctl(PR_GET_NAME, name);
  EXPECT_EQ(std::string(name), "renamed");
}

TEST(ProcFiles, CannotBeCreated) {
  EXPECT_ERR(open("/proc/newfile", O_WRONLY | O_CREAT, 0600), ENOENT);
  EXPECT_ERR(mkdir("/proc/newdir", 0755), ENOENT);
  EXPECT_ERR(unlink("/proc/self/status"), EPERM);
}

TEST(ProcFiles, ReadInPiecesIsConsistent) {
  UniqueFd fd(MUST(open("/proc/self/status", O_RDONLY)));
  std::string pieces;
  char three[3];
  for (ssize_t n; (n = read(fd.get(), three, 3)) > 0;) pieces.append(three, n);
  EXPECT_EQ(pieces.substr(0, 17), read_file("/proc/self/status").substr(0, 17));
  EXPECT_EQ(lseek(fd.get(), 0, SEEK_SET), 0);
  EXPECT_EQ(read(fd.get(), three, 3), 3);
  EXPECT_EQ(std::string(three, 3), "Nam");
}

TEST(ProcFiles, SizeIsZero) {
  struct stat info;
  MUST(stat("/proc/self/status", &info));
  EXPECT_EQ(info.st_size, 0);
  EXPECT_EQ(info.st_uid, geteuid());
}

TEST(ProcPermissions, OthersMemoryIsClosed) {
  EXPECT_EXITED(run_child([] {
                  pid_t parent = getppid();
                  if (!is_root()) return;
                  become_unprivileged();
                  std::string base = "/proc/" + std::to_string(parent);
                  EXPECT_ERR(open((base + "/mem").c_str(), O_RDONLY), EACCES);
                  EXPECT_ERR(open((base + "/environ").c_str(), O_RDONLY), EACCES);
                  EXPECT_EQ(link_of(base + "/exe"), "(EACCES)");
                  EXPECT_OK(access((base + "/status").c_str(), R_OK));
                }),
                0);
}

TEST(ProcChildren, ListsThem) {
  pid_t pid = fork_child([] { pause(); });
  std::string path = "/proc/self/task/" + std::to_string(getpid()) + "/children";
  EXPECT_EQ(read_file(path.c_str()), std::to_string(pid) + " ");
  MUST(kill(pid, SIGKILL));
  wait_for(pid);
}

TEST(ProcNs, LinksName) {
  EXPECT_EQ(link_of("/proc/self/ns/mnt").substr(0, 5), "mnt:[");
  EXPECT_EQ(link_of("/proc/self/ns/pid"), link_of("/proc/self/ns/pid_for_children"));
}

TEST(ProcIo, Filesystems) {
  EXPECT_NE(read_file("/proc/filesystems").find("nodev\tproc"), std::string::npos);
  EXPECT_EQ(read_file("/proc/version").substr(0, 14), "Linux version ");
}

TEST(MapFiles, LinksToEachMappedFile) {
  UniqueFd fd(MUST(open("mapped", O_RDWR | O_CREAT, 0600)));
  MUST(ftruncate(fd.get(), 8192));
  char* p = static_cast<char*>(MUST(mmap(nullptr, 8192, PROT_READ, MAP_PRIVATE, fd.get(), 0)));
  char name[99];
  const auto start = reinterpret_cast<unsigned long>(p), end = start + 8192;
  snprintf(name, sizeof name, "/proc/self/map_files/%lx-%lx", start, end);
  char to[4096] = {};
  MUST(readlink(name, to, sizeof to - 1));
  EXPECT_EQ(std::string(to), scratch() + "/mapped");
  struct stat st;
  ASSERT_OK(lstat(name, &st));
  EXPECT_EQ(st.st_mode, mode_t(S_IFLNK | 0600));
  for (const char* form : {"%lx-0%lx", "0%lx-%lx", "%lx-%lx ", "%lx%lx", "%lx"}) {
    char wrong[99] = "/proc/self/map_files/";
    snprintf(wrong + strlen(wrong), 70, form, start, end);
    EXPECT_ERR(readlink(wrong, to, sizeof to), ENOENT);
  }
  MUST(munmap(p + 4096, 4096));
  EXPECT_ERR(readlink(name, to, sizeof to), ENOENT);
}

TEST(Uptime, IdleTimeOnlyGrows) {
  double last = 0;
  const int64_t until = now_ms() + 200;
  while (now_ms() < until) {
    const std::string text = read_file("/proc/uptime");
    const double idle = atof(text.c_str() + text.find(' '));
    EXPECT_GE(idle, last);
    last = idle;
  }
}

TEST(Syscall, OfTheReaderItself) {
  UniqueFd fd(MUST(open("/proc/self/syscall", O_RDONLY)));
  char text[256] = {}, want[256];
  MUST(syscall(SYS_read, fd.get(), text, sizeof text));
  snprintf(want, sizeof want, "0 0x%x 0x%lx 0x100 ", fd.get(), reinterpret_cast<long>(text));
  EXPECT_EQ(std::string(text).substr(0, strlen(want)), std::string(want));
}

TEST(Loadavg, NamesTheLastProcessOfTheReadersNamespace) {
  NEEDS_CAPABILITY(CAP_SYS_ADMIN);
  EXPECT_EXITED(run_child([] {
                  MUST(unshare(CLONE_NEWPID));
                  EXPECT_EXITED(run_child([] {
                                  const std::string text = read_file("/proc/loadavg");
                                  EXPECT_EQ(text.substr(text.rfind(' ')), " 1\n");
                                }),
                                0);
                }),
                0);
}

}  // namespace
