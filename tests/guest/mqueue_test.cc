// POSIX message queues, and the mqueue file system.
#include <fcntl.h>
#include <linux/capability.h>
#include <mqueue.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "tests/guest/harness.h"

namespace {

using namespace guest;

// A queue that is removed at the end of its scope.
struct Queue {
  explicit Queue(int flags = O_RDWR, long messages = 4, long size = 16)
      : name("/usk-" + std::to_string(getpid())) {
    mq_attr attr = {};
    attr.mq_maxmsg = messages;
    attr.mq_msgsize = size;
    mq_unlink(name.c_str());
    fd = MUST(mq_open(name.c_str(), flags | O_CREAT | O_EXCL, 0600, &attr));
  }
  ~Queue() { mq_unlink(name.c_str()); }
  int put(std::string_view text, unsigned priority = 0) {
    return mq_send(fd, text.data(), text.size(), priority);
  }
  std::string get(unsigned* priority = nullptr) {
    char text[64];
    ssize_t n = mq_receive(fd, text, sizeof text, priority);
    return n < 0 ? "(" + describe_errno(errno) + ")" : std::string(text, n);
  }
  long count() {
    mq_attr attr;
    MUST(mq_getattr(fd, &attr));
    return attr.mq_curmsgs;
  }
  std::string name;
  mqd_t fd;
};

timespec in_ms(int ms) {
  timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  t.tv_nsec += ms * 1000000l;
  if (t.tv_nsec >= 1000000000) t = {t.tv_sec + 1, t.tv_nsec - 1000000000};
  return t;
}

TEST(Mqueue, PrioritiesThenArrival) {
  Queue queue;
  EXPECT_OK(queue.put("low", 1));
  EXPECT_OK(queue.put("high", 9));
  EXPECT_OK(queue.put("low too", 1));
  EXPECT_EQ(queue.count(), 3);
  unsigned priority = 0;
  EXPECT_EQ(queue.get(&priority), "high");
  EXPECT_EQ(priority, 9u);
  EXPECT_EQ(queue.get(&priority), "low");
  EXPECT_EQ(priority, 1u);
  EXPECT_EQ(queue.get(), "low too");
}

TEST(Mqueue, NamesAndOpening) {
  Queue queue;
  EXPECT_ERR(mq_open(queue.name.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600, nullptr), EEXIST);
  UniqueFd again(MUST(mq_open(queue.name.c_str(), O_RDONLY)));
  EXPECT_EQ(fcntl(again.get(), F_GETFD), FD_CLOEXEC);
  EXPECT_ERR(mq_send(again.get(), "x", 1, 0), EBADF);
  EXPECT_ERR(mq_open("/usk-none", O_RDWR), ENOENT);
  EXPECT_ERR(mq_unlink("/usk-none"), ENOENT);
  EXPECT_ERR(syscall(SYS_mq_open, "a/b", O_RDWR, 0, 0), EACCES);
  EXPECT_ERR(syscall(SYS_mq_open, "", O_RDWR, 0, 0), ENOENT);
  EXPECT_ERR(syscall(SYS_mq_open, std::string(256, 'n').c_str(), O_RDWR | O_CREAT, 0600, 0),
             ENAMETOOLONG);
  EXPECT_OK(mq_unlink(queue.name.c_str()));
  EXPECT_OK(queue.put("still there"));
  EXPECT_EQ(queue.get(), "still there");
}

TEST(Mqueue, SizesAreChecked) {
  Queue queue;
  EXPECT_ERR(queue.put(std::string(17, 'x')), EMSGSIZE);
  EXPECT_ERR(queue.put("x", 32768), EINVAL);
  EXPECT_OK(queue.put("", 0));
  char text[15];
  EXPECT_ERR(mq_receive(queue.fd, text, sizeof text, nullptr), EMSGSIZE);
  EXPECT_EQ(queue.get(), "");
  mq_attr wrong = {};
  wrong.mq_msgsize = 8;
  EXPECT_ERR(mq_open("/usk-wrong", O_RDWR | O_CREAT, 0600, &wrong), EINVAL);
  wrong.mq_maxmsg = 65537;
  EXPECT_ERR(mq_open("/usk-wrong", O_RDWR | O_CREAT, 0600, &wrong), EINVAL);
  EXPECT_ERR(mq_send(0, "x", 1, 0), EBADF);
}

TEST(Mqueue, NonblockingAndSetattr) {
  Queue queue(O_RDWR | O_NONBLOCK);
  EXPECT_EQ(queue.get(), "(EAGAIN)");
  for (int i = 0; i < 4; ++i) EXPECT_OK(queue.put("x"));
  EXPECT_ERR(queue.put("x"), EAGAIN);
  mq_attr attr = {}, old = {};
  EXPECT_OK(mq_setattr(queue.fd, &attr, &old));
  EXPECT_EQ(old.mq_flags, O_NONBLOCK);
  EXPECT_EQ(old.mq_maxmsg, 4);
  EXPECT_EQ(old.mq_msgsize, 16);
  EXPECT_EQ(old.mq_curmsgs, 4);
  EXPECT_EQ(fcntl(queue.fd, F_GETFL) & O_NONBLOCK, 0);
  attr.mq_flags = O_APPEND;
  EXPECT_ERR(mq_setattr(queue.fd, &attr, nullptr), EINVAL);
}

TEST(Mqueue, TimeLimits) {
  Queue queue;
  char text[64];
  timespec limit = in_ms(30);
  EXPECT_ERR(mq_timedreceive(queue.fd, text, sizeof text, nullptr, &limit), ETIMEDOUT);
  timespec wrong = {0, -1};
  EXPECT_ERR(mq_timedreceive(queue.fd, text, sizeof text, nullptr, &wrong), EINVAL);
  for (int i = 0; i < 4; ++i) EXPECT_OK(queue.put("x"));
  limit = in_ms(30);
  EXPECT_ERR(mq_timedsend(queue.fd, "x", 1, 0, &limit), ETIMEDOUT);
  timespec past = {1, 0};
  EXPECT_EQ(mq_timedreceive(queue.fd, text, sizeof text, nullptr, &past), 1);
}

TEST(Mqueue, WaitersAreServedInTurn) {
  Queue queue;
  pid_t first = fork_child([&] { EXPECT_EQ(queue.get(), "a"); });
  wait_until_blocked(first);
  pid_t second = fork_child([&] { EXPECT_EQ(queue.get(), "b"); });
  wait_until_blocked(second);
  EXPECT_OK(queue.put("a"));
  EXPECT_OK(queue.put("b", 5));
  EXPECT_EXITED(wait_for(first), 0);
  EXPECT_EXITED(wait_for(second), 0);
}

TEST(Mqueue, SenderWaitsForRoom) {
  Queue queue;
  for (int i = 0; i < 4; ++i) EXPECT_OK(queue.put("x"));
  pid_t pid = fork_child([&] { EXPECT_OK(queue.put("late", 7)); });
  wait_until_blocked(pid);
  EXPECT_EQ(queue.get(), "x");
  EXPECT_EXITED(wait_for(pid), 0);
  EXPECT_EQ(queue.get(), "late");
}

TEST(Mqueue, SignalInterruptsAWait) {
  Queue queue;
  pid_t pid = fork_child([&] {
    handle_signal(SIGUSR1, [](int) {});
    EXPECT_EQ(queue.get(), "(EINTR)");
  });
  wait_until_blocked(pid);
  kill(pid, SIGUSR1);
  EXPECT_EXITED(wait_for(pid), 0);
}

TEST(Mqueue, Polls) {
  Queue queue;
  pollfd p = {queue.fd, POLLIN | POLLOUT, 0};
  EXPECT_EQ(poll(&p, 1, 0), 1);
  EXPECT_EQ(p.revents, POLLOUT);
  for (int i = 0; i < 4; ++i) EXPECT_OK(queue.put("x"));
  EXPECT_EQ(poll(&p, 1, 0), 1);
  EXPECT_EQ(p.revents, POLLIN);
}

volatile sig_atomic_t g_value;
volatile sig_atomic_t g_code;

TEST(MqueueNotify, BySignalOnce) {
  Queue queue;
  handle_signal_info(SIGUSR1, [](int, siginfo_t* info, void*) {
    g_value = info->si_value.sival_int;
    g_code = info->si_code;
  });
  sigevent event = {};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGUSR1;
  event.sigev_value.sival_int = 42;
  EXPECT_OK(mq_notify(queue.fd, &event));
  EXPECT_ERR(mq_notify(queue.fd, &event), EBUSY);
  EXPECT_OK(queue.put("x"));
  EXPECT_EQ(g_value, 42);
  EXPECT_EQ(g_code, SI_MESGQ);
  g_value = 0;
  EXPECT_EQ(queue.get(), "x");
  EXPECT_OK(queue.put("y"));
  EXPECT_EQ(g_value, 0);
  EXPECT_OK(mq_notify(queue.fd, &event));  // Not empty: nothing comes yet.
  EXPECT_OK(queue.put("z"));
  EXPECT_EQ(g_value, 0);
  EXPECT_OK(mq_notify(queue.fd, nullptr));
  EXPECT_OK(mq_notify(queue.fd, &event));
}

TEST(MqueueNotify, NotWhenSomeoneReceives) {
  Queue queue;
  sigevent event = {};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGUSR1;
  handle_signal(SIGUSR1, [](int) { g_value = 1; });
  EXPECT_OK(mq_notify(queue.fd, &event));
  pid_t pid = fork_child([&] { EXPECT_EQ(queue.get(), "x"); });
  wait_until_blocked(pid);
  EXPECT_OK(queue.put("x"));
  EXPECT_EXITED(wait_for(pid), 0);
  EXPECT_EQ(g_value, 0);
}

TEST(MqueueNotify, EndsWithCloseAndExit) {
  Queue queue;
  sigevent event = {};
  event.sigev_notify = SIGEV_NONE;
  EXPECT_EXITED(run_child([&] { EXPECT_OK(mq_notify(queue.fd, &event)); }), 0);
  EXPECT_OK(mq_notify(queue.fd, &event));
  UniqueFd other(MUST(mq_open(queue.name.c_str(), O_RDWR)));
  EXPECT_ERR(mq_notify(other.get(), &event), EBUSY);
  other.reset();
  EXPECT_OK(mq_notify(queue.fd, &event));
  event.sigev_notify = 77;
  EXPECT_ERR(mq_notify(queue.fd, &event), EINVAL);
}

TEST(MqueueLimits, RlimitAndDefaults) {
  mq_attr attr;
  std::string name = "/usk-default-" + std::to_string(getpid());
  UniqueFd fd(MUST(mq_open(name.c_str(), O_RDWR | O_CREAT, 0600, nullptr)));
  mq_unlink(name.c_str());
  MUST(mq_getattr(fd.get(), &attr));
  EXPECT_EQ(std::to_string(attr.mq_maxmsg) + "\n", read_file("/proc/sys/fs/mqueue/msg_default"));
  EXPECT_EQ(std::to_string(attr.mq_msgsize) + "\n",
            read_file("/proc/sys/fs/mqueue/msgsize_default"));
  rlimit limit = {1000, 1000};
  MUST(setrlimit(RLIMIT_MSGQUEUE, &limit));
  EXPECT_ERR(mq_open("/usk-too-much", O_RDWR | O_CREAT, 0600, nullptr), EMFILE);
}

TEST(MqueueFs, MountsAndShowsQueues) {
  NEEDS_CAPABILITY(CAP_SYS_ADMIN);
  EXPECT_EXITED(run_child([&] {
                  MUST(unshare(CLONE_NEWNS | CLONE_NEWIPC));
                  MUST(mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr));
                  MUST(mkdir("mq", 0755));
                  MUST(mount("none", "mq", "mqueue", 0, nullptr));
                  Queue queue;
                  EXPECT_OK(queue.put("four"));
                  std::string path = "mq" + queue.name;
                  EXPECT_EQ(read_file(path.c_str()),
                            "QSIZE:4          NOTIFY:0     SIGNO:0     NOTIFY_PID:0     \n");
                  struct stat st;
                  MUST(stat(path.c_str(), &st));
                  EXPECT_EQ(st.st_size, 80);
                  EXPECT_EQ(st.st_mode, mode_t(S_IFREG | 0600));
                  MUST(stat("mq", &st));
                  EXPECT_EQ(st.st_mode, mode_t(S_IFDIR | 01777));
                  EXPECT_ERR(mkdir("mq/dir", 0755), EPERM);
                  EXPECT_ERR(rename(path.c_str(), "mq/other"), EPERM);
                  EXPECT_ERR(link(path.c_str(), "mq/other"), EPERM);
                  UniqueFd made(MUST(open("mq/made", O_RDWR | O_CREAT, 0644)));
                  EXPECT_OK(mq_unlink("/made"));
                  EXPECT_ERR(access("mq/made", F_OK), ENOENT);
                  EXPECT_OK(unlink(path.c_str()));
                  EXPECT_ERR(mq_open(queue.name.c_str(), O_RDWR), ENOENT);
                  umount("mq");
                }),
                0);
}

TEST(MqueueFs, PermissionsAreChecked) {
  NEEDS_CAPABILITY(CAP_SETUID);
  Queue queue;
  EXPECT_EXITED(run_child([&] {
                  become_unprivileged();
                  EXPECT_ERR(mq_open(queue.name.c_str(), O_RDONLY), EACCES);
                  EXPECT_ERR(syscall(SYS_mq_unlink, queue.name.c_str() + 1), EPERM);
                }),
                0);
}

}  // namespace
