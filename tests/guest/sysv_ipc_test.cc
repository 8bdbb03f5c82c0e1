// System V shared memory, semaphores and message queues.
#include <linux/capability.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

#include "tests/guest/harness.h"

namespace {

using namespace guest;

// Objects outlive their process, so each is removed at the end of its scope.
struct Shm {
  explicit Shm(size_t size, key_t key = IPC_PRIVATE, int flags = IPC_CREAT | 0600)
      : id(MUST_id(shmget(key, size, flags))) {}
  ~Shm() { shmctl(id, IPC_RMID, nullptr); }
  static int MUST_id(int id) { return MUST(id); }
  int id;
};

struct Sem {
  explicit Sem(int n) : id(Shm::MUST_id(semget(IPC_PRIVATE, n, IPC_CREAT | 0600))) {}
  ~Sem() { semctl(id, 0, IPC_RMID); }
  int operate(short number, short change, short flags = 0) {
    sembuf operation = {static_cast<unsigned short>(number), change, flags};
    return semop(id, &operation, 1);
  }
  int value(int number = 0) { return semctl(id, number, GETVAL); }
  void set(int number, int value) { MUST(semctl(id, number, SETVAL, value)); }
  int id;
};

struct Queue {
  Queue() : id(Shm::MUST_id(msgget(IPC_PRIVATE, IPC_CREAT | 0600))) {}
  ~Queue() { msgctl(id, IPC_RMID, nullptr); }
  struct Message {
    long type;
    char text[64];
  };
  int put(long type, const char* text, int flags = 0) {
    Message message = {type, {}};
    strcpy(message.text, text);
    return msgsnd(id, &message, strlen(text), flags);
  }
  std::string get(long type, int flags = IPC_NOWAIT, size_t size = 64) {
    Message message = {};
    ssize_t n = msgrcv(id, &message, size, type, flags);
    return n < 0 ? "(" + describe_errno(errno) + ")" : std::string(message.text, n);
  }
  int id;
};

TEST(Shm, SharedBetweenProcesses) {
  Shm shm(4096);
  auto* area = static_cast<char*>(MUST(shmat(shm.id, nullptr, 0)));
  EXPECT_EQ(area[0], 0);
  EXPECT_EXITED(run_child([&] { area[0] = 'c'; }), 0);
  EXPECT_EQ(area[0], 'c');
  EXPECT_OK(shmdt(area));
  EXPECT_ERR(shmdt(area), EINVAL);
}

TEST(Shm, StatCountsAttachments) {
  Shm shm(5000);
  shmid_ds info = {};
  EXPECT_OK(shmctl(shm.id, IPC_STAT, &info));
  EXPECT_EQ(info.shm_segsz, 5000u);
  EXPECT_EQ(info.shm_nattch, 0u);
  EXPECT_EQ(info.shm_cpid, getpid());
  EXPECT_EQ(info.shm_perm.mode & 0777, 0600);
  void* first = MUST(shmat(shm.id, nullptr, 0));
  void* second = MUST(shmat(shm.id, nullptr, SHM_RDONLY));
  EXPECT_TRUE(first != second);
  MUST(shmctl(shm.id, IPC_STAT, &info));
  EXPECT_EQ(info.shm_nattch, 2u);
  EXPECT_EXITED(run_child([&] {
                  shmid_ds now = {};
                  MUST(shmctl(shm.id, IPC_STAT, &now));
                  EXPECT_EQ(now.shm_nattch, 4u);
                }),
                0);
  MUST(shmctl(shm.id, IPC_STAT, &info));
  EXPECT_EQ(info.shm_nattch, 2u);
}

TEST(Shm, RemovedWhenTheLastDetaches) {
  int id = MUST(shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600));
  auto* area = static_cast<char*>(MUST(shmat(id, nullptr, 0)));
  EXPECT_OK(shmctl(id, IPC_RMID, nullptr));
  area[0] = 1;
  shmid_ds info = {};
  EXPECT_OK(shmctl(id, IPC_STAT, &info));
  EXPECT_TRUE(info.shm_perm.mode & SHM_DEST);
  EXPECT_OK(shmdt(area));
  errno = 0;
  EXPECT_EQ(shmctl(id, IPC_STAT, &info), -1);
  EXPECT_TRUE(errno == EINVAL || errno == EIDRM);
}

TEST(Shm, Keys) {
  key_t key = 0x55534b00 + getpid() % 256;
  Shm shm(4096, key, IPC_CREAT | IPC_EXCL | 0600);
  EXPECT_EQ(shmget(key, 4096, 0), shm.id);
  EXPECT_ERR(shmget(key, 4096, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
  EXPECT_ERR(shmget(key, 8192, 0), EINVAL);
  EXPECT_ERR(shmget(key + 7777, 4096, 0), ENOENT);
  EXPECT_ERR(shmget(IPC_PRIVATE, 0, IPC_CREAT | 0600), EINVAL);
}

TEST(Shm, AttachErrors) {
  Shm shm(4096);
  EXPECT_ERR(shmat(-1, nullptr, 0), EINVAL);
  EXPECT_ERR(shmat(shm.id, reinterpret_cast<void*>(0x10001), 0), EINVAL);
  EXPECT_KILLED(run_child([&] {
                  auto* area = static_cast<volatile char*>(shmat(shm.id, nullptr, SHM_RDONLY));
                  area[0] = 1;
                }),
                SIGSEGV);
}

TEST(Shm, PermissionsAreChecked) {
  NEEDS_CAPABILITY(CAP_SETUID);
  Shm shm(4096);
  EXPECT_EXITED(run_child([&] {
                  become_unprivileged();
                  EXPECT_ERR(shmat(shm.id, nullptr, 0), EACCES);
                  EXPECT_ERR(shmctl(shm.id, IPC_RMID, nullptr), EPERM);
                }),
                0);
}

TEST(Sem, CountsAndWouldBlock) {
  Sem sem(2);
  EXPECT_EQ(sem.value(), 0);
  EXPECT_OK(sem.operate(0, 3));
  EXPECT_EQ(sem.value(), 3);
  EXPECT_OK(sem.operate(0, -2));
  EXPECT_ERR(sem.operate(0, -2, IPC_NOWAIT), EAGAIN);
  EXPECT_ERR(sem.operate(0, 0, IPC_NOWAIT), EAGAIN);
  EXPECT_OK(sem.operate(1, 0, IPC_NOWAIT));
  EXPECT_ERR(sem.operate(2, 1), EFBIG);
}

TEST(Sem, OperationsAreAllOrNothing) {
  Sem sem(2);
  sembuf operations[2] = {{0, 5, IPC_NOWAIT}, {1, -1, IPC_NOWAIT}};
  EXPECT_ERR(semop(sem.id, operations, 2), EAGAIN);
  EXPECT_EQ(sem.value(0), 0);
  sem.set(1, 1);
  EXPECT_OK(semop(sem.id, operations, 2));
  EXPECT_EQ(sem.value(0), 5);
}

TEST(Sem, WaiterIsWoken) {
  Sem sem(1);
  pid_t pid = fork_child([&] { EXPECT_OK(sem.operate(0, -2)); });
  wait_until_blocked(pid);
  EXPECT_EQ(semctl(sem.id, 0, GETNCNT), 1);
  EXPECT_OK(sem.operate(0, 1));
  EXPECT_EQ(waitpid(pid, nullptr, WNOHANG), 0);
  EXPECT_OK(sem.operate(0, 1));
  EXPECT_EXITED(wait_for(pid), 0);
  EXPECT_EQ(sem.value(), 0);
  EXPECT_EQ(semctl(sem.id, 0, GETPID), pid);
}

TEST(Sem, WaitForZero) {
  Sem sem(1);
  sem.set(0, 1);
  pid_t pid = fork_child([&] { EXPECT_OK(sem.operate(0, 0)); });
  wait_until_blocked(pid);
  EXPECT_EQ(semctl(sem.id, 0, GETZCNT), 1);
  EXPECT_OK(sem.operate(0, -1));
  EXPECT_EXITED(wait_for(pid), 0);
}

TEST(Sem, UndoAtExit) {
  Sem sem(1);
  sem.set(0, 5);
  EXPECT_EXITED(run_child([&] { EXPECT_OK(sem.operate(0, -3, SEM_UNDO)); }), 0);
  EXPECT_EQ(sem.value(), 5);
}

TEST(Sem, TimedOut) {
  Sem sem(1);
  sembuf operation = {0, -1, 0};
  timespec limit = ms_to_timespec(20);
  EXPECT_ERR(semtimedop(sem.id, &operation, 1, &limit), EAGAIN);
}

TEST(Sem, RemovalWakesWithEidrm) {
  auto* sem = new Sem(1);
  pid_t pid = fork_child([&] { EXPECT_ERR(sem->operate(0, -1), EIDRM); });
  wait_until_blocked(pid);
  delete sem;
  EXPECT_EXITED(wait_for(pid), 0);
}

TEST(Sem, GetallSetall) {
  Sem sem(3);
  unsigned short values[3] = {7, 8, 9}, got[3];
  EXPECT_OK(semctl(sem.id, 0, SETALL, values));
  EXPECT_OK(semctl(sem.id, 0, GETALL, got));
  EXPECT_EQ(got[2], 9);
  EXPECT_ERR(semctl(sem.id, 0, SETVAL, 40000), ERANGE);
  EXPECT_ERR(semctl(sem.id, 9, GETVAL), EINVAL);
  EXPECT_ERR(semget(IPC_PRIVATE, 0, 0600), EINVAL);
}

TEST(Msg, TypesSelect) {
  Queue queue;
  EXPECT_OK(queue.put(1, "one"));
  EXPECT_OK(queue.put(3, "three"));
  EXPECT_OK(queue.put(2, "two"));
  EXPECT_EQ(queue.get(3), "three");
  EXPECT_EQ(queue.get(-2), "one");
  EXPECT_EQ(queue.get(0), "two");
  EXPECT_EQ(queue.get(0), "(ENOMSG)");
}

TEST(Msg, ExceptAndTooBig) {
  Queue queue;
  EXPECT_OK(queue.put(1, "one"));
  EXPECT_OK(queue.put(2, "second"));
  EXPECT_EQ(queue.get(1, IPC_NOWAIT | MSG_EXCEPT), "second");
  EXPECT_EQ(queue.get(0, IPC_NOWAIT, 2), "(E2BIG)");
  EXPECT_EQ(queue.get(0, IPC_NOWAIT | MSG_NOERROR, 2), "on");
}

TEST(Msg, ReceiverIsWoken) {
  Queue queue;
  pid_t pid = fork_child([&] { EXPECT_EQ(queue.get(5, 0), "hi"); });
  wait_until_blocked(pid);
  EXPECT_OK(queue.put(4, "other"));
  EXPECT_OK(queue.put(5, "hi"));
  EXPECT_EXITED(wait_for(pid), 0);
}

TEST(Msg, FullQueueIsEagain) {
  Queue queue;
  msqid_ds info = {};
  EXPECT_OK(msgctl(queue.id, IPC_STAT, &info));
  EXPECT_EQ(info.msg_qnum, 0u);
  int sent = 0;
  std::string text(60, 'x');
  while (sent < 100000 && queue.put(1, text.c_str(), IPC_NOWAIT) == 0) ++sent;
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_OK(msgctl(queue.id, IPC_STAT, &info));
  EXPECT_EQ(info.msg_qnum, unsigned(sent));
}

TEST(Msg, Errors) {
  Queue queue;
  EXPECT_ERR(queue.put(0, "x"), EINVAL);
  EXPECT_ERR(queue.put(-1, "x"), EINVAL);
  Queue::Message message = {1, "x"};
  EXPECT_ERR(msgsnd(-1, &message, 1, 0), EINVAL);
  EXPECT_ERR(msgget(0x12345678, 0), ENOENT);
}

}  // namespace
