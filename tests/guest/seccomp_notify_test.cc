// User notification: seccomp_unotify(2).
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <atomic>
#include <functional>

#include "tests/guest/seccomp_filters.h"

namespace {

using namespace guest;

constexpr unsigned kListen = SECCOMP_FILTER_FLAG_NEW_LISTENER;
constexpr unsigned kKillable = kListen | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
constexpr unsigned long kSetFlags = SECCOMP_IOW(4, __u64);
const Filter kAskForParent = on_call(SYS_getppid, SECCOMP_RET_USER_NOTIF);

// A thread whose getppid() is answered by this process, with which it shares its descriptors.
class Target {
 public:
  explicit Target(std::function<long()> job, unsigned flags = kListen,
                  const Filter& filter = kAskForParent)
      : thread_([=, this] {
          no_new_privs();
          listener_ = set_filter(filter, flags);
          result_ = job();
          error_ = errno;
          done_ = true;
        }) {
    while (listener_ == 0) usleep(100);
    if (listener_ < 0) abandon();
  }
  Target() : Target([] { return syscall(SYS_getppid, 11, 22, 33, 44, 55, 66); }) {}
  int fd() const { return static_cast<int>(listener_); }
  pid_t tid() const { return thread_.tid(); }
  pthread_t handle() const { return thread_.handle(); }
  bool done() const { return done_; }
  // What the call gave: -errno of a failed one.
  long result() {
    thread_.join();
    return result_ == -1 ? -error_ : long(result_);
  }

 private:
  std::atomic<long> listener_{0}, result_{0};
  std::atomic<int> error_{0};
  std::atomic<bool> done_{false};
  Thread thread_;
};

long receive(int fd, seccomp_notif* call) {
  *call = {};
  return ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, call);
}
seccomp_notif take(int fd) {
  seccomp_notif call;
  MUST(receive(fd, &call));
  return call;
}
long answer(int fd, uint64_t id, int64_t value, int error = 0, unsigned flags = 0) {
  seccomp_notif_resp reply = {id, value, error, flags};
  return ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &reply);
}
long is_valid(int fd, uint64_t id) { return ioctl(fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &id); }
int ready(int fd, int timeout_ms = 0) {
  pollfd p = {fd, POLLIN | POLLOUT, 0};
  poll(&p, 1, timeout_ms);
  return p.revents;
}

TEST(SeccompNotify, TellsTheCall) {
  Target t;
  const seccomp_notif call = take(t.fd());
  EXPECT_EQ(call.pid, static_cast<unsigned>(t.tid()));
  EXPECT_EQ(call.flags, 0u);
  EXPECT_EQ(call.data.nr, SYS_getppid);
  EXPECT_EQ(call.data.arch, static_cast<unsigned>(AUDIT_ARCH_X86_64));
  EXPECT_NE(call.data.instruction_pointer, 0u);
  for (unsigned i = 0; i < 6; ++i) EXPECT_EQ(call.data.args[i], 11 * (i + 1));
  EXPECT_OK(is_valid(t.fd(), call.id));
  EXPECT_FALSE(t.done());
  EXPECT_OK(answer(t.fd(), call.id, 4711));
  EXPECT_EQ(t.result(), 4711);
  EXPECT_ERR(is_valid(t.fd(), call.id), ENOENT);
  EXPECT_ERR(answer(t.fd(), call.id, 1), ENOENT);
}

TEST(SeccompNotify, AnswersErrors) {
  Target t([] {
    EXPECT_ERR(syscall(SYS_getppid), EDOTDOT);
    EXPECT_ERR(syscall(SYS_getppid), EREMOTE);  // The error goes before the value.
    EXPECT_EQ(syscall(SYS_getppid), 0);
    EXPECT_EQ(syscall(SYS_getppid), 5);  // "Errors" need not be negative.
    return syscall(SYS_getppid);
  });
  EXPECT_OK(answer(t.fd(), take(t.fd()).id, 0, -EDOTDOT));
  EXPECT_OK(answer(t.fd(), take(t.fd()).id, 17, -EREMOTE));
  EXPECT_OK(answer(t.fd(), take(t.fd()).id, 0));
  EXPECT_OK(answer(t.fd(), take(t.fd()).id, 0, 5));
  EXPECT_OK(answer(t.fd(), take(t.fd()).id, 0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE));
  EXPECT_EQ(t.result(), getppid());
}

TEST(SeccompNotify, WrongRequests) {
  Target t([] {
    syscall(SYS_getppid);
    return syscall(SYS_getppid);
  });
  const int fd = t.fd();
  seccomp_notif call = {};
  call.pid = 1;
  EXPECT_ERR(ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &call), EINVAL);
  EXPECT_ERR(ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, 8), EFAULT);
  EXPECT_ERR(ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, 8), EFAULT);
  EXPECT_ERR(ioctl(fd, SECCOMP_IOCTL_NOTIF_ID_VALID, 8), EFAULT);
  EXPECT_ERR(ioctl(fd, SECCOMP_IOW(77, int), &call), EINVAL);
  EXPECT_ERR(ioctl(fd, FIONREAD, &call), EINVAL);
  EXPECT_ERR(ioctl(fd, kSetFlags, 2), EINVAL);
  EXPECT_OK(ioctl(fd, kSetFlags, 1));
  EXPECT_OK(ioctl(fd, kSetFlags, 0));
  call = take(fd);
  EXPECT_ERR(answer(fd, call.id, 0, 0, 2), EINVAL);
  EXPECT_ERR(answer(fd, call.id, 1, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE), EINVAL);
  EXPECT_ERR(answer(fd, call.id, 0, -1, SECCOMP_USER_NOTIF_FLAG_CONTINUE), EINVAL);
  EXPECT_ERR(answer(fd, call.id + 1, 0), ENOENT);
  EXPECT_OK(answer(fd, call.id, 0));
  // Ids count up, so the next is known; it cannot be answered before it was received.
  while (!(ready(fd, 1000) & POLLIN)) {
  }
  EXPECT_ERR(is_valid(fd, call.id + 1), ENOENT);
  EXPECT_ERR(answer(fd, call.id + 1, 0), EINPROGRESS);
  EXPECT_EQ(take(fd).id, call.id + 1);
  char buffer[8];
  EXPECT_ERR(read(fd, buffer, sizeof buffer), EINVAL);
  EXPECT_OK(answer(fd, call.id + 1, 3));
  EXPECT_EQ(t.result(), 3);
}

TEST(SeccompNotify, OnlyOneListener) {
  Target t([] {
    EXPECT_ERR(set_filter(kAskForParent, kListen), EBUSY);
    return set_filter({verdict(SECCOMP_RET_ALLOW)});
  });
  EXPECT_EQ(t.result(), 0);
}

TEST(SeccompNotify, TheDescriptor) {
  Target t([] { return 0; });
  EXPECT_EQ(fcntl(t.fd(), F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(fcntl(t.fd(), F_GETFL) & O_ACCMODE, O_RDWR);
  char name[64] = {};
  const std::string path = "/proc/self/fd/" + std::to_string(t.fd());
  MUST(readlink(path.c_str(), name, sizeof name - 1));
  EXPECT_EQ(std::string(name), "anon_inode:seccomp notify");
}

TEST(SeccompNotify, NoDescriptorLeft) {
  no_new_privs();
  rlimit limit;
  ASSERT_OK(getrlimit(RLIMIT_NOFILE, &limit));
  const rlimit none = {0, limit.rlim_max};
  ASSERT_OK(setrlimit(RLIMIT_NOFILE, &none));
  EXPECT_ERR(set_filter(kAskForParent, kListen), EMFILE);
  ASSERT_OK(setrlimit(RLIMIT_NOFILE, &limit));
  EXPECT_EQ(prctl(PR_GET_SECCOMP), 0);
}

TEST(SeccompNotify, PollTellsWhatIsNext) {
  static std::atomic<bool> go;
  go = false;
  Target t([] {
    while (!go) usleep(100);
    return syscall(SYS_getppid);
  });
  EXPECT_EQ(ready(t.fd()), 0);
  const UniqueFd set(MUST(epoll_create1(0)));
  epoll_event event = {EPOLLIN | EPOLLOUT | EPOLLET, {}};
  ASSERT_OK(epoll_ctl(set.get(), EPOLL_CTL_ADD, t.fd(), &event));
  go = true;
  EXPECT_EQ(epoll_wait(set.get(), &event, 1, 5000), 1);
  EXPECT_EQ(event.events, static_cast<unsigned>(EPOLLIN));
  EXPECT_EQ(ready(t.fd()), POLLIN);
  const seccomp_notif call = take(t.fd());
  EXPECT_EQ(ready(t.fd()), POLLOUT);
  EXPECT_EQ(epoll_wait(set.get(), &event, 1, 5000), 1);
  EXPECT_EQ(event.events, static_cast<unsigned>(EPOLLOUT));
  EXPECT_OK(answer(t.fd(), call.id, 1));
  EXPECT_EQ(t.result(), 1);
  // The only thread that had the filter is gone.
  EXPECT_EQ(epoll_wait(set.get(), &event, 1, 5000), 1);
  EXPECT_EQ(event.events, static_cast<unsigned>(EPOLLHUP));
  EXPECT_EQ(ready(t.fd()), POLLHUP);
  seccomp_notif none;
  EXPECT_ERR(receive(t.fd(), &none), ENOENT);
}

TEST(SeccompNotify, ReceivingWaits) {
  static std::atomic<bool> go;
  go = false;
  Target t([] {
    while (!go) usleep(100);
    return syscall(SYS_getppid);
  });
  // O_NONBLOCK or not.
  EXPECT_OK(fcntl(t.fd(), F_SETFL, O_NONBLOCK));
  seccomp_notif call;
  std::atomic<bool> received{false};
  Thread supervisor([&] {
    received = receive(t.fd(), &call) == 0;
    EXPECT_OK(answer(t.fd(), call.id, 9));
  });
  wait_until_blocked(supervisor.tid());
  EXPECT_FALSE(received.load());
  go = true;
  EXPECT_EQ(t.result(), 9);
  supervisor.join();
  EXPECT_TRUE(received.load());
}

TEST(SeccompNotify, ASignalEndsReceiving) {
  static std::atomic<bool> stop;
  stop = false;
  handle_signal(SIGUSR1, [](int) {});
  handle_signal(SIGUSR2, [](int) {}, SA_RESTART);
  Target t([] {
    while (!stop) usleep(100);
    return 0L;
  });
  Thread supervisor([&] {
    seccomp_notif call;
    EXPECT_ERR(receive(t.fd(), &call), EINTR);
    EXPECT_ERR(receive(t.fd(), &call), ENOENT);  // Restarted, until nobody can call any more.
  });
  wait_until_blocked(supervisor.tid());
  pthread_kill(supervisor.handle(), SIGUSR1);
  sleep_ms(20);
  wait_until_blocked(supervisor.tid());
  pthread_kill(supervisor.handle(), SIGUSR2);
  sleep_ms(20);
  stop = true;
  supervisor.join();
}

TEST(SeccompNotify, WhatCannotBeToldIsNotLost) {
  Target t;
  void* page = MUST(mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  EXPECT_ERR(ioctl(t.fd(), SECCOMP_IOCTL_NOTIF_RECV, page), EFAULT);
  EXPECT_EQ(ready(t.fd()), POLLIN);
  EXPECT_OK(answer(t.fd(), take(t.fd()).id, 2));
  EXPECT_EQ(t.result(), 2);
}

TEST(SeccompNotify, ManyCallers) {
  constexpr int kCallers = 8;
  static std::atomic<int> sum;
  sum = 0;
  Target t([] {
    std::vector<Thread*> threads;
    for (int i = 0; i < kCallers; ++i) {
      threads.push_back(new Thread([] { sum += static_cast<int>(syscall(SYS_getppid)); }));
    }
    for (Thread* each : threads) each->join(), delete each;
    return 0;
  });
  seccomp_notif calls[kCallers];
  for (auto& call : calls) call = take(t.fd());
  for (int i = 1; i < kCallers; ++i) EXPECT_EQ(calls[i].id, calls[0].id + i);
  EXPECT_EQ(ready(t.fd()), POLLOUT);
  for (int i = kCallers; i-- > 0;) EXPECT_OK(answer(t.fd(), calls[i].id, 1 << i));
  EXPECT_EQ(t.result(), 0);
  EXPECT_EQ(sum.load(), (1 << kCallers) - 1);
}

TEST(SeccompNotify, ChildrenAskTheSame) {
  static std::atomic<pid_t> child;
  child = 0;
  Target t([] {
    child = fork_child([] { EXPECT_EQ(syscall(SYS_getppid), 31); });
    EXPECT_EXITED(wait_for(child), 0);
    return 0;
  });
  const seccomp_notif call = take(t.fd());
  while (child == 0) usleep(100);
  EXPECT_EQ(call.pid, static_cast<unsigned>(child.load()));
  EXPECT_OK(answer(t.fd(), call.id, 31));
  EXPECT_EQ(t.result(), 0);
}

TEST(SeccompNotify, NobodyListensAnyMore) {
  Target t([] {
    EXPECT_ERR(syscall(SYS_getppid), ENOSYS);  // Taken.
    return syscall(SYS_getppid);
  });
  take(t.fd());
  close(t.fd());
  EXPECT_EQ(t.result(), -ENOSYS);
  Target not_taken;
  wait_until_blocked(not_taken.tid());
  close(not_taken.fd());
  EXPECT_EQ(not_taken.result(), -ENOSYS);
}

TEST(SeccompNotify, ASignalEndsTheCall) {
  handle_signal(SIGUSR1, [](int) {});
  Target t;
  const seccomp_notif call = take(t.fd());
  pthread_kill(t.handle(), SIGUSR1);
  EXPECT_EQ(t.result(), -EINTR);
  EXPECT_ERR(is_valid(t.fd(), call.id), ENOENT);
  EXPECT_ERR(answer(t.fd(), call.id, 0), ENOENT);
}

TEST(SeccompNotify, ARestartedCallAsksAnew) {
  static std::atomic<int> handled;
  handled = 0;
  handle_signal(SIGUSR1, [](int) { ++handled; }, SA_RESTART);
  Target t;
  const seccomp_notif call = take(t.fd());
  pthread_kill(t.handle(), SIGUSR1);
  const seccomp_notif again = take(t.fd());
  EXPECT_EQ(handled.load(), 1);
  EXPECT_EQ(again.id, call.id + 1);
  EXPECT_EQ(again.data.nr, SYS_getppid);
  EXPECT_EQ(again.data.args[5], 66u);
  EXPECT_ERR(answer(t.fd(), call.id, 1), ENOENT);
  EXPECT_OK(answer(t.fd(), again.id, 8));
  EXPECT_EQ(t.result(), 8);
}

TEST(SeccompNotify, GoneBeforeItWasReceived) {
  handle_signal(SIGUSR1, [](int) {});
  static std::atomic<bool> stop;
  stop = false;
  Target t([] {
    EXPECT_ERR(syscall(SYS_getppid), EINTR);
    while (!stop) usleep(100);
    return 0;
  });
  wait_until_blocked(t.tid());
  while (ready(t.fd()) != POLLIN) usleep(100);
  pthread_kill(t.handle(), SIGUSR1);
  while (ready(t.fd()) != 0) usleep(100);
  seccomp_notif call;
  EXPECT_ERR(receive(t.fd(), &call), ENOENT);
  stop = true;
}

TEST(SeccompNotify, WaitKillable) {
  static std::atomic<int> handled;
  handled = 0;
  handle_signal(SIGUSR1, [](int) { ++handled; });
  Target t(
      [] {
        EXPECT_ERR(syscall(SYS_getppid), EINTR);  // Not received yet: as ever.
        return syscall(SYS_getppid);
      },
      kKillable);
  while (ready(t.fd()) != POLLIN) usleep(100);
  wait_until_blocked(t.tid());
  pthread_kill(t.handle(), SIGUSR1);
  while (handled == 0) usleep(100);
  seccomp_notif call;
  while (receive(t.fd(), &call) != 0) EXPECT_EQ(errno, ENOENT);
  pthread_kill(t.handle(), SIGUSR1);
  sleep_ms(30);
  EXPECT_EQ(handled.load(), 1);
  EXPECT_OK(is_valid(t.fd(), call.id));
  EXPECT_OK(answer(t.fd(), call.id, 6));
  EXPECT_EQ(t.result(), 6);
  EXPECT_EQ(handled.load(), 2);
}

// A process of its own that asks this one.
pid_t asking_child(unsigned flags, int* listener) {
  int pair[2];
  MUST(pipe(pair));
  const pid_t pid = fork_child([&] {
    no_new_privs();
    const int fd = static_cast<int>(set_filter(kAskForParent, flags));
    MUST(write(pair[1], &fd, sizeof fd));
    syscall(SYS_getppid);
    for (;;) pause();
  });
  int fd;
  MUST(read(pair[0], &fd, sizeof fd));
  const UniqueFd process(MUST(static_cast<int>(syscall(SYS_pidfd_open, pid, 0))));
  *listener = MUST(static_cast<int>(syscall(SYS_pidfd_getfd, process.get(), fd, 0)));
  close(pair[0]), close(pair[1]);
  return pid;
}

TEST(SeccompNotify, TheCallerIsKilled) {
  for (unsigned flags : {kListen, kKillable}) {
    int fd;
    const pid_t pid = asking_child(flags, &fd);
    const seccomp_notif call = take(fd);
    EXPECT_EQ(call.pid, static_cast<unsigned>(pid));
    kill(pid, SIGKILL);
    EXPECT_KILLED(wait_for(pid), SIGKILL);
    EXPECT_ERR(answer(fd, call.id, 0), ENOENT);
    EXPECT_ERR(is_valid(fd, call.id), ENOENT);
    EXPECT_EQ(ready(fd), POLLHUP);
    close(fd);
  }
}

TEST(SeccompNotify, StopsAndGoesOn) {
  int fd;
  const pid_t pid = asking_child(kListen, &fd);
  const seccomp_notif call = take(fd);
  kill(pid, SIGSTOP);
  int status;
  ASSERT_OK(waitpid(pid, &status, WUNTRACED));
  EXPECT_TRUE(WIFSTOPPED(status));
  EXPECT_ERR(answer(fd, call.id, 0), ENOENT);
  kill(pid, SIGCONT);
  EXPECT_EQ(take(fd).id, call.id + 1);
  kill(pid, SIGKILL);
  wait_for(pid);
  close(fd);
}

seccomp_notif_addfd add_request(uint64_t id, int from, unsigned flags = 0, unsigned to = 0,
                                unsigned fd_flags = 0) {
  seccomp_notif_addfd q = {};
  q.id = id, q.flags = flags, q.srcfd = static_cast<unsigned>(from), q.newfd = to;
  q.newfd_flags = fd_flags;
  return q;
}
long add(int fd, seccomp_notif_addfd q) { return ioctl(fd, SECCOMP_IOCTL_NOTIF_ADDFD, &q); }

TEST(SeccompNotify, AddsDescriptors) {
  int pipe_fds[2];
  ASSERT_OK(pipe(pipe_fds));
  ASSERT_EQ(dup2(pipe_fds[1], 100), 100);
  int fd;
  const pid_t pid = asking_child(kListen, &fd);
  const std::string its = "/proc/" + std::to_string(pid) + "/fd/";
  auto name_of = [&](long n) {
    char name[64] = {};
    (void)readlink((its + std::to_string(n)).c_str(), name, sizeof name - 1);
    return std::string(name);
  };
  const std::string pipe_name = [&] {
    char name[64] = {};
    MUST(readlink(("/proc/self/fd/" + std::to_string(pipe_fds[1])).c_str(), name, 63));
    return std::string(name);
  }();
  const uint64_t id = take(fd).id;
  EXPECT_ERR(add(fd, add_request(id + 1, 100)), ENOENT);
  EXPECT_ERR(add(fd, add_request(id, 99)), EBADF);
  EXPECT_ERR(add(fd, add_request(id, -1)), EBADF);
  EXPECT_ERR(add(fd, add_request(id, 100, 4)), EINVAL);
  EXPECT_ERR(add(fd, add_request(id, 100, 0, 7)), EINVAL);
  EXPECT_ERR(add(fd, add_request(id, 100, 0, 0, O_APPEND)), EINVAL);
  const UniqueFd path_only(MUST(open(".", O_PATH)));
  EXPECT_ERR(add(fd, add_request(id, path_only.get())), EBADF);
  const long added = add(fd, add_request(id, 100, 0, 0, O_CLOEXEC));
  EXPECT_GT(added, 2);
  EXPECT_EQ(name_of(added), pipe_name);
  EXPECT_EQ(add(fd, add_request(id, 100, SECCOMP_ADDFD_FLAG_SETFD, 200)), 200);
  EXPECT_EQ(name_of(200), pipe_name);
  const UniqueFd null(MUST(open("/dev/null", O_RDWR)));
  EXPECT_EQ(add(fd, add_request(id, null.get(), SECCOMP_ADDFD_FLAG_SETFD, 200)), 200);
  EXPECT_EQ(name_of(200), "/dev/null");
  EXPECT_ERR(add(fd, add_request(id, 100, SECCOMP_ADDFD_FLAG_SETFD, 1 << 30)), EBADF);
  // The caller's limit counts.
  const rlimit few = {3, 4096};
  ASSERT_OK(prlimit(pid, RLIMIT_NOFILE, &few, nullptr));
  EXPECT_ERR(add(fd, add_request(id, 100)), EMFILE);
  EXPECT_ERR(add(fd, add_request(id, 100, SECCOMP_ADDFD_FLAG_SEND)), EMFILE);
  EXPECT_OK(is_valid(fd, id));  // It was not answered by that.
  kill(pid, SIGKILL);
  wait_for(pid);
  EXPECT_ERR(add(fd, add_request(id, 100)), ENOENT);
  close(fd);
}

TEST(SeccompNotify, AddsAndAnswersAtOnce) {
  Target t([] {
    const long fd = syscall(SYS_getppid);
    EXPECT_EQ(fcntl(static_cast<int>(fd), F_GETFD), FD_CLOEXEC);
    return syscall(SYS_getppid);
  });
  const UniqueFd null(MUST(open("/dev/null", O_RDWR)));
  uint64_t id = take(t.fd()).id;
  EXPECT_GT(add(t.fd(), add_request(id, null.get(), SECCOMP_ADDFD_FLAG_SEND, 0, O_CLOEXEC)), 2);
  id = take(t.fd()).id;
  EXPECT_EQ(add(t.fd(), add_request(id, null.get(),
                                    SECCOMP_ADDFD_FLAG_SEND | SECCOMP_ADDFD_FLAG_SETFD, 77)),
            77);
  EXPECT_EQ(t.result(), 77);
}

TEST(SeccompNotify, AddfdOfOtherSizes) {
  Target t;
  const uint64_t id = take(t.fd()).id;
  struct {
    seccomp_notif_addfd q;
    uint64_t more;
  } larger = {add_request(id, 0), 0};
  auto with_size = [](size_t size) { return _IOC(_IOC_WRITE, '!', 3, size); };
  EXPECT_GT(ioctl(t.fd(), with_size(sizeof larger), &larger), 0);
  larger.more = 1;
  EXPECT_ERR(ioctl(t.fd(), with_size(sizeof larger), &larger), E2BIG);
  EXPECT_ERR(ioctl(t.fd(), with_size(16), &larger), EINVAL);
  EXPECT_ERR(ioctl(t.fd(), with_size(4096), &larger), EINVAL);
  EXPECT_ERR(ioctl(t.fd(), SECCOMP_IOCTL_NOTIF_ADDFD, 8), EFAULT);
  EXPECT_OK(answer(t.fd(), id, 1));
}

TEST(SeccompNotify, VsyscallsAsk) {
  auto vsyscall = [] { return reinterpret_cast<long (*)(long*)>(0xffffffffff600400)(nullptr); };
  if (!WIFEXITED(run_child([=] { vsyscall(); }))) SKIP("no vsyscall page");
  Target t(
      [=] {
        EXPECT_EQ(vsyscall(), 123);
        return vsyscall();
      },
      kListen, on_call(SYS_time, SECCOMP_RET_USER_NOTIF));
  const seccomp_notif call = take(t.fd());
  EXPECT_EQ(call.data.nr, SYS_time);
  EXPECT_EQ(call.data.instruction_pointer, 0xffffffffff600400u);
  EXPECT_OK(answer(t.fd(), call.id, 123));
  EXPECT_OK(answer(t.fd(), take(t.fd()).id, 0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE));
  EXPECT_GT(t.result(), 1'000'000);
}

TEST(SeccompNotify, TsyncWithAListener) {
  static std::atomic<bool> go;
  go = false;
  Thread other([] {
    while (!go) usleep(100);
    EXPECT_EQ(syscall(SYS_getppid), 64);
  });
  Target t([] { return 0; }, kListen | SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH);
  go = true;
  const seccomp_notif call = take(t.fd());
  EXPECT_EQ(call.pid, static_cast<unsigned>(other.tid()));
  EXPECT_OK(answer(t.fd(), call.id, 64));
}

}  // namespace
