// System V message queues beyond sysv_ipc_test: waiting, removal, copies, limits, permissions.
#include <linux/capability.h>
#include <sched.h>
#include <sys/ipc.h>
#include <sys/msg.h>

#include "tests/guest/harness.h"

namespace {

using namespace guest;

#ifndef MSG_COPY
#define MSG_COPY 040000
#endif

struct Queue {
  explicit Queue(int mode = 0600) : id(must_id(msgget(IPC_PRIVATE, IPC_CREAT | mode))) {}
  ~Queue() { msgctl(id, IPC_RMID, nullptr); }
  static int must_id(int id) { return MUST(id); }
  struct Message {
    long type;
    char text[9000];
  };
  int put(long type, std::string_view text, int flags = 0) {
    static Message message;
    message.type = type;
    memcpy(message.text, text.data(), text.size());
    return msgsnd(id, &message, text.size(), flags);
  }
  std::string get(long type, int flags = IPC_NOWAIT, size_t size = 9000) {
    static Message message;
    ssize_t n = msgrcv(id, &message, size, type, flags);
    return n < 0 ? "(" + describe_errno(errno) + ")" : std::string(message.text, n);
  }
  msqid_ds stat() {
    msqid_ds info = {};
    MUST(msgctl(id, IPC_STAT, &info));
    return info;
  }
  int id;
};

TEST(MsgWait, RemovalWakesReceiverAndSender) {
  auto* queue = new Queue;
  pid_t receiver = fork_child([&] { EXPECT_EQ(queue->get(1, 0), "(EIDRM)"); });
  wait_until_blocked(receiver);
  while (queue->put(2, std::string(4000, 'x'), IPC_NOWAIT) == 0) {
  }
  pid_t sender = fork_child([&] { EXPECT_ERR(queue->put(2, std::string(4000, 'y')), EIDRM); });
  wait_until_blocked(sender);
  delete queue;
  EXPECT_EXITED(wait_for(receiver), 0);
  EXPECT_EXITED(wait_for(sender), 0);
}

TEST(MsgWait, SenderGoesOnWhenThereIsRoom) {
  Queue queue;
  int sent = 0;
  while (queue.put(1, std::string(4000, 'x'), IPC_NOWAIT) == 0) ++sent;
  EXPECT_EQ(sent, 4);
  pid_t pid = fork_child([&] { EXPECT_OK(queue.put(2, std::string(4000, 'y'))); });
  wait_until_blocked(pid);
  EXPECT_EQ(queue.get(1).size(), 4000u);
  EXPECT_EXITED(wait_for(pid), 0);
  EXPECT_EQ(queue.get(2)[0], 'y');
}

TEST(MsgWait, ReceiversAreServedInTurn) {
  Queue queue;
  pid_t first = fork_child([&] { EXPECT_EQ(queue.get(0, 0), "a"); });
  wait_until_blocked(first);
  pid_t second = fork_child([&] { EXPECT_EQ(queue.get(0, 0), "b"); });
  wait_until_blocked(second);
  EXPECT_OK(queue.put(1, "a"));
  EXPECT_OK(queue.put(1, "b"));
  EXPECT_EXITED(wait_for(first), 0);
  EXPECT_EXITED(wait_for(second), 0);
  EXPECT_EQ(queue.stat().msg_lrpid, second);
}

TEST(MsgWait, TooSmallABufferEndsTheWait) {
  Queue queue;
  pid_t small = fork_child([&] { EXPECT_EQ(queue.get(0, 0, 2), "(E2BIG)"); });
  wait_until_blocked(small);
  pid_t next = fork_child([&] { EXPECT_EQ(queue.get(0, 0), "long"); });
  wait_until_blocked(next);
  EXPECT_OK(queue.put(1, "long"));
  EXPECT_EXITED(wait_for(small), 0);
  EXPECT_EXITED(wait_for(next), 0);
}

TEST(MsgWait, SignalIsEintrDespiteRestart) {
  Queue queue;
  pid_t pid = fork_child([&] {
    handle_signal(SIGUSR1, [](int) {}, SA_RESTART);
    EXPECT_EQ(queue.get(0, 0), "(EINTR)");
  });
  wait_until_blocked(pid);
  kill(pid, SIGUSR1);
  EXPECT_EXITED(wait_for(pid), 0);
}

TEST(MsgWait, StopAndContinueGoOn) {
  Queue queue;
  pid_t pid = fork_child([&] { EXPECT_EQ(queue.get(0, 0), "later"); });
  wait_until_blocked(pid);
  kill(pid, SIGSTOP);
  wait_for_state(pid, "T");
  kill(pid, SIGCONT);
  wait_until_blocked(pid);
  EXPECT_OK(queue.put(1, "later"));
  EXPECT_EXITED(wait_for(pid), 0);
}

TEST(MsgCopy, LeavesTheMessage) {
  Queue queue;
  MUST(queue.put(7, "first"));
  MUST(queue.put(8, "second"));
  std::string copy = queue.get(1, MSG_COPY | IPC_NOWAIT);
  if (copy == "(ENOSYS)") SKIP("the kernel has no MSG_COPY");
  EXPECT_EQ(copy, "second");
  EXPECT_EQ(queue.get(0, MSG_COPY | IPC_NOWAIT), "first");
  EXPECT_EQ(queue.get(2, MSG_COPY | IPC_NOWAIT), "(ENOMSG)");
  EXPECT_EQ(queue.get(0, MSG_COPY), "(EINVAL)");
  EXPECT_EQ(queue.get(0, MSG_COPY | IPC_NOWAIT | MSG_NOERROR, 2), "(EINVAL)");
  EXPECT_EQ(queue.get(0, MSG_COPY | MSG_EXCEPT | IPC_NOWAIT), "(EINVAL)");
  EXPECT_EQ(queue.stat().msg_qnum, 2u);
}

TEST(MsgLimits, SizesAndQbytes) {
  Queue queue;
  EXPECT_OK(queue.put(1, std::string(8192, 'x')));
  EXPECT_ERR(queue.put(1, std::string(8193, 'x')), EINVAL);
  EXPECT_ERR(msgrcv(queue.id, &queue, size_t(-1), 0, 0), EINVAL);
  EXPECT_EQ(queue.get(0).size(), 8192u);
  msqid_ds info = queue.stat();
  info.msg_qbytes = 2;
  EXPECT_OK(msgctl(queue.id, IPC_SET, &info));
  // Empty messages: as many as the queue has bytes.
  EXPECT_OK(queue.put(1, "", IPC_NOWAIT));
  EXPECT_OK(queue.put(1, "", IPC_NOWAIT));
  EXPECT_ERR(queue.put(1, "", IPC_NOWAIT), EAGAIN);
  EXPECT_EQ(queue.get(0), "");
  EXPECT_OK(queue.put(1, "ab", IPC_NOWAIT));
  EXPECT_ERR(queue.put(1, "c", IPC_NOWAIT), EAGAIN);
  EXPECT_EQ(queue.stat().__msg_cbytes, 2u);
}

TEST(MsgLimits, RaisingQbytesNeedsPrivilegeAndWakesSenders) {
  NEEDS_CAPABILITY(CAP_SYS_RESOURCE);
  Queue queue(0666);
  while (queue.put(1, std::string(8000, 'x'), IPC_NOWAIT) == 0) {
  }
  pid_t pid = fork_child([&] { EXPECT_OK(queue.put(2, std::string(8000, 'y'))); });
  wait_until_blocked(pid);
  msqid_ds info = queue.stat();
  info.msg_qbytes = 100000;
  EXPECT_EXITED(run_child([&] {
                  become_unprivileged();
                  EXPECT_ERR(msgctl(queue.id, IPC_SET, &info), EPERM);
                }),
                0);
  EXPECT_OK(msgctl(queue.id, IPC_SET, &info));
  EXPECT_EXITED(wait_for(pid), 0);
}

TEST(MsgTypes, NegativeTakesTheLowest) {
  Queue queue;
  MUST(queue.put(9, "nine"));
  MUST(queue.put(4, "four"));
  MUST(queue.put(4, "again"));
  MUST(queue.put(6, "six"));
  EXPECT_EQ(queue.get(-3), "(ENOMSG)");
  EXPECT_EQ(queue.get(-8), "four");
  EXPECT_EQ(queue.get(-8), "again");
  EXPECT_EQ(queue.get(long(1ul << 63)), "six");
  EXPECT_EQ(queue.get(9, IPC_NOWAIT | MSG_EXCEPT), "(ENOMSG)");
}

TEST(MsgErrors, BadAddressLosesNothingOnSend) {
  Queue queue;
  EXPECT_ERR(msgsnd(queue.id, reinterpret_cast<void*>(8), 4, 0), EFAULT);
  EXPECT_EQ(queue.stat().msg_qnum, 0u);
  MUST(queue.put(1, "x"));
  EXPECT_ERR(msgrcv(queue.id, reinterpret_cast<void*>(8), 4, 0, 0), EFAULT);
  EXPECT_ERR(msgctl(queue.id, 99, nullptr), EINVAL);
}

TEST(MsgErrors, Permissions) {
  NEEDS_CAPABILITY(CAP_SETUID);
  Queue queue(0602);
  MUST(queue.put(1, "secret"));
  EXPECT_EXITED(run_child([&] {
                  become_unprivileged();
                  EXPECT_OK(queue.put(1, "letter"));
                  EXPECT_EQ(queue.get(0), "(EACCES)");
                  EXPECT_ERR(msgctl(queue.id, IPC_RMID, nullptr), EPERM);
                  msqid_ds info;
                  EXPECT_ERR(msgctl(queue.id, IPC_STAT, &info), EACCES);
                  EXPECT_OK(msgctl(queue.id % 32768, 13 /* MSG_STAT_ANY */, &info));
                }),
                0);
}

TEST(MsgStat, TimesAndProcesses) {
  Queue queue;
  msqid_ds info = queue.stat();
  EXPECT_EQ(info.msg_qbytes, std::stoul(read_file("/proc/sys/kernel/msgmnb")));
  EXPECT_EQ(info.msg_stime, 0);
  EXPECT_EQ(info.msg_lspid, 0);
  MUST(queue.put(1, "x"));
  EXPECT_EQ(queue.stat().msg_lspid, getpid());
  EXPECT_GE(queue.stat().msg_stime, time(nullptr) - 5);
  EXPECT_EQ(queue.get(0), "x");
  EXPECT_EQ(queue.stat().msg_lrpid, getpid());
  msginfo totals = {};
  int highest = MUST(msgctl(0, MSG_INFO, reinterpret_cast<msqid_ds*>(&totals)));
  EXPECT_GE(totals.msgpool, 1);
  bool found = false;
  for (int slot = 0; slot <= highest; ++slot) found |= msgctl(slot, MSG_STAT, &info) == queue.id;
  EXPECT_TRUE(found);
  MUST(msgctl(0, IPC_INFO, reinterpret_cast<msqid_ds*>(&totals)));
  EXPECT_EQ(totals.msgmax, 8192);
  EXPECT_EQ(totals.msgseg, 65535);
  char start[64];
  snprintf(start, sizeof start, "\n%10d %10d  %4o ", 0, queue.id, 0600);
  EXPECT_TRUE(read_file("/proc/sysvipc/msg").find(start) != std::string::npos);
}

}  // namespace
