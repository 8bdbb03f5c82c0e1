// Ways to name a file outside: links, races, /proc, handles, devices, what a dump may run.
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>

#include "tests/guest/escape/escape.h"

namespace {

using std::string;

std::vector<string> names_in(const string& path) {
  std::vector<string> names;
  DIR* dir = opendir(path.c_str());
  if (!dir) return names;
  while (const dirent* e = readdir(dir)) {
    if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) names.push_back(e->d_name);
  }
  closedir(dir);
  return names;
}

void put(const string& path, const string& text) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT, 0600);
  if (fd < 0) return;
  (void)!write(fd, text.data(), text.size());
  close(fd);
}

// Through each link that any process has in /proc.
void proc_links(const Facts& f) {
  for (const string& pid : names_in("/proc")) {
    if (!isdigit(pid[0])) continue;
    const string base = "/proc/" + pid;
    for (const char* link : {"/root", "/cwd", "/exe"}) show(base + link + f.dir + "/secret");
    show(base + "/cwd/../../../../../.." + f.dir + "/secret");
    for (const string& fd : names_in(base + "/fd")) {
      show(base + "/fd/" + fd + "/../../../../.." + f.dir + "/secret");
      show(base + "/fd/" + fd + f.dir + "/secret");
    }
    for (const string& map : names_in(base + "/map_files")) {
      show(base + "/map_files/" + map + "/.." + f.dir + "/secret");
    }
  }
}

void dots(const Facts& f) {
  for (const string& from : {string("/"), f.box, f.ro, string("/proc"), string("/dev")}) {
    string up;
    const int dir = open(from.c_str(), O_PATH | O_DIRECTORY);
    for (int i = 0; i < 12; i++) {
      up += "../";
      show(from + "/" + up + f.dir.substr(1) + "/secret");
      const int fd = openat(dir, (up + f.dir.substr(1) + "/secret").c_str(), O_RDONLY);
      show(fd, "up");
    }
  }
  // A root below the working directory leaves the latter outside of it.
  mkdir("/tmp/jail", 0700);
  if (chdir("/") == 0 && chroot("/tmp/jail") == 0) {
    for (int i = 0; i < 20; i++) (void)!chdir("..");
    (void)!chroot(".");
    show(f.dir + "/secret");
  }
}

// The host's own links in shared directories mean what they say inside.
void links(const Facts& f) {
  (void)!symlink(f.dir.c_str(), (f.box + "/mine").c_str());
  (void)!symlink(("../../../../../.." + f.dir).c_str(), (f.box + "/mine-up").c_str());
  for (const string& share : {f.box, f.ro}) {
    for (const char* link : {"/link", "/up", "/mine", "/mine-up"}) {
      show(share + link + "/secret");
      put(share + link + "/planted", "x");
      (void)!truncate((share + link + "/secret").c_str(), 0);
      (void)!rename((share + "/file").c_str(), (share + link + "/planted").c_str());
      (void)!unlink((share + link + "/secret").c_str());
    }
  }
}

// Each flag of openat2(2), alone and with O_PATH and what can be made of that.
void resolve_flags(const Facts& f) {
  for (const string& share : {f.box, f.ro, string("/")}) {
    const int dir = open(share.c_str(), O_PATH | O_DIRECTORY);
    for (uint64_t resolve = 0; resolve < 64; resolve++) {
      for (const string& path :
           {string("link/secret"), string("up/secret"), "../.." + f.dir + "/secret",
            f.dir + "/secret", string("/proc/self/root") + f.dir + "/secret"}) {
        open_how how{};
        how.flags = O_RDONLY;
        how.resolve = resolve;
        show(int(syscall(SYS_openat2, dir, path.c_str(), &how, sizeof how)), path.c_str());
        how.flags = O_PATH;
        const int place = int(syscall(SYS_openat2, dir, path.c_str(), &how, sizeof how));
        if (place < 0) continue;
        show("/proc/self/fd/" + std::to_string(place));
        show(openat(place, "", O_RDONLY), path.c_str());
        close(place);
      }
    }
    close(dir);
  }
}

// A directory that is another one, or a link out, from one moment to the next.
void races(const Facts& f) {
  const string d = f.box + "/race", l = f.box + "/way";
  mkdir(d.c_str(), 0700);
  put(d + "/secret", "inside");
  std::atomic<bool> end{false};
  for (const string& to : {f.dir, "../" + f.dir.substr(f.dir.rfind('/') + 1), string("up")}) {
    (void)!unlink(l.c_str());
    (void)!symlink(to.c_str(), l.c_str());
    end = false;
    std::thread swaps([&] {
      while (!end) syscall(SYS_renameat2, AT_FDCWD, d.c_str(), AT_FDCWD, l.c_str(), 2);
    });
    for (int i = 0; i < 3000; i++) {
      const int fd = open((d + "/secret").c_str(), O_RDWR);
      char text[64] = {};
      if (fd >= 0 && read(fd, text, 63) > 0 && strcmp(text, "inside") != 0) {
        escaped("a race read %s", text);
      }
      if (fd >= 0) close(fd);
      const string planted = d + "/planted" + std::to_string(i % 7);
      put(planted, "x");
      (void)!chmod(planted.c_str(), 04755);
      (void)!rename(planted.c_str(), (l + "/planted").c_str());
    }
    end = true;
    swaps.join();
  }
}

// A file that may be read is not written, whatever is made of its descriptor.
void read_only_is_read_only(const Facts& f) {
  const string kept = f.ro + "/kept";
  const int fd = open(kept.c_str(), O_RDONLY);
  const string again = "/proc/self/fd/" + std::to_string(fd);
  const int path = open(kept.c_str(), O_PATH);
  const string by_path = "/proc/self/fd/" + std::to_string(path);
  for (const string& name : {kept, again, by_path}) {
    must_fail(open(name.c_str(), O_RDWR), "opening it to write");
    must_fail(open(name.c_str(), O_WRONLY | O_TRUNC), "cutting it");
    must_fail(truncate(name.c_str(), 0), "truncate");
    must_fail(chmod(name.c_str(), 04777), "chmod");
    must_fail(chown(name.c_str(), 1, 1), "chown");
    must_fail(setxattr(name.c_str(), "user.x", "1", 1, 0), "setxattr");
    must_fail(
        linkat(AT_FDCWD, name.c_str(), AT_FDCWD, (f.box + "/linked").c_str(), AT_SYMLINK_FOLLOW),
        "a hard link to it");
  }
  void* const map = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (map != MAP_FAILED) escaped("it is mapped to be written");
  void* const later = mmap(nullptr, 4096, PROT_READ, MAP_SHARED, fd, 0);
  must_fail(mprotect(later, 4096, PROT_READ | PROT_WRITE), "mprotect");
  const int memory = open("/proc/self/mem", O_RDWR);
  // A debugger's write makes a copy, at most.
  (void)!pwrite(memory, "overwritten", 11, off_t(later));
  const int from = open("/proc/self/exe", O_RDONLY);
  must_fail(sendfile(fd, from, nullptr, 10), "sendfile");
  must_fail(copy_file_range(from, nullptr, fd, nullptr, 10, 0), "copy_file_range");
  must_fail(ioctl(fd, FICLONE, from), "FICLONE");
  must_fail(ftruncate(fd, 0), "ftruncate");
  must_fail(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4), "fallocate");
  int pipe_fds[2];
  (void)!pipe(pipe_fds);
  (void)!splice(fd, nullptr, pipe_fds[1], nullptr, 4, 0);
  struct iovec piece{const_cast<char*>("dirty"), 5};
  (void)!vmsplice(pipe_fds[1], &piece, 1, 0);
  (void)!write(pipe_fds[1], "dirty", 5);  // Would go into a page that the file still has.
}

// File handles name files by number, past all directories.
void handles(const Facts& f) {
  struct {
    file_handle h;
    unsigned char bytes[128];
  } handle{};
  for (const string& share : {f.box, f.ro, string("/")}) {
    const int dir = open(share.c_str(), O_RDONLY | O_DIRECTORY);
    for (unsigned type : {1u, 2u, 0x81u, 0x82u, 0xfeu}) {
      for (unsigned ino : {1u, 2u, 128u}) {
        handle.h.handle_bytes = 8;
        handle.h.handle_type = int(type);
        memcpy(handle.h.f_handle, &ino, sizeof ino);
        const int fd = open_by_handle_at(dir, &handle.h, O_RDONLY | O_DIRECTORY);
        if (fd < 0) continue;
        show(openat(fd, (f.dir.substr(1) + "/secret").c_str(), O_RDONLY), "by handle");
      }
    }
  }
}

// The host's disks and memory by their numbers.
void devices(const Facts& f) {
  for (const string& dir : {string("/tmp"), f.box, string("/dev")}) {
    for (const auto& [mode, first, second] : {std::tuple(S_IFCHR, 1, 1),
                                              {S_IFCHR, 1, 2},
                                              {S_IFCHR, 1, 4},
                                              {S_IFCHR, 1, 11},
                                              {S_IFCHR, 10, 200},
                                              {S_IFCHR, 10, 229},
                                              {S_IFCHR, 10, 232},
                                              {S_IFBLK, 8, 0},
                                              {S_IFBLK, 253, 0},
                                              {S_IFBLK, 254, 0},
                                              {S_IFBLK, 259, 0},
                                              {S_IFBLK, 7, 0}}) {
      const string name = dir + "/device";
      if (mknod(name.c_str(), mode_t(mode) | 0600, makedev(unsigned(first), unsigned(second))) ==
          0) {
        const int fd = open(name.c_str(), O_RDWR | O_NONBLOCK);
        if (fd >= 0)
          escaped("device %o %d:%d in %s opens", unsigned(mode), first, second, dir.c_str());
        unlink(name.c_str());
      }
    }
  }
  for (const char* name : {"/dev/mem", "/dev/kmem", "/dev/port", "/dev/kmsg", "/dev/sda",
                           "/dev/vda", "/dev/kvm", "/dev/fuse", "/dev/net/tun", "/dev/loop-control",
                           "/proc/kcore", "/proc/kmsg", "/dev/cpu/0/msr"}) {
    must_fail(open(name, O_RDWR | O_NONBLOCK), name);
  }
}

// A core pattern of the guest's is the guest's: what it starts runs inside.
void core_patterns(const Facts& f) {
  const string planted = f.dir + "/planted";
  for (const string& pattern :
       {"|/bin/sh -c 'touch " + planted + "'", "|/bin/touch " + planted, planted,
        "|" + f.box + "/core %p", f.box + "/link/planted", string("../../../../..") + planted}) {
    const int fd = open("/proc/sys/kernel/core_pattern", O_WRONLY | O_TRUNC);
    if (fd < 0) return;
    (void)!write(fd, pattern.data(), pattern.size());
    close(fd);
    const pid_t pid = fork();
    if (pid == 0) {
      const rlimit all{RLIM_INFINITY, RLIM_INFINITY};
      setrlimit(RLIMIT_CORE, &all);
      abort();
    }
    waitpid(pid, nullptr, 0);
  }
}

// What would change the host is refused or changes the sandbox alone; the observer looks.
void settings(const Facts&) {
  for (const char* name :
       {"/proc/sys/kernel/hostname", "/proc/sys/kernel/modprobe", "/proc/sys/kernel/panic",
        "/proc/sys/kernel/randomize_va_space", "/proc/sys/vm/overcommit_memory",
        "/proc/sys/fs/binfmt_misc/register", "/proc/sys/kernel/core_uses_pid",
        "/proc/sysrq-trigger", "/sys/kernel/uevent_helper", "/sys/power/state",
        "/sys/fs/cgroup/cgroup.procs", "/proc/self/oom_score_adj", "/proc/1/oom_score_adj",
        "/proc/irq/default_smp_affinity"}) {
    const int fd = open(name, O_WRONLY);
    if (fd >= 0) (void)!write(fd, "1", 1);
  }
}

// A program of root's with the bit: a user becomes root of the sandbox, and of nothing else.
void set_user_id(const Facts& f) {
  const string program = f.box + "/suid";
  const int from = open("/proc/self/exe", O_RDONLY),
            to = open(program.c_str(), O_CREAT | O_WRONLY, 0755);
  while (sendfile(to, from, nullptr, 1 << 20) > 0) {
  }
  close(to);
  (void)!chown(program.c_str(), 0, 0);
  (void)!chmod(program.c_str(), 06755);
  const pid_t pid = fork();
  if (pid == 0) {
    if (setresgid(1000, 1000, 1000) != 0 || setresuid(1000, 1000, 1000) != 0) _exit(0);
    const string outside = std::to_string(f.pid), port = std::to_string(f.port);
    execl(program.c_str(), "suid", outside.c_str(), f.dir.c_str(), f.abstract.c_str(), port.c_str(),
          "links", nullptr);
    _exit(0);
  }
  waitpid(pid, nullptr, 0);
  (void)!unlink(program.c_str());
}

}  // namespace

std::vector<Attempt> file_attempts() {
  return {{"proc_links", proc_links},
          {"dots", dots},
          {"links", links},
          {"resolve_flags", resolve_flags},
          {"races", races},
          {"read_only", read_only_is_read_only},
          {"handles", handles},
          {"devices", devices},
          {"core_patterns", core_patterns},
          {"settings", settings},
          {"set_user_id", set_user_id}};
}
