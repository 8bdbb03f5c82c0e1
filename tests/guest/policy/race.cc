// Names that change while others use them: DIR/open/f says "allowed", DIR/closed/f says "SECRET".
// Whatever a name is changed to meanwhile, what may not be read is never read.
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <string>

#include "tests/guest/policy/policy.h"

namespace {

using std::string;

std::atomic<bool> done{false};
string dir, name;

void swap_links() {
  const string other = dir + "/open/other";
  unlink(other.c_str());
  (void)!symlink((dir + "/closed/f").c_str(), other.c_str());
  while (!done) renameat2(AT_FDCWD, other.c_str(), AT_FDCWD, name.c_str(), RENAME_EXCHANGE);
}

// The parent of the name goes between the two directories.
void swap_directories() {
  const string other = dir + "/open/otherdir";
  unlink(other.c_str());
  (void)!symlink((dir + "/closed").c_str(), other.c_str());
  const string parent = dir + "/open/way";
  while (!done) renameat2(AT_FDCWD, other.c_str(), AT_FDCWD, parent.c_str(), RENAME_EXCHANGE);
}

void rename_secret() {
  const string from = dir + "/closed/f", to = dir + "/open/taken";
  while (!done) {
    rename(from.c_str(), to.c_str());
    link(from.c_str(), to.c_str());
    rename((dir + "/closed").c_str(), (dir + "/open/dir").c_str());
    renameat2(AT_FDCWD, (dir + "/closed").c_str(), AT_FDCWD, (dir + "/open/d").c_str(),
              RENAME_EXCHANGE);
  }
}

struct Way {
  const char* name;
  void (*change)();
  const char* read;  // Below DIR.
};
const Way kWays[] = {
    {"links", swap_links, "/open/link"},
    {"directories", swap_directories, "/open/way/f"},
    {"renames", rename_secret, "/open/taken"},
};

// What is read by this name: 'a' allowed, 'S' secret, 0 nothing.
char read_one(const string& path, int round) {
  int fd;
  if (round % 3 == 1) {
    const int place = open(path.c_str(), O_PATH);
    fd = open(("/proc/self/fd/" + std::to_string(place)).c_str(), O_RDONLY);
    close(place);
  } else if (round % 3 == 2) {
    fd = open(("/proc/self/root" + path).c_str(), O_RDWR);
  } else {
    fd = open(path.c_str(), O_RDONLY);
  }
  if (fd < 0) return 0;
  char first = 0;
  (void)!read(fd, &first, 1);
  close(fd);
  return first;
}

}  // namespace

int race(const char* how, const char* where, int rounds) {
  dir = where;
  const Way* way = nullptr;
  for (const Way& w : kWays) {
    if (strcmp(w.name, how) == 0) way = &w;
  }
  if (!way) return 2;
  name = dir + way->read;
  pthread_t changer;
  pthread_create(
      &changer, nullptr,
      [](void* w) -> void* {
        static_cast<const Way*>(w)->change();
        return nullptr;
      },
      const_cast<Way*>(way));
  int allowed = 0, secret = 0, nothing = 0;
  for (int i = 0; i < rounds; i++) {
    switch (read_one(name, i)) {
      case 'a': allowed++; break;
      case 'S': secret++; break;
      default: nothing++;
    }
  }
  done = true;
  pthread_join(changer, nullptr);
  printf("allowed %d secret %d nothing %d\n", allowed, secret, nothing);
  return secret ? 1 : 0;
}
