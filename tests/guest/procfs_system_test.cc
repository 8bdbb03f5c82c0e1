// /proc beyond procfs_test: counters of I/O, locks, the load average, hidden processes, and
// directories of processes in place of pidfds.
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/un.h>

#include "tests/guest/harness.h"

namespace {

using namespace guest;

long io_field(const char* name) { return std::stol(proc_field("/proc/self/io", name)); }

TEST(ProcIo, CountsCallsAndBytes) {
  UniqueFd fd(MUST(open("file", O_RDWR | O_CREAT, 0600)));
  long wchar = io_field("wchar"), syscw = io_field("syscw");
  MUST(write(fd.get(), "12345", 5));
  MUST(pwrite(fd.get(), "678", 3, 5));
  EXPECT_EQ(io_field("wchar") - wchar, 8);
  EXPECT_EQ(io_field("syscw") - syscw, 2);
  EXPECT_ERR(write(fd.get(), reinterpret_cast<void*>(8), 5), EFAULT);
  EXPECT_EQ(io_field("wchar") - wchar, 8);
  EXPECT_EQ(io_field("syscw") - syscw, 3);
  long syscr = io_field("syscr");
  long own = io_field("syscr") - syscr;  // What looking itself reads.
  char text[8];
  syscr = io_field("syscr");
  MUST(pread(fd.get(), text, 8, 0));
  MUST(read(fd.get(), text, 8));
  EXPECT_EQ(io_field("syscr") - syscr, own + 2);
}

// The line of /proc/locks about this inode.
std::string lock_line(const char* file) {
  struct stat st;
  MUST(stat(file, &st));
  std::string all = read_file("/proc/locks");
  size_t at = all.find(":" + std::to_string(st.st_ino) + " ");
  if (at == std::string::npos) return "";
  size_t begin = all.rfind(": ", at) + 2;
  return all.substr(begin, all.find('\n', at) - begin);
}

TEST(ProcLocks, ShowsTheKinds) {
  UniqueFd fd(MUST(open("locked", O_RDWR | O_CREAT, 0600)));
  EXPECT_EQ(lock_line("locked"), "");
  struct flock lock = {};
  lock.l_type = F_WRLCK;
  lock.l_start = 10;
  lock.l_len = 20;
  MUST(fcntl(fd.get(), F_SETLK, &lock));
  std::string pid = std::to_string(getpid());
  std::string line = lock_line("locked");
  EXPECT_EQ(line.substr(0, line.find(pid)), "POSIX  ADVISORY  WRITE ");
  EXPECT_EQ(line.substr(line.size() - 6), " 10 29");
  lock.l_type = F_UNLCK;
  MUST(fcntl(fd.get(), F_SETLK, &lock));
  EXPECT_EQ(lock_line("locked"), "");
  MUST(flock(fd.get(), LOCK_SH));
  line = lock_line("locked");
  EXPECT_EQ(line.substr(0, line.find(pid)), "FLOCK  ADVISORY  READ ");
  EXPECT_EQ(line.substr(line.size() - 6), " 0 EOF");
  MUST(flock(fd.get(), LOCK_UN));
  lock = {};
  lock.l_type = F_RDLCK;
  MUST(fcntl(fd.get(), F_OFD_SETLK, &lock));
  EXPECT_EQ(lock_line("locked").substr(0, 25), "OFDLCK ADVISORY  READ -1 ");
}

TEST(ProcLoad, FileAndSysinfoAgree) {
  double one, five, fifteen;
  int running, all, last;
  std::string text = read_file("/proc/loadavg");
  ASSERT_EQ(
      sscanf(text.c_str(), "%lf %lf %lf %d/%d %d\n", &one, &five, &fifteen, &running, &all, &last),
      6);
  EXPECT_GE(running, 1);
  EXPECT_GE(all, running);
  struct sysinfo info;
  MUST(sysinfo(&info));
  double loads = double(info.loads[0]) / 65536;
  EXPECT_TRUE(loads > one - 0.5 && loads < one + 0.5);
}

TEST(ProcNetUnix, ListsSockets) {
  UniqueFd server(MUST(socket(AF_UNIX, SOCK_STREAM, 0)));
  sockaddr_un address = {AF_UNIX, "listener"};
  MUST(bind(server.get(), reinterpret_cast<sockaddr*>(&address), sizeof address));
  MUST(listen(server.get(), 1));
  UniqueFd client(MUST(socket(AF_UNIX, SOCK_STREAM, 0)));
  MUST(connect(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof address));
  UniqueFd lone(MUST(socket(AF_UNIX, SOCK_DGRAM, 0)));
  auto line = [](int fd) {
    struct stat st;
    MUST(fstat(fd, &st));
    std::string all = read_file("/proc/net/unix"), inode = " " + std::to_string(st.st_ino);
    size_t at = all.find(inode);
    if (at == std::string::npos) return std::string();
    size_t begin = all.rfind(": ", at) + 11;
    return all.substr(begin, all.find('\n', at) - begin).erase(at - begin, inode.size());
  };
  std::string text = line(server.get());
  EXPECT_EQ(text.substr(0, 25), "00000000 00010000 0001 01");
  EXPECT_EQ(text.substr(text.size() - 9), " listener");
  EXPECT_EQ(line(client.get()).substr(0, 25), "00000000 00000000 0001 03");
  EXPECT_EQ(line(lone.get()).substr(0, 25), "00000000 00000000 0002 01");
}

TEST(ProcPidfd, DirectoryTakesSignals) {
  pid_t pid = fork_child([] { pause(); });
  std::string path = "/proc/" + std::to_string(pid);
  UniqueFd dir(MUST(open(path.c_str(), O_RDONLY | O_DIRECTORY)));
  UniqueFd other(MUST(open((path + "/task").c_str(), O_RDONLY | O_DIRECTORY)));
  EXPECT_OK(syscall(SYS_pidfd_send_signal, dir.get(), 0, nullptr, 0));
  EXPECT_ERR(syscall(SYS_pidfd_send_signal, other.get(), 0, nullptr, 0), EBADF);
  EXPECT_OK(syscall(SYS_pidfd_send_signal, dir.get(), SIGTERM, nullptr, 0));
  EXPECT_KILLED(wait_for(pid), SIGTERM);
  EXPECT_ERR(syscall(SYS_pidfd_send_signal, dir.get(), 0, nullptr, 0), ESRCH);
}

// In a pid namespace of its own with /proc mounted so, as an ordinary user.
template <class F>
void with_proc(const char* options, F body) {
  EXPECT_EXITED(run_child([&] {
                  MUST(unshare(CLONE_NEWNS | CLONE_NEWPID));
                  MUST(mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr));
                  EXPECT_EXITED(run_child([&] {
                                  MUST(mkdir("p", 0755));
                                  MUST(mount("proc", "p", "proc", 0, options));
                                  EXPECT_EXITED(run_child([&] {
                                                  become_unprivileged();
                                                  body();
                                                }),
                                                0);
                                  umount("p");
                                }),
                                0);
                }),
                0);
}

TEST(ProcHidepid, NoAccess) {
  NEEDS_CAPABILITY(CAP_SYS_ADMIN);
  with_proc("hidepid=1", [] {
    struct stat st;
    EXPECT_OK(stat("p/1", &st));
    EXPECT_ERR(open("p/1/status", O_RDONLY), EPERM);
    EXPECT_OK(access("p/self/status", R_OK));
    EXPECT_TRUE(read_file("/proc/mounts").find("/p proc rw,relatime,hidepid=noaccess ") !=
                std::string::npos);
  });
}

TEST(ProcHidepid, Invisible) {
  NEEDS_CAPABILITY(CAP_SYS_ADMIN);
  with_proc("hidepid=2", [] {
    EXPECT_ERR(open("p/1/status", O_RDONLY), ENOENT);
    EXPECT_OK(access("p/self/status", R_OK));
    EXPECT_OK(access("p/meminfo", R_OK));
  });
}

TEST(ProcHidepid, SubsetAndGroup) {
  NEEDS_CAPABILITY(CAP_SYS_ADMIN);
  with_proc("subset=pid", [] {
    EXPECT_ERR(access("p/meminfo", F_OK), ENOENT);
    EXPECT_OK(access("p/self/status", R_OK));
    EXPECT_OK(access("p/1/status", R_OK));
  });
  EXPECT_ERR(mount("proc", ".", "proc", 0, "hidepid=9"), EINVAL);
}

}  // namespace
