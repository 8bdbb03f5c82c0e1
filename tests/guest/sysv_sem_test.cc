// System V semaphores beyond sysv_ipc_test: undo, order, time limits, signals, permissions.
#include <linux/capability.h>
#include <sched.h>
#include <sys/ipc.h>
#include <sys/sem.h>

#include "tests/guest/harness.h"

namespace {

using namespace guest;

struct Sem {
  explicit Sem(int n, int mode = 0600) : id(must_id(semget(IPC_PRIVATE, n, IPC_CREAT | mode))) {}
  ~Sem() { semctl(id, 0, IPC_RMID); }
  static int must_id(int id) { return MUST(id); }
  int operate(short number, short change, short flags = 0) {
    sembuf operation = {static_cast<unsigned short>(number), change, flags};
    return semop(id, &operation, 1);
  }
  int value(int number = 0) { return semctl(id, number, GETVAL); }
  void set(int number, int value) { MUST(semctl(id, number, SETVAL, value)); }
  int id;
};

TEST(SemUndo, ThreadsShareOneList) {
  Sem sem(1);
  sem.set(0, 5);
  EXPECT_EXITED(run_child([&] {
                  Thread([&] { EXPECT_OK(sem.operate(0, -1, SEM_UNDO)); }).join();
                  EXPECT_EQ(sem.value(), 4);  // The thread's end gives nothing back yet.
                  EXPECT_OK(sem.operate(0, -1, SEM_UNDO));
                }),
                0);
  EXPECT_EQ(sem.value(), 5);
}

TEST(SemUndo, ForkedChildHasItsOwn) {
  Sem sem(1);
  sem.set(0, 5);
  EXPECT_EXITED(run_child([&] {
                  EXPECT_OK(sem.operate(0, -2, SEM_UNDO));
                  EXPECT_EXITED(run_child([] {}), 0);
                  EXPECT_EQ(sem.value(), 3);
                }),
                0);
  EXPECT_EQ(sem.value(), 5);
}

TEST(SemUndo, SurvivesExec) {
  Sem sem(1);
  sem.set(0, 5);
  pid_t pid = fork_child([&] {
    EXPECT_OK(sem.operate(0, -2, SEM_UNDO));
    execl("/bin/sleep", "sleep", "100", nullptr);
  });
  while (sem.value() != 3) usleep(1000);
  wait_until_blocked(pid);
  EXPECT_EQ(sem.value(), 3);
  kill(pid, SIGKILL);
  wait_for(pid);
  EXPECT_EQ(sem.value(), 5);
}

TEST(SemUndo, UnshareGivesBackAtOnce) {
  Sem sem(1);
  sem.set(0, 5);
  EXPECT_OK(sem.operate(0, -2, SEM_UNDO));
  EXPECT_OK(unshare(CLONE_SYSVSEM));
  EXPECT_EQ(sem.value(), 5);
}

TEST(SemUndo, SetvalForgets) {
  Sem sem(2);
  sem.set(0, 5);
  sem.set(1, 5);
  EXPECT_EXITED(run_child([&] {
                  EXPECT_OK(sem.operate(0, -2, SEM_UNDO));
                  EXPECT_OK(sem.operate(1, -2, SEM_UNDO));
                  sem.set(0, 9);
                }),
                0);
  EXPECT_EQ(sem.value(0), 9);
  EXPECT_EQ(sem.value(1), 5);
}

TEST(SemUndo, NeverBelowZero) {
  Sem sem(1);
  EXPECT_EXITED(run_child([&] {
                  EXPECT_OK(sem.operate(0, 3, SEM_UNDO));
                  EXPECT_OK(sem.operate(0, -2));
                }),
                0);
  EXPECT_EQ(sem.value(), 0);
}

TEST(SemUndo, WakesWhoWaits) {
  Sem sem(1);
  sem.set(0, 1);
  pid_t holder = fork_child([&] {
    EXPECT_OK(sem.operate(0, -1, SEM_UNDO));
    pause();
  });
  wait_until_blocked(holder);
  pid_t waiter = fork_child([&] { EXPECT_OK(sem.operate(0, -1)); });
  wait_until_blocked(waiter);
  kill(holder, SIGKILL);
  EXPECT_EXITED(wait_for(waiter), 0);
}

TEST(SemUndo, OfAWaitingCall) {
  Sem sem(1);
  pid_t pid = fork_child([&] { EXPECT_OK(sem.operate(0, -1, SEM_UNDO)); });
  wait_until_blocked(pid);
  EXPECT_OK(sem.operate(0, 1));
  EXPECT_EXITED(wait_for(pid), 0);
  EXPECT_EQ(sem.value(), 1);
}

TEST(SemWait, FirstComeFirstServed) {
  Sem sem(1);
  pid_t pids[3];
  for (pid_t& pid : pids) {
    pid = fork_child([&] { EXPECT_OK(sem.operate(0, -1)); });
    wait_until_blocked(pid);
  }
  for (pid_t pid : pids) {
    EXPECT_OK(sem.operate(0, 1));
    EXPECT_EXITED(wait_for(pid), 0);
  }
}

TEST(SemWait, SmallWishesPassLargeOnes) {
  Sem sem(1);
  pid_t large = fork_child([&] { EXPECT_OK(sem.operate(0, -3)); });
  wait_until_blocked(large);
  pid_t small = fork_child([&] { EXPECT_OK(sem.operate(0, -1)); });
  wait_until_blocked(small);
  EXPECT_EQ(semctl(sem.id, 0, GETNCNT), 2);
  EXPECT_OK(sem.operate(0, 1));
  EXPECT_EXITED(wait_for(small), 0);
  EXPECT_OK(sem.operate(0, 3));
  EXPECT_EXITED(wait_for(large), 0);
}

TEST(SemWait, ForZeroComesBeforeTheRest) {
  Sem sem(1);
  sem.set(0, 1);
  pid_t zero = fork_child([&] { EXPECT_OK(sem.operate(0, 0)); });
  wait_until_blocked(zero);
  // Passes through zero within one call: nobody sees that.
  sembuf through[2] = {{0, -1, 0}, {0, 1, 0}};
  EXPECT_OK(semop(sem.id, through, 2));
  EXPECT_EQ(semctl(sem.id, 0, GETZCNT), 1);
  EXPECT_OK(sem.operate(0, -1));
  EXPECT_EXITED(wait_for(zero), 0);
}

TEST(SemWait, CountsTheFirstThatBlocks) {
  Sem sem(2);
  pid_t pid = fork_child([&] {
    sembuf both[2] = {{0, -1, 0}, {1, -1, 0}};
    EXPECT_OK(semop(sem.id, both, 2));
  });
  wait_until_blocked(pid);
  EXPECT_EQ(semctl(sem.id, 0, GETNCNT), 1);
  EXPECT_EQ(semctl(sem.id, 1, GETNCNT), 0);
  EXPECT_OK(sem.operate(0, 1));
  EXPECT_EQ(semctl(sem.id, 0, GETNCNT), 0);
  EXPECT_EQ(semctl(sem.id, 1, GETNCNT), 1);
  EXPECT_EQ(sem.value(0), 1);
  EXPECT_OK(sem.operate(1, 1));
  EXPECT_EXITED(wait_for(pid), 0);
  EXPECT_EQ(sem.value(0), 0);
}

TEST(SemWait, SetallWakes) {
  Sem sem(2);
  pid_t pid = fork_child([&] { EXPECT_OK(sem.operate(1, -4)); });
  wait_until_blocked(pid);
  unsigned short values[2] = {1, 6};
  EXPECT_OK(semctl(sem.id, 0, SETALL, values));
  EXPECT_EXITED(wait_for(pid), 0);
  EXPECT_EQ(sem.value(1), 2);
}

TEST(SemWait, SignalIsEintrDespiteRestart) {
  Sem sem(1);
  pid_t pid = fork_child([&] {
    handle_signal(SIGUSR1, [](int) {}, SA_RESTART);
    EXPECT_ERR(sem.operate(0, -1), EINTR);
    EXPECT_EQ(semctl(sem.id, 0, GETNCNT), 0);
  });
  wait_until_blocked(pid);
  kill(pid, SIGUSR1);
  EXPECT_EXITED(wait_for(pid), 0);
}

TEST(SemWait, TimesOutAndLeaves) {
  Sem sem(1);
  sembuf operation = {0, -1, 0};
  timespec limit = ms_to_timespec(30);
  int64_t begin = now_ms();
  EXPECT_ERR(semtimedop(sem.id, &operation, 1, &limit), EAGAIN);
  EXPECT_GE(now_ms() - begin, 30);
  EXPECT_EQ(semctl(sem.id, 0, GETNCNT), 0);
  timespec wrong = {0, 1000000000};
  EXPECT_ERR(semtimedop(sem.id, &operation, 1, &wrong), EINVAL);
  pid_t pid = fork_child([&] {
    timespec long_time = ms_to_timespec(8000);
    EXPECT_OK(semtimedop(sem.id, &operation, 1, &long_time));
  });
  wait_until_blocked(pid);
  EXPECT_OK(sem.operate(0, 1));
  EXPECT_EXITED(wait_for(pid), 0);
}

TEST(SemErrors, OfOperations) {
  Sem sem(1);
  sembuf one = {0, 1, 0};
  EXPECT_ERR(semop(sem.id, &one, 0), EINVAL);
  EXPECT_ERR(semop(sem.id, &one, 501), E2BIG);
  EXPECT_ERR(semop(-1, &one, 1), EINVAL);
  EXPECT_ERR(semop(sem.id, reinterpret_cast<sembuf*>(8), 1), EFAULT);
  sem.set(0, 32767);
  EXPECT_ERR(sem.operate(0, 1), ERANGE);
  EXPECT_ERR(semctl(sem.id, 0, SETVAL, -1), ERANGE);
  EXPECT_ERR(semctl(sem.id, 1, SETVAL, 1), EINVAL);
  EXPECT_ERR(semctl(sem.id, 0, 77), EINVAL);
  EXPECT_ERR(semget(IPC_PRIVATE, 32001, 0600), EINVAL);
  sem.set(0, 0);
  EXPECT_OK(sem.operate(0, 32767, SEM_UNDO));
  EXPECT_OK(sem.operate(0, -10));
  EXPECT_ERR(sem.operate(0, 2, SEM_UNDO), ERANGE);
}

TEST(SemErrors, KeysAndSizes) {
  key_t key = 0x55537000 + getpid() % 4096;
  int id = MUST(semget(key, 3, IPC_CREAT | IPC_EXCL | 0600));
  EXPECT_EQ(semget(key, 2, 0), id);
  EXPECT_EQ(semget(key, 0, 0), id);
  EXPECT_ERR(semget(key, 4, 0), EINVAL);
  EXPECT_ERR(semget(key, 3, IPC_CREAT | IPC_EXCL), EEXIST);
  MUST(semctl(id, 0, IPC_RMID));
  EXPECT_ERR(semget(key, 3, 0), ENOENT);
}

TEST(SemErrors, PermissionsOfReadingAndAltering) {
  NEEDS_CAPABILITY(CAP_SETUID);
  Sem sem(1, 0604);
  EXPECT_EXITED(run_child([&] {
                  become_unprivileged();
                  EXPECT_EQ(sem.value(), 0);
                  EXPECT_OK(sem.operate(0, 0));
                  EXPECT_ERR(sem.operate(0, 1), EACCES);
                  EXPECT_ERR(semctl(sem.id, 0, SETVAL, 1), EACCES);
                  EXPECT_ERR(semctl(sem.id, 0, IPC_RMID), EPERM);
                }),
                0);
}

TEST(SemStat, TimesAndNumbers) {
  Sem sem(4, 0640);
  semid_ds info = {};
  MUST(semctl(sem.id, 0, IPC_STAT, &info));
  EXPECT_EQ(info.sem_nsems, 4u);
  EXPECT_EQ(info.sem_otime, 0);
  EXPECT_GE(info.sem_ctime, time(nullptr) - 5);
  EXPECT_EQ(info.sem_perm.mode, 0640);
  EXPECT_OK(sem.operate(2, 1));
  MUST(semctl(sem.id, 0, IPC_STAT, &info));
  EXPECT_GE(info.sem_otime, time(nullptr) - 5);
  EXPECT_EQ(semctl(sem.id, 2, GETPID), getpid());
  EXPECT_EQ(semctl(sem.id, 1, GETPID), 0);
  seminfo totals = {};
  int highest = MUST(semctl(0, 0, SEM_INFO, &totals));
  EXPECT_GE(totals.semusz, 1);
  EXPECT_GE(totals.semaem, 4);
  bool found = false;
  for (int slot = 0; slot <= highest; ++slot) found |= semctl(slot, 0, SEM_STAT, &info) == sem.id;
  EXPECT_TRUE(found);
  char start[64];
  snprintf(start, sizeof start, "\n%10d %10d  %4o %10d ", 0, sem.id, 0640, 4);
  EXPECT_TRUE(read_file("/proc/sysvipc/sem").find(start) != std::string::npos);
}

}  // namespace
