// Mounts, roots and namespaces: what they would show, and calls that only a host's root has.
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>

#include "tests/guest/escape/escape.h"

namespace {

using std::string;

void look_around(const Facts& f) {
  for (const char* top : {"", "/m", "/tmp/m", "/tmp/m/root", "/tmp/m/1/root"}) {
    show(string(top) + f.dir + "/secret");
  }
}

void mounts(const Facts& f) {
  mkdir("/tmp/m", 0700);
  for (const char* type :
       {"proc",       "sysfs",   "devtmpfs", "tmpfs",    "overlay",     "ext4",     "xfs",
        "btrfs",      "nfs",     "9p",       "virtiofs", "fuse",        "debugfs",  "tracefs",
        "securityfs", "cgroup2", "bpf",      "hostfs",   "binfmt_misc", "configfs", "efivarfs"}) {
    for (const char* source : {"none", "/dev/sda1", "/dev/vda", "/dev/root", "/"}) {
      if (mount(source, "/tmp/m", type, 0, nullptr) != 0) continue;
      look_around(f);
      umount2("/tmp/m", MNT_DETACH);
    }
  }
  for (const string& what :
       {string("/"), f.dir, f.box + "/link", f.ro + "/up", string("/proc/1/root")}) {
    if (mount(what.c_str(), "/tmp/m", nullptr, MS_BIND | MS_REC, nullptr) == 0) look_around(f);
  }
  // What is below the lowest mount.
  for (int i = 0; i < 40; i++) (void)!umount2("/", MNT_DETACH);
  look_around(f);
}

// --ro stays, whatever is mounted over it or remounted.
void remounts(const Facts& f) {
  (void)!mount(nullptr, f.ro.c_str(), nullptr, MS_REMOUNT, nullptr);
  (void)!mount(nullptr, f.ro.c_str(), nullptr, MS_REMOUNT | MS_BIND, nullptr);
  mkdir("/tmp/b", 0700);
  const bool bound = mount(f.ro.c_str(), "/tmp/b", nullptr, MS_BIND, nullptr) == 0;
  (void)!mount(nullptr, "/tmp/b", nullptr, MS_REMOUNT | MS_BIND, nullptr);
  mount_attr attr{};
  attr.attr_clr = MOUNT_ATTR_RDONLY;
  (void)!syscall(SYS_mount_setattr, AT_FDCWD, f.ro.c_str(), 0, &attr, sizeof attr);
  for (const string& dir : {f.ro, bound ? string("/tmp/b") : f.ro}) {
    must_fail(open((dir + "/planted").c_str(), O_CREAT | O_WRONLY, 0600), "a file in --ro");
    must_fail(open((dir + "/kept").c_str(), O_WRONLY), "writing in --ro");
    must_fail(unlink((dir + "/kept").c_str()), "unlink in --ro");
  }
}

void roots(const Facts& f) {
  mkdir("/tmp/r", 0700);
  if (unshare(CLONE_NEWNS) == 0 && mount("none", "/tmp/r", "tmpfs", 0, nullptr) == 0) {
    mkdir("/tmp/r/old", 0700);
    if (syscall(SYS_pivot_root, "/tmp/r", "/tmp/r/old") == 0) {
      show("/old" + f.dir + "/secret");
      (void)!umount2("/old", MNT_DETACH);
      look_around(f);
    }
  }
}

void namespaces(const Facts& f) {
  (void)!unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUTS |
                 CLONE_NEWIPC);
  const pid_t pid = fork();
  if (pid == 0) {
    (void)!mount("proc", "/proc", "proc", 0, nullptr);
    (void)!sethostname("changed", 7);
    show("/proc/1/root" + f.dir + "/secret");
    look_around(f);
    _exit(0);
  }
  waitpid(pid, nullptr, 0);
  // Those of process 1, and of one outside.
  for (const string& of : {string("1"), std::to_string(f.pid)}) {
    for (const char* kind : {"mnt", "pid", "net", "user", "uts", "ipc", "cgroup"}) {
      const int fd = open(("/proc/" + of + "/ns/" + kind).c_str(), O_RDONLY);
      if (fd >= 0 && setns(fd, 0) == 0) look_around(f);
      if (fd >= 0 && of != "1") escaped("a namespace of a process outside");
    }
  }
}

// As root of a user namespace of its own, with every capability in it.
void in_a_user_namespace(const Facts& f) {
  const uid_t uid = getuid();
  if (unshare(CLONE_NEWUSER) != 0) return;
  for (const auto& [file, text] : {std::pair("setgroups", string("deny")),
                                   {"uid_map", "0 " + std::to_string(uid) + " 1"},
                                   {"gid_map", "0 " + std::to_string(getgid()) + " 1"}}) {
    const int fd = open((string("/proc/self/") + file).c_str(), O_WRONLY);
    if (fd >= 0) (void)!write(fd, text.data(), text.size());
    if (fd >= 0) close(fd);
  }
  // Maps that would give the ids of others.
  for (const char* map : {"0 0 4294967295", "0 0 65536", "1 0 1"}) {
    const int fd = open("/proc/self/uid_map", O_WRONLY);
    if (fd >= 0) must_fail(write(fd, map, strlen(map)), "a second map of ids");
    if (fd >= 0) close(fd);
  }
  mounts(f);
  remounts(f);
  if (unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC) == 0) {
    mounts(f);
    remounts(f);
    roots(f);
  }
  must_fail(mknod((f.box + "/disk").c_str(), S_IFBLK | 0600, makedev(8, 0)), "a disk by mknod");
  must_fail(syscall(SYS_reboot, 0xfee1dead, 672274793, 0x1234567, nullptr), "reboot");
  for (const string& secret : {f.dir + "/secret", "/proc/1/root" + f.dir + "/secret"}) show(secret);
}

// A mount that comes, goes and moves while others walk over it, up and down.
void mount_races(const Facts& f) {
  if (unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return;
  mkdir("/tmp/way", 0700);
  mkdir("/tmp/way/in", 0700);
  mkdir("/tmp/else", 0700);
  std::atomic<bool> over{false};
  std::thread mounter([&] {
    while (!over) {
      (void)!mount((f.box + "/link").c_str(), "/tmp/way", nullptr, MS_BIND | MS_REC, nullptr);
      (void)!mount(f.box.c_str(), "/tmp/way", nullptr, MS_BIND, nullptr);
      (void)!mount("/tmp/way", "/tmp/else", nullptr, MS_MOVE, nullptr);
      (void)!umount2("/tmp/else", MNT_DETACH);
      (void)!umount2("/tmp/way", MNT_DETACH);
    }
  });
  const string up = "/tmp/way/in/../../../../../..";
  for (int i = 0; i < 1000; i++) {
    show(up + f.dir + "/secret");
    show("/tmp/way/link/../" + f.dir.substr(f.dir.rfind('/') + 1) + "/secret");
    const int dir = open("/tmp/way/in", O_PATH | O_DIRECTORY);
    if (dir < 0) continue;
    show(openat(dir, ("../../../../.." + f.dir + "/secret").c_str(), O_RDONLY),
         "from a lost mount");
    const int ro = openat(dir, "../../../ro/kept", O_WRONLY);
    if (ro >= 0) escaped("--ro was opened to write from a lost mount");
    close(dir);
  }
  over = true;
  mounter.join();
}

// Never for a guest, whatever capabilities it believes to have.
void calls_of_hosts(const Facts& f) {
  char buffer[4096] = {};
  const timeval then{1, 0};
  const string swap = f.box + "/swap";
  must_fail(syscall(SYS_init_module, buffer, sizeof buffer, ""), "init_module");
  must_fail(syscall(SYS_finit_module, 0, "", 0), "finit_module");
  must_fail(syscall(SYS_delete_module, "x", 0), "delete_module");
  must_fail(syscall(SYS_kexec_load, 0, 0, nullptr, 0), "kexec_load");
  must_fail(syscall(SYS_bpf, 5, buffer, 72), "bpf");
  must_fail(syscall(SYS_perf_event_open, buffer, 0, -1, -1, 0), "perf_event_open");
  must_fail(syscall(SYS_iopl, 3), "iopl");
  must_fail(syscall(SYS_ioperm, 0, 1024, 1), "ioperm");
  must_fail(syscall(SYS_swapon, swap.c_str(), 0), "swapon");
  must_fail(syscall(SYS_acct, swap.c_str()), "acct");
  must_fail(syscall(SYS_quotactl, 0, "/dev/sda1", 0, buffer), "quotactl");
  must_fail(syscall(SYS_io_uring_setup, 8, buffer), "io_uring_setup");
  must_fail(syscall(SYS_io_uring_enter, 0, 1, 0, 0, nullptr, 0), "io_uring_enter");
  must_fail(syscall(SYS_io_uring_register, 0, 0, nullptr, 0), "io_uring_register");
  must_fail(syscall(SYS_userfaultfd, 0), "userfaultfd");
  must_fail(syscall(SYS_fanotify_init, 0, 0), "fanotify_init");
  must_fail(syscall(SYS_lookup_dcookie, 1, buffer, 100), "lookup_dcookie");
  must_fail(syscall(SYS_syslog, 3, buffer, sizeof buffer), "syslog");
  (void)!settimeofday(&then, nullptr);  // The sandbox has a clock of its own.
  must_fail(syscall(SYS_reboot, 0xfee1dead, 672274793, 0x4321fedc, nullptr), "reboot");
}

}  // namespace

std::vector<Attempt> mount_attempts() {
  return {{"remounts", remounts},
          {"mounts", mounts},
          {"roots", roots},
          {"namespaces", namespaces},
          {"in_a_user_namespace", in_a_user_namespace},
          {"mount_races", mount_races},
          {"calls_of_hosts", calls_of_hosts}};
}
