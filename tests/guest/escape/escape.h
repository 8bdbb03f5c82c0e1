// Attempts to get out of a sandbox by what system calls offer (tests/escape_tests.py).
#pragma once
#include <errno.h>
#include <stdio.h>
#include <sys/types.h>

#include <string>
#include <vector>

// What is outside, for attempts to aim at. None of it can be reached.
struct Facts {
  pid_t pid;             // A process.
  std::string dir;       // A directory with a file "secret" in it, and a socket "socket".
  std::string abstract;  // The name of an abstract socket.
  int port;              // Of a TCP server on 127.0.0.1.
  // What is shared: both hold "link" and "up", symbolic links to `dir`, absolute and relative.
  std::string box = "/box";  // To be written; holds "socket" and "fifo" of the host's, too.
  std::string ro = "/ro";    // To be read; holds the file "kept".
};

struct Attempt {
  const char* name;
  void (*run)(const Facts&);
};
std::vector<Attempt> file_attempts();
std::vector<Attempt> mount_attempts();
std::vector<Attempt> process_attempts();
std::vector<Attempt> socket_attempts();
std::vector<Attempt> handed_attempts();
std::vector<Attempt> exhaustion_attempts();

// What must not come to pass has.
[[gnu::format(printf, 1, 2)]] void escaped(const char* format, ...);
// Prints what is in the file, if that can be had: who looks at the output knows the secret.
void show(const std::string& path);
void show(int fd, const char* what);
// `result` of a call that must fail.
inline void must_fail(long result, const char* what) {
  if (result >= 0) escaped("%s gave %ld", what, result);
}
