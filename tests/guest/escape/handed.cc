// What the caller of usk hands in: the three descriptors, of which one may be a file that is only
// to be read, or a terminal that others read, too.
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <termios.h>
#include <unistd.h>

#include <string>

#include "tests/guest/escape/escape.h"

namespace {

using std::string;

// Standard input is a file outside that was opened to be read.
void input(const Facts& f) {
  struct stat st{};
  if (fstat(0, &st) != 0 || !S_ISREG(st.st_mode)) return;
  for (const char* name :
       {"/proc/self/fd/0", "/dev/stdin", "/dev/fd/0", "/proc/thread-self/fd/0"}) {
    must_fail(open(name, O_RDWR), "opening the input to write");
    must_fail(open(name, O_WRONLY | O_TRUNC), "cutting the input");
    must_fail(truncate(name, 0), "truncate of the input");
    (void)!chmod(name, 0666);        // Of what the sandbox shows, at most.
    (void)!chown(name, 1000, 1000);  // Of what the sandbox shows, at most.
    must_fail(setxattr(name, "user.x", "1", 1, 0), "setxattr of the input");
    must_fail(linkat(AT_FDCWD, name, AT_FDCWD, (f.box + "/handed").c_str(), AT_SYMLINK_FOLLOW),
              "a link to the input");
    show(string(name) + "/../secret");
  }
  must_fail(linkat(0, "", AT_FDCWD, (f.box + "/handed").c_str(), AT_EMPTY_PATH),
            "a link to the input by its descriptor");
  must_fail(ftruncate(0, 0), "ftruncate of the input");
  must_fail(fallocate(0, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 1), "a hole in the input");
  (void)!fchmod(0, 0666);
  (void)!fchown(0, 1000, 1000);
  must_fail(pwrite(0, "x", 1, 0), "writing to the input");
  must_fail(fchdir(0), "fchdir to the input");
  show(openat(0, "secret", O_RDONLY), "beside the input");
  show(openat(0, "../secret", O_RDONLY), "beside the input");
  const timespec then[2] = {{1, 0}, {1, 0}};
  (void)!futimens(0, then);
  (void)!fcntl(0, F_SETFL, O_RDWR | O_APPEND);
  must_fail(write(0, "x", 1), "writing to the input after F_SETFL");
  void* const map = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, 0, 0);
  if (map != MAP_FAILED) escaped("the input is mapped to be written");
  const int exe = open("/proc/self/exe", O_RDONLY);
  must_fail(sendfile(0, exe, nullptr, 1), "sendfile to the input");
  must_fail(ioctl(0, FICLONE, exe), "FICLONE to the input");
  // Whoever waits for a lock of the host's file waits for ever: locks are the sandbox's own.
  (void)!flock(0, LOCK_EX | LOCK_NB);
  struct flock record{};
  record.l_type = F_RDLCK;
  (void)!fcntl(0, F_SETLK, &record);
}

// Standard input is a terminal outside: what is typed there for its reader is not ours to write.
void terminal(const Facts& f) {
  if (!isatty(0)) return;
  signal(SIGTTOU, SIG_IGN);  // From the background, too.
  signal(SIGTTIN, SIG_IGN);
  for (const char* name : {"/dev/tty", "/proc/self/fd/0", "/dev/stdin", "/dev/console"}) {
    const int fd = open(name, O_RDWR | O_NOCTTY);
    for (const int at : {0, fd}) {
      for (const char* c = "touch planted\n"; *c; c++) (void)!ioctl(at, TIOCSTI, c);
      char paste[] = {2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
      (void)!ioctl(at, 0x541c, paste);  // TIOCLINUX
      const int discipline = 3;
      (void)!ioctl(at, TIOCSETD, &discipline);
      (void)!ioctl(at, TIOCCONS, 0);
      (void)!ioctl(at, TIOCSCTTY, 1);
      (void)!tcsetpgrp(at, f.pid);
      const int packets = 1;
      (void)!ioctl(at, TIOCPKT, &packets);
      (void)!ioctl(at, TIOCEXCL, 0);
      const int other = ioctl(at, 0x5441, O_RDWR);  // TIOCGPTPEER
      if (other >= 0) escaped("the terminal's other end opens");
    }
  }
  (void)!syscall(SYS_vhangup);
  pid_t group = tcgetpgrp(0);
  if (group > 1) (void)!kill(-group, SIGWINCH);
}

}  // namespace

std::vector<Attempt> handed_attempts() { return {{"input", input}, {"terminal", terminal}}; }
