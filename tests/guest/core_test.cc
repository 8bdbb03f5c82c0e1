// core(5), coredump_filter of proc_pid_coredump_filter(5), PR_SET_DUMPABLE.
#include <elf.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/procfs.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <vector>

#include "tests/guest/harness.h"

namespace {

using namespace guest;

// The host says where cores go, and these tests look for one called "core".
void need_plain_pattern() {
  if (read_file("/proc/sys/kernel/core_pattern") != "core\n") SKIP("core_pattern is not core");
  if (read_file("/proc/sys/kernel/core_uses_pid") != "0\n") SKIP("core_uses_pid is set");
}

void set_core_limit(rlim_t limit) {
  rlimit both = {limit, limit};
  MUST(setrlimit(RLIMIT_CORE, &both));
}

// A child that may dump ends in `body`; its wait status.
template <class F>
int crash(F body) {
  return run_child([&] {
    set_core_limit(RLIM_INFINITY);
    body();
  });
}

bool exists(const char* path) { return access(path, F_OK) == 0; }

// The file "core" taken apart.
class Core {
 public:
  Core() : bytes_(read_file("core")) {
    ASSERT_GE(bytes_.size(), sizeof(Elf64_Ehdr));
    header_ = at<Elf64_Ehdr>(0);
    ASSERT_EQ(memcmp(header_.e_ident, ELFMAG, SELFMAG), 0);
    EXPECT_EQ(header_.e_type, ET_CORE);
    EXPECT_EQ(header_.e_machine, EM_X86_64);
    for (int i = 0; i < header_.e_phnum; i++) {
      programs_.push_back(at<Elf64_Phdr>(header_.e_phoff + size_t(i) * sizeof(Elf64_Phdr)));
    }
    read_notes();
  }

  struct Note {
    uint32_t type;
    std::string contents;
  };
  std::vector<Note> notes(uint32_t type) const {
    std::vector<Note> out;
    for (const Note& n : notes_) {
      if (n.type == type) out.push_back(n);
    }
    return out;
  }
  const Note& first() const { return notes_.front(); }
  template <class T>
  static T as(const Note& n) {
    T v{};
    memcpy(&v, n.contents.data(), std::min(sizeof v, n.contents.size()));
    return v;
  }

  // How much of the area that holds `address` is in the file.
  size_t dumped(const void* address) const {
    const Elf64_Phdr* p = area_of(address);
    return p ? p->p_filesz : 0;
  }
  std::string memory(const void* address, size_t length) const {
    const Elf64_Phdr* p = area_of(address);
    if (!p) return "";
    const uint64_t skip = reinterpret_cast<uint64_t>(address) - p->p_vaddr;
    if (skip + length > p->p_filesz || p->p_offset + skip > bytes_.size()) return "";
    return bytes_.substr(p->p_offset + skip, length);
  }

 private:
  template <class T>
  T at(size_t offset) const {
    T v{};
    if (offset + sizeof v <= bytes_.size()) memcpy(&v, bytes_.data() + offset, sizeof v);
    return v;
  }
  const Elf64_Phdr* area_of(const void* address) const {
    const auto a = reinterpret_cast<uint64_t>(address);
    for (const Elf64_Phdr& p : programs_) {
      if (p.p_type == PT_LOAD && a >= p.p_vaddr && a - p.p_vaddr < p.p_memsz) return &p;
    }
    return nullptr;
  }
  void read_notes() {
    ASSERT_EQ(programs_.at(0).p_type, uint32_t(PT_NOTE));
    size_t offset = programs_[0].p_offset;
    const size_t end = offset + programs_[0].p_filesz;
    while (offset < end) {
      const auto n = at<Elf64_Nhdr>(offset);
      offset += sizeof n + ((n.n_namesz + 3) & ~3u);
      notes_.push_back({n.n_type, bytes_.substr(offset, n.n_descsz)});
      offset += (n.n_descsz + 3) & ~3u;
    }
    EXPECT_EQ(offset, end);
  }

  std::string bytes_;
  Elf64_Ehdr header_{};
  std::vector<Elf64_Phdr> programs_;
  std::vector<Note> notes_;
};

char g_word[] = "what a core file is to hold";

TEST(CoreFile, IsWrittenAndSaidSo) {
  need_plain_pattern();
  const int status = crash([] { abort(); });
  EXPECT_KILLED(status, SIGABRT);
  EXPECT_TRUE(WCOREDUMP(status));
  struct stat st;
  ASSERT_OK(stat("core", &st));
  EXPECT_EQ(st.st_mode, mode_t(S_IFREG | 0600));
  EXPECT_EQ(st.st_uid, geteuid());
  Core core;
  EXPECT_EQ(core.memory(g_word, sizeof g_word), std::string_view(g_word, sizeof g_word));
}

TEST(CoreFile, NotesOfTheProcess) {
  need_plain_pattern();
  pid_t pid = fork_child([] {
    set_core_limit(RLIM_INFINITY);
    prctl(PR_SET_NAME, "crasher");
    *reinterpret_cast<volatile int*>(24) = 1;
  });
  EXPECT_KILLED(wait_for(pid), SIGSEGV);
  Core core;
  EXPECT_EQ(core.first().type, uint32_t(NT_PRSTATUS));
  const auto status = Core::as<elf_prstatus>(core.first());
  EXPECT_EQ(status.pr_cursig, SIGSEGV);
  EXPECT_EQ(status.pr_info.si_signo, SIGSEGV);
  EXPECT_EQ(status.pr_pid, pid);
  EXPECT_EQ(status.pr_ppid, getpid());
  EXPECT_EQ(status.pr_pgrp, getpgrp());
  ASSERT_EQ(core.notes(NT_PRPSINFO).size(), 1u);
  const auto info = Core::as<elf_prpsinfo>(core.notes(NT_PRPSINFO)[0]);
  EXPECT_EQ(std::string(info.pr_fname), "crasher");
  EXPECT_EQ(info.pr_pid, pid);
  EXPECT_EQ(info.pr_uid, getuid());
  ASSERT_EQ(core.notes(NT_SIGINFO).size(), 1u);
  const auto sig = Core::as<siginfo_t>(core.notes(NT_SIGINFO)[0]);
  EXPECT_EQ(sig.si_signo, SIGSEGV);
  EXPECT_EQ(sig.si_code, SEGV_MAPERR);
  EXPECT_EQ(reinterpret_cast<uint64_t>(sig.si_addr), 24u);
  ASSERT_EQ(core.notes(NT_AUXV).size(), 1u);
  EXPECT_EQ(core.notes(NT_AUXV)[0].contents, read_file("/proc/self/auxv"));
  ASSERT_EQ(core.notes(NT_FILE).size(), 1u);
  char exe[4096] = {};
  MUST(readlink("/proc/self/exe", exe, sizeof exe - 1));
  EXPECT_NE(core.notes(NT_FILE)[0].contents.find(exe), std::string::npos);
}

TEST(CoreFile, EachThreadHasItsRegisters) {
  need_plain_pattern();
  const int status = crash([] {
    Thread a([] { pause(); }), b([] {
      for (;;) __builtin_ia32_pause();
    });
    wait_until_blocked(a.tid());
    (void)b.tid();
    abort();
  });
  EXPECT_TRUE(WCOREDUMP(status));
  Core core;
  const auto threads = core.notes(NT_PRSTATUS);
  ASSERT_EQ(threads.size(), 3u);
  EXPECT_EQ(core.notes(NT_PRFPREG).size(), 3u);
  EXPECT_EQ(core.notes(0x202).size(), 3u);  // NT_X86_XSTATE
  const auto first = Core::as<elf_prstatus>(threads[0]);
  for (const auto& note : threads) {
    const auto s = Core::as<elf_prstatus>(note);
    EXPECT_NE(s.pr_pid, 0);
    // Where its stack is; the program itself is not linked for any address.
    const auto* stack = reinterpret_cast<const void*>(s.pr_reg[19]);
    EXPECT_GE(core.dumped(stack), 4096u);
  }
  EXPECT_EQ(first.pr_cursig, SIGABRT);
}

TEST(CoreFile, VectorRegistersAreThere) {
  need_plain_pattern();
  crash([] {
    const double value[2] = {1.25, 0};
    asm volatile("movupd %0, %%xmm7\n\tmov $0, %%rax\n\tmovl $1, (%%rax)" ::"m"(value)
                 : "rax", "xmm7");
  });
  Core core;
  ASSERT_EQ(core.notes(NT_PRFPREG).size(), 1u);
  double found = 0;
  memcpy(&found, core.notes(NT_PRFPREG)[0].contents.data() + 160 + 7 * 16, sizeof found);
  EXPECT_EQ(found, 1.25);
  memcpy(&found, core.notes(0x202)[0].contents.data() + 160 + 7 * 16, sizeof found);
  EXPECT_EQ(found, 1.25);
}

TEST(CoreFile, ParentIsToldOfTheDump) {
  need_plain_pattern();
  pid_t pid = fork_child([] {
    set_core_limit(RLIM_INFINITY);
    abort();
  });
  siginfo_t info{};
  ASSERT_OK(waitid(P_PID, pid, &info, WEXITED));
  EXPECT_EQ(info.si_code, CLD_DUMPED);
  EXPECT_EQ(info.si_status, SIGABRT);
}

void expect_no_core(int status, int signal) {
  EXPECT_KILLED(status, signal);
  EXPECT_FALSE(WCOREDUMP(status));
  EXPECT_FALSE(exists("core"));
}

TEST(CoreFile, NoneForOtherSignals) {
  expect_no_core(crash([] { raise(SIGTERM); }), SIGTERM);
}

TEST(CoreFile, NoneWithoutALimit) {
  need_plain_pattern();
  expect_no_core(run_child([] {
                   set_core_limit(0);
                   abort();
                 }),
                 SIGABRT);
  expect_no_core(run_child([] {
                   set_core_limit(4095);
                   abort();
                 }),
                 SIGABRT);
}

TEST(CoreFile, LimitTruncates) {
  need_plain_pattern();
  const int status = run_child([] {
    set_core_limit(16384);
    abort();
  });
  EXPECT_TRUE(WCOREDUMP(status));
  struct stat st;
  ASSERT_OK(stat("core", &st));
  EXPECT_LE(st.st_blocks * 512, 65536);
}

TEST(CoreFile, NoneWhenNotDumpable) {
  need_plain_pattern();
  expect_no_core(crash([] {
                   MUST(prctl(PR_SET_DUMPABLE, 0));
                   abort();
                 }),
                 SIGABRT);
}

TEST(CoreFile, NoneWhereTheDirectoryMayNotBeWritten) {
  need_plain_pattern();
  NEEDS_CAPABILITY(CAP_SETUID);
  MUST(mkdir("closed", 0755));
  const int status = crash([] {
    become_unprivileged();
    MUST(prctl(PR_SET_DUMPABLE, 1));
    MUST(chdir("closed"));
    abort();
  });
  EXPECT_FALSE(WCOREDUMP(status));
  EXPECT_FALSE(exists("closed/core"));
}

TEST(CoreFile, NoneWhoseModeTheMaskChanges) {
  need_plain_pattern();
  const int status = crash([] {
    umask(0777);
    abort();
  });
  EXPECT_FALSE(WCOREDUMP(status));
}

TEST(CoreFile, NeverOverWhatWasThere) {
  need_plain_pattern();
  write_file("precious", "precious");
  MUST(symlink("precious", "core"));
  EXPECT_TRUE(WCOREDUMP(crash([] { abort(); })));
  struct stat st;
  ASSERT_OK(lstat("core", &st));
  EXPECT_TRUE(S_ISREG(st.st_mode));
  EXPECT_EQ(read_file("precious"), "precious");
  MUST(unlink("core"));
  MUST(link("precious", "core"));
  EXPECT_TRUE(WCOREDUMP(crash([] { abort(); })));
  EXPECT_EQ(read_file("precious"), "precious");
  MUST(unlink("core"));
  MUST(mkdir("core", 0700));
  EXPECT_FALSE(WCOREDUMP(crash([] { abort(); })));
}

TEST(CoreFile, IsWrittenForTheWorkingDirectory) {
  need_plain_pattern();
  MUST(mkdir("there", 0700));
  crash([] {
    MUST(chdir("there"));
    abort();
  });
  EXPECT_TRUE(exists("there/core"));
  EXPECT_FALSE(exists("core"));
}

TEST(CoreFile, HolesStayHoles) {
  need_plain_pattern();
  char* const huge =
      static_cast<char*>(MUST(mmap(nullptr, 1ul << 33, PROT_READ | PROT_WRITE,
                                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)));
  const int status = crash([&] {
    huge[4096 * 5] = 'x';
    abort();
  });
  EXPECT_TRUE(WCOREDUMP(status));
  struct stat st;
  ASSERT_OK(stat("core", &st));
  EXPECT_GE(st.st_size, off_t(1) << 33);
  EXPECT_LE(st.st_blocks * 512, 16 << 20);
}

// Areas of each kind, written to, and how much of each a core has under a filter.
struct Kinds {
  char *anon, *anon_shared, *file_private, *file_shared, *file_clean, *omitted, *untouched;
};
constexpr size_t kArea = 3 * 4096;

Kinds make_areas() {
  write_file("mapped", std::string(kArea, 'f'));
  UniqueFd fd(MUST(open("mapped", O_RDWR)));
  const auto map = [&](int flags) {
    return static_cast<char*>(MUST(mmap(nullptr, kArea, PROT_READ | PROT_WRITE, flags,
                                        flags & MAP_ANONYMOUS ? -1 : fd.get(), 0)));
  };
  Kinds k{};
  k.anon = map(MAP_PRIVATE | MAP_ANONYMOUS);
  // Apart from each other, so that areas do not join.
  map(MAP_SHARED | MAP_ANONYMOUS);
  k.omitted = map(MAP_PRIVATE | MAP_ANONYMOUS);
  k.anon_shared = map(MAP_SHARED | MAP_ANONYMOUS);
  k.file_private = map(MAP_PRIVATE);
  k.file_shared = map(MAP_SHARED);
  k.file_clean = map(MAP_PRIVATE);
  k.untouched = map(MAP_PRIVATE | MAP_ANONYMOUS);
  for (char* p : {k.anon, k.omitted, k.anon_shared, k.file_private, k.file_shared}) p[5000] = 'w';
  MUST(madvise(k.omitted, kArea, MADV_DONTDUMP));
  return k;
}

Kinds g_kinds;

void dump_with(const char* filter) {
  g_kinds = make_areas();
  const int status = crash([&] {
    write_file("/proc/self/coredump_filter", filter);
    abort();
  });
  EXPECT_TRUE(WCOREDUMP(status));
}

TEST(CoreFilter, ByDefaultWhatIsInNoFile) {
  need_plain_pattern();
  dump_with("0x33");
  Core core;
  const Kinds& k = g_kinds;
  EXPECT_EQ(core.memory(k.anon + 5000, 1), "w");
  EXPECT_EQ(core.memory(k.anon_shared + 5000, 1), "w");
  EXPECT_EQ(core.memory(k.file_private + 5000, 1), "w");
  EXPECT_EQ(core.memory(k.file_private, 1), "f");
  EXPECT_EQ(core.dumped(k.file_shared), 0u);
  EXPECT_EQ(core.dumped(k.file_clean), 0u);
  EXPECT_EQ(core.dumped(k.omitted), 0u);
  EXPECT_EQ(core.dumped(k.untouched), 0u);
}

TEST(CoreFilter, EachBitAddsAKind) {
  need_plain_pattern();
  dump_with("0");
  Core none;
  EXPECT_EQ(none.dumped(g_kinds.anon), 0u);
  EXPECT_EQ(none.dumped(g_kinds.anon_shared), 0u);
  EXPECT_EQ(none.dumped(g_kinds.file_private), 0u);
  dump_with("0xc");
  Core files;
  EXPECT_EQ(files.dumped(g_kinds.anon), 0u);
  EXPECT_EQ(files.memory(g_kinds.file_shared + 5000, 1), "w");
  EXPECT_EQ(files.memory(g_kinds.file_clean, 1), "f");
}

TEST(CoreFilter, IsInheritedAndChecked) {
  EXPECT_EQ(read_file("/proc/self/coredump_filter").size(), 9u);
  write_file("/proc/self/coredump_filter", "0x7f\n");
  EXPECT_EQ(read_file("/proc/self/coredump_filter"), "0000007f\n");
  EXPECT_EXITED(run_child([] { EXPECT_EQ(read_file("/proc/self/coredump_filter"), "0000007f\n"); }),
                0);
  EXPECT_EXITED(run_child([] {
                  execlp("grep", "grep", "-qx", "0000007f", "/proc/self/coredump_filter", nullptr);
                }),
                0);
  write_file("/proc/self/coredump_filter", "010");
  EXPECT_EQ(read_file("/proc/self/coredump_filter"), "00000008\n");
  UniqueFd fd(MUST(open("/proc/self/coredump_filter", O_WRONLY)));
  EXPECT_ERR(write(fd.get(), "x", 1), EINVAL);
  EXPECT_ERR(write(fd.get(), "0x1ffffffff", 11), ERANGE);
}

TEST(Dumpable, FollowsCredentials) {
  NEEDS_CAPABILITY(CAP_SETUID);
  if (read_file("/proc/sys/fs/suid_dumpable") != "0\n") SKIP("suid_dumpable is set");
  EXPECT_EXITED(run_child([] {
                  EXPECT_EQ(prctl(PR_GET_DUMPABLE), 1);
                  MUST(prctl(PR_SET_PDEATHSIG, SIGUSR1));
                  MUST(setresuid(-1, 12345, -1));
                  EXPECT_EQ(prctl(PR_GET_DUMPABLE), 0);
                  int signal = -1;
                  MUST(prctl(PR_GET_PDEATHSIG, &signal));
                  EXPECT_EQ(signal, 0);
                  EXPECT_OK(prctl(PR_SET_DUMPABLE, 1));
                  EXPECT_EQ(prctl(PR_GET_DUMPABLE), 1);
                  EXPECT_ERR(prctl(PR_SET_DUMPABLE, 2), EINVAL);
                }),
                0);
}

TEST(Dumpable, DecidesWhoOwnsTheFilesInProc) {
  NEEDS_CAPABILITY(CAP_SETUID);
  EXPECT_EXITED(run_child([] {
                  become_unprivileged();
                  MUST(prctl(PR_SET_DUMPABLE, 1));
                  struct stat st;
                  MUST(stat("/proc/self/status", &st));
                  EXPECT_EQ(st.st_uid, geteuid());
                  MUST(prctl(PR_SET_DUMPABLE, 0));
                  MUST(stat("/proc/self/status", &st));
                  EXPECT_EQ(st.st_uid, 0u);
                  // Directories that all may read show who it is.
                  MUST(stat("/proc/self/", &st));
                  EXPECT_EQ(st.st_uid, geteuid());
                  EXPECT_ERR(open("/proc/self/environ", O_RDONLY), EACCES);
                }),
                0);
}

TEST(CoreFile, SigkillEndsADump) {
  need_plain_pattern();
  // Much to write; it may be done before the signal comes, which is as good.
  pid_t pid = fork_child([] {
    set_core_limit(RLIM_INFINITY);
    const size_t size = static_cast<size_t>(rounds(256)) << 20;
    char* p = static_cast<char*>(
        MUST(mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)));
    memset(p, 'x', size);
    abort();
  });
  struct stat st = {};
  while (stat("core", &st) != 0 || st.st_size < 4 << 20) usleep(100);
  MUST(kill(pid, SIGKILL));
  const int status = wait_for(pid);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_TRUE(WTERMSIG(status) == SIGKILL || WTERMSIG(status) == SIGABRT);
  EXPECT_EQ(bool(WCOREDUMP(status)), WTERMSIG(status) == SIGABRT);
}

}  // namespace
