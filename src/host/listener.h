// The kernel process's end of the stubs' seccomp filter: seccomp_unotify(2).
#pragma once
#include <sys/types.h>

#include <array>
#include <cstdint>
#include <optional>

#include "base/result.h"
#include "host/host_fd.h"

namespace usk::host {

class Listener {
 public:
  // One call that waits for an answer.
  struct Notice {
    uint64_t id = 0;
    pid_t tid = 0;
    uint32_t nr = 0;
    std::array<uint64_t, 6> args{};
  };

  Listener() = default;
  // Takes descriptor `fd` of process `pid` over (pidfd_getfd(2)).
  static Result<Listener> take(pid_t pid, int fd);

  int fd() const { return fd_.get(); }
  // The next notice; to be called when fd() is readable. Nothing: its thread has died meanwhile
  // (the end of a child process ends the wait for another one).
  std::optional<Notice> receive();
  // The call returns 0, or fails with `error`. A thread that is gone needs none of these.
  void answer(uint64_t id, int error = 0);
  // The host makes the call, with the registers of the notice.
  void let_through(uint64_t id);
  // `file` becomes descriptor `number` of the notice's thread.
  Result<void> install(uint64_t id, int file, int number);
  // Whether waking and answering hand the CPU over directly (Linux 6.6; else nothing happens).
  void set_hand_over(bool on);

 private:
  explicit Listener(UniqueFd fd) : fd_(std::move(fd)) {}
  long answer_with(unsigned long request, void* what);
  UniqueFd fd_;
};

// From now on the end of a child makes this descriptor readable, and ends a receive() of this
// thread. Once for a process.
Result<int> children_as_fd();
// One child that has ended, reaped; none: 0. Makes the descriptor unreadable.
pid_t next_ended_child();

}  // namespace usk::host
