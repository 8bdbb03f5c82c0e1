// System V shared memory beyond sysv_ipc_test: counting of attachments, places, permissions,
// identifiers, what tells of segments, ipc namespaces.
#include <linux/capability.h>
#include <sched.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>

#include "tests/guest/harness.h"

namespace {

using namespace guest;

constexpr size_t kPage = 4096;

struct Shm {
  explicit Shm(size_t size, key_t key = IPC_PRIVATE, int flags = IPC_CREAT | 0600)
      : id(must_id(shmget(key, size, flags))) {}
  ~Shm() { shmctl(id, IPC_RMID, nullptr); }
  static int must_id(int id) { return MUST(id); }
  shmid_ds stat() const {
    shmid_ds info = {};
    MUST(shmctl(id, IPC_STAT, &info));
    return info;
  }
  int attached() const { return int(stat().shm_nattch); }
  char* attach(int flags = 0, void* at = nullptr) const {
    return static_cast<char*>(MUST(shmat(id, at, flags)));
  }
  int id;
};

TEST(ShmCount, ForkExitAndKill) {
  Shm shm(kPage);
  shm.attach();
  pid_t pid = fork_child([] { pause(); });
  EXPECT_EQ(shm.attached(), 2);
  kill(pid, SIGKILL);
  wait_for(pid);
  EXPECT_EQ(shm.attached(), 1);
  EXPECT_EQ(shm.stat().shm_lpid, pid);
}

TEST(ShmCount, ExecDetaches) {
  Shm shm(kPage);
  EXPECT_EXITED(run_child([&] {
                  shm.attach();
                  close(1);
                  execl("/proc/self/exe", "x", "--list", nullptr);
                }),
                0);
  EXPECT_EQ(shm.attached(), 0);
}

TEST(ShmCount, EachAreaCounts) {
  Shm shm(4 * kPage);
  char* area = shm.attach();
  MUST(munmap(area + kPage, kPage));
  EXPECT_EQ(shm.attached(), 2);
  MUST(mprotect(area + 3 * kPage, kPage, PROT_READ));
  EXPECT_EQ(shm.attached(), 3);
  MUST(mprotect(area + 3 * kPage, kPage, PROT_READ | PROT_WRITE));
  int together = shm.attached();
  EXPECT_TRUE(together == 2 || together == 3);
  EXPECT_OK(shmdt(area));
  EXPECT_EQ(shm.attached(), 0);
}

TEST(ShmCount, DetachWithoutTheFirstPage) {
  Shm shm(3 * kPage);
  char* area = shm.attach();
  MUST(munmap(area, kPage));
  EXPECT_EQ(shm.attached(), 1);
  EXPECT_ERR(shmdt(area + kPage), EINVAL);
  EXPECT_OK(shmdt(area));
  EXPECT_EQ(shm.attached(), 0);
}

TEST(ShmCount, MremapMovesAndGrows) {
  Shm shm(2 * kPage);
  char* area = shm.attach();
  area[kPage] = 'm';
  auto* other = static_cast<char*>(
      MUST(mmap(nullptr, 4 * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)));
  auto* moved = static_cast<char*>(
      MUST(mremap(area, 2 * kPage, 2 * kPage, MREMAP_MAYMOVE | MREMAP_FIXED, other)));
  EXPECT_EQ(moved[kPage], 'm');
  EXPECT_EQ(shm.attached(), 1);
  MUST(munmap(other + 2 * kPage, 2 * kPage));
  MUST(mremap(moved, 2 * kPage, 3 * kPage, 0));
  EXPECT_EQ(shm.attached(), 1);
  EXPECT_OK(shmdt(moved));
  EXPECT_EQ(shm.attached(), 0);
}

TEST(ShmCount, UnmappingRemovesADeletedSegment) {
  int id = MUST(shmget(IPC_PRIVATE, kPage, IPC_CREAT | 0600));
  void* area = MUST(shmat(id, nullptr, 0));
  MUST(shmctl(id, IPC_RMID, nullptr));
  void* again = MUST(shmat(id, nullptr, 0));  // It is still there.
  MUST(munmap(area, kPage));
  MUST(munmap(again, kPage));
  EXPECT_ERR(shmat(id, nullptr, 0), EINVAL);
}

TEST(ShmAttach, PlacesAndRounding) {
  Shm shm(kPage);
  auto* room = static_cast<char*>(
      MUST(mmap(nullptr, 2 * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)));
  EXPECT_ERR(shmat(shm.id, room, 0), EINVAL);  // Something is there.
  EXPECT_TRUE(shm.attach(SHM_REMAP, room) == room);
  EXPECT_OK(shmdt(room));
  EXPECT_TRUE(shm.attach(SHM_RND, room + 7) == room);
  EXPECT_ERR(shmat(shm.id, nullptr, SHM_REMAP), EINVAL);
  EXPECT_OK(shmdt(room));
  EXPECT_ERR(shmdt(room + 7), EINVAL);
}

TEST(ShmAttach, ReadOnlyStaysSo) {
  Shm shm(kPage);
  char* area = shm.attach(SHM_RDONLY);
  EXPECT_ERR(mprotect(area, kPage, PROT_READ | PROT_WRITE), EACCES);
}

TEST(ShmAttach, Executable) {
  Shm shm(kPage, IPC_PRIVATE, IPC_CREAT | 0700);
  char* code = shm.attach();
  code[0] = char(0xc3);
  reinterpret_cast<void (*)()>(shm.attach(SHM_EXEC))();
}

TEST(ShmAttach, MapsShowsKeyAndIdentifier) {
  key_t key = 0x55534000 + getpid() % 4096;
  Shm shm(kPage, key);
  shm.attach();
  char name[40];
  snprintf(name, sizeof name, "/SYSV%08x (deleted)", unsigned(key));
  std::string maps = read_file("/proc/self/maps");
  size_t at = maps.find(name);
  ASSERT_TRUE(at != std::string::npos);
  std::string line = maps.substr(maps.rfind('\n', at) + 1, at - maps.rfind('\n', at) - 1);
  EXPECT_TRUE(line.find(" rw-s 00000000 ") != std::string::npos);
  EXPECT_TRUE(line.find(" " + std::to_string(shm.id) + " ") != std::string::npos);
}

TEST(ShmAttach, FutexesInIt) {
  Shm shm(kPage);
  auto* word = reinterpret_cast<int*>(shm.attach());
  auto* other = reinterpret_cast<int*>(shm.attach());
  pid_t pid = fork_child([&] { syscall(SYS_futex, other, 0 /* FUTEX_WAIT */, 0, nullptr); });
  wait_until_blocked(pid);
  EXPECT_EQ(syscall(SYS_futex, word, 1 /* FUTEX_WAKE */, 1), 1);
  EXPECT_EXITED(wait_for(pid), 0);
}

TEST(ShmControl, SetChangesOwnerAndBits) {
  NEEDS_CAPABILITY(CAP_SETUID);
  Shm shm(kPage);
  shmid_ds info = shm.stat();
  info.shm_perm.uid = 65534;
  info.shm_perm.mode = 01640;
  EXPECT_OK(shmctl(shm.id, IPC_SET, &info));
  info = shm.stat();
  EXPECT_EQ(info.shm_perm.uid, 65534u);
  EXPECT_EQ(info.shm_perm.cuid, 0u);
  EXPECT_EQ(info.shm_perm.mode, 0640);
  EXPECT_EXITED(run_child([&] {
                  MUST(setresgid(65534, 65534, 65534));
                  MUST(setresuid(65534, 65534, 65534));
                  EXPECT_OK(shmat(shm.id, nullptr, 0));
                  shmid_ds mine = shm.stat();
                  mine.shm_perm.mode = 0400;
                  EXPECT_OK(shmctl(shm.id, IPC_SET, &mine));
                  EXPECT_ERR(shmat(shm.id, nullptr, 0), EACCES);
                  EXPECT_OK(shmat(shm.id, nullptr, SHM_RDONLY));
                  EXPECT_ERR(shmat(shm.id, nullptr, SHM_RDONLY | SHM_EXEC), EACCES);
                  EXPECT_OK(shmctl(shm.id, IPC_RMID, nullptr));
                }),
                0);
}

TEST(ShmControl, OthersMayNot) {
  NEEDS_CAPABILITY(CAP_SETUID);
  key_t key = 0x55535000 + getpid() % 4096;
  Shm shm(kPage, key, IPC_CREAT | 0604);
  EXPECT_EXITED(run_child([&] {
                  become_unprivileged();
                  shmid_ds info = shm.stat();
                  EXPECT_ERR(shmctl(shm.id, IPC_SET, &info), EPERM);
                  EXPECT_ERR(shmctl(shm.id, SHM_LOCK, nullptr), EPERM);
                  EXPECT_EQ(shmget(key, 0, 0), shm.id);
                  EXPECT_EQ(shmget(key, 0, 0444), shm.id);
                  EXPECT_ERR(shmget(key, 0, 0666), EACCES);
                }),
                0);
}

TEST(ShmControl, LockShowsInTheMode) {
  NEEDS_CAPABILITY(CAP_IPC_LOCK);
  Shm shm(kPage);
  EXPECT_OK(shmctl(shm.id, SHM_LOCK, nullptr));
  EXPECT_EQ(shm.stat().shm_perm.mode & SHM_LOCKED, SHM_LOCKED);
  EXPECT_OK(shmctl(shm.id, SHM_UNLOCK, nullptr));
  EXPECT_EQ(shm.stat().shm_perm.mode, 0600);
}

TEST(ShmControl, InfoAndStatBySlot) {
  Shm shm(3 * kPage + 1);
  shm_info info = {};
  int highest = MUST(shmctl(0, SHM_INFO, reinterpret_cast<shmid_ds*>(&info)));
  EXPECT_GE(info.used_ids, 1);
  EXPECT_GE(info.shm_tot, 4ul);
  bool found = false;
  for (int slot = 0; slot <= highest; ++slot) {
    shmid_ds one = {};
    int id = shmctl(slot, SHM_STAT, &one);
    if (id == shm.id) found = one.shm_segsz == 3 * kPage + 1;
    if (id == shm.id) EXPECT_EQ(shmctl(slot, 15 /* SHM_STAT_ANY */, &one), shm.id);
  }
  EXPECT_TRUE(found);
  shminfo limits = {};
  MUST(shmctl(0, IPC_INFO, reinterpret_cast<shmid_ds*>(&limits)));
  EXPECT_EQ(limits.shmmin, 1ul);
  EXPECT_EQ(std::to_string(limits.shmmax) + "\n", read_file("/proc/sys/kernel/shmmax"));
  EXPECT_ERR(shmctl(shm.id, 99, nullptr), EINVAL);
  EXPECT_ERR(shmctl(-1, IPC_STAT, nullptr), EINVAL);
  EXPECT_ERR(shmctl(shm.id, IPC_STAT, reinterpret_cast<shmid_ds*>(8)), EFAULT);
}

TEST(ShmControl, StaleIdentifiersAreTold) {
  int first = MUST(shmget(IPC_PRIVATE, kPage, IPC_CREAT | 0600));
  MUST(shmctl(first, IPC_RMID, nullptr));
  Shm second(kPage);
  EXPECT_NE(second.id, first);
  EXPECT_ERR(shmat(first, nullptr, 0), EINVAL);
}

TEST(ShmControl, ListedInProc) {
  Shm shm(kPage);
  shm.attach();
  std::string list = read_file("/proc/sysvipc/shm");
  EXPECT_TRUE(list.find("       key      shmid perms") == 0);
  char start[64];
  snprintf(start, sizeof start, "\n%10d %10d  %4o ", 0, shm.id, 0600);
  EXPECT_TRUE(list.find(start) != std::string::npos);
}

TEST(IpcNamespace, HasObjectsAndLimitsOfItsOwn) {
  NEEDS_CAPABILITY(CAP_SYS_ADMIN);
  key_t key = 0x55536000 + getpid() % 4096;
  Shm shm(kPage, key);
  char* area = shm.attach();
  EXPECT_EXITED(run_child([&] {
                  std::string before(64, 0), after(64, 0);
                  MUST(readlink("/proc/self/ns/ipc", before.data(), 64));
                  MUST(unshare(CLONE_NEWIPC));
                  MUST(readlink("/proc/self/ns/ipc", after.data(), 64));
                  EXPECT_NE(before, after);
                  EXPECT_ERR(shmget(key, 0, 0), ENOENT);
                  EXPECT_ERR(shmat(shm.id, nullptr, 0), EINVAL);
                  int mine = MUST(shmget(key, kPage, IPC_CREAT | 0600));
                  *static_cast<char*>(MUST(shmat(mine, nullptr, 0))) = 'i';
                  EXPECT_EQ(area[0], 0);
                  EXPECT_OK(shmdt(area));  // What was attached stays so.
                }),
                0);
  EXPECT_EQ(shm.attached(), 1);
  EXPECT_ERR(syscall(SYS_clone, CLONE_NEWIPC | CLONE_SYSVSEM | SIGCHLD, 0, 0, 0, 0), EINVAL);
}

TEST(IpcNamespace, LimitsAreWritable) {
  NEEDS_CAPABILITY(CAP_SYS_ADMIN);
  EXPECT_EXITED(run_child([&] {
                  MUST(unshare(CLONE_NEWIPC));
                  write_file("/proc/sys/kernel/shmmax", "8192\n");
                  EXPECT_EQ(read_file("/proc/sys/kernel/shmmax"), "8192\n");
                  EXPECT_ERR(shmget(IPC_PRIVATE, 8193, 0600), EINVAL);
                  EXPECT_OK(shmget(IPC_PRIVATE, 8192, 0600));
                  write_file("/proc/sys/kernel/shmall", "3");
                  EXPECT_OK(shmget(IPC_PRIVATE, 4096, 0600));
                  EXPECT_ERR(shmget(IPC_PRIVATE, 4096, 0600), ENOSPC);
                  write_file("/proc/sys/kernel/shmall", "1000");
                  write_file("/proc/sys/kernel/shmmni", "2");
                  EXPECT_ERR(shmget(IPC_PRIVATE, 4096, 0600), ENOSPC);
                  write_file("/proc/sys/kernel/sem", "5 7");
                  EXPECT_EQ(read_file("/proc/sys/kernel/sem"), "5\t7\t500\t32000\n");
                }),
                0);
}

}  // namespace
