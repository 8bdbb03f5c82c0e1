#include "syscalls/trace_flags.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/sched.h>
#include <sys/mman.h>

#include <span>
#include <utility>

#include "kernel/signal/signal.h"
#include "syscalls/trace.h"

namespace usk {
namespace {

using Names = std::span<const std::pair<uint64_t, const char*>>;

// Bits by name, the rest in hexadecimal.
std::string join(uint64_t bits, Names names, std::string out = {}) {
  for (auto [bit, name] : names) {
    if ((bits & bit) != bit) continue;
    if (!out.empty()) out += '|';
    out += name;
    bits &= ~bit;
  }
  if (bits) out += fmt::format("{}{:#x}", out.empty() ? "" : "|", bits);
  return out.empty() ? "0" : out;
}

#define BIT(x) {uint64_t(uint32_t(x)), #x}
constexpr std::pair<uint64_t, const char*> kOpen[] = {
    BIT(O_CREAT),   BIT(O_EXCL),      BIT(O_NOCTTY),   BIT(O_TRUNC),
    BIT(O_APPEND),  BIT(O_NONBLOCK),  BIT(O_SYNC),     BIT(O_DSYNC),
    BIT(O_TMPFILE), BIT(O_DIRECTORY), BIT(O_NOFOLLOW), BIT(O_DIRECT),
    BIT(O_NOATIME), BIT(O_CLOEXEC),   BIT(O_PATH),     BIT(O_ASYNC)};
constexpr std::pair<uint64_t, const char*> kProt[] = {BIT(PROT_READ), BIT(PROT_WRITE),
                                                      BIT(PROT_EXEC)};
constexpr std::pair<uint64_t, const char*> kMap[] = {
    BIT(MAP_SHARED_VALIDATE), BIT(MAP_SHARED),    BIT(MAP_PRIVATE),        BIT(MAP_FIXED),
    BIT(MAP_ANONYMOUS),       BIT(MAP_32BIT),     BIT(MAP_GROWSDOWN),      BIT(MAP_DENYWRITE),
    BIT(MAP_LOCKED),          BIT(MAP_NORESERVE), BIT(MAP_POPULATE),       BIT(MAP_NONBLOCK),
    BIT(MAP_STACK),           BIT(MAP_HUGETLB),   BIT(MAP_FIXED_NOREPLACE)};
constexpr std::pair<uint64_t, const char*> kAt[] = {BIT(AT_SYMLINK_NOFOLLOW), BIT(AT_REMOVEDIR),
                                                    BIT(AT_SYMLINK_FOLLOW), BIT(AT_NO_AUTOMOUNT),
                                                    BIT(AT_EMPTY_PATH)};
constexpr std::pair<uint64_t, const char*> kClone[] = {BIT(CLONE_VM),
                                                       BIT(CLONE_FS),
                                                       BIT(CLONE_FILES),
                                                       BIT(CLONE_SIGHAND),
                                                       BIT(CLONE_PIDFD),
                                                       BIT(CLONE_PTRACE),
                                                       BIT(CLONE_VFORK),
                                                       BIT(CLONE_PARENT),
                                                       BIT(CLONE_THREAD),
                                                       BIT(CLONE_NEWNS),
                                                       BIT(CLONE_SYSVSEM),
                                                       BIT(CLONE_SETTLS),
                                                       BIT(CLONE_PARENT_SETTID),
                                                       BIT(CLONE_CHILD_CLEARTID),
                                                       BIT(CLONE_UNTRACED),
                                                       BIT(CLONE_CHILD_SETTID),
                                                       BIT(CLONE_NEWCGROUP),
                                                       BIT(CLONE_NEWUTS),
                                                       BIT(CLONE_NEWIPC),
                                                       BIT(CLONE_NEWUSER),
                                                       BIT(CLONE_NEWPID),
                                                       BIT(CLONE_NEWNET),
                                                       BIT(CLONE_IO)};
#undef BIT

}  // namespace

std::string open_flags(uint32_t bits) {
  static constexpr const char* kMode[] = {"O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE"};
  return join(bits & ~uint32_t(O_ACCMODE), kOpen, kMode[bits & O_ACCMODE]);
}

std::string mmap_prot(uint32_t bits) { return bits ? join(bits, kProt) : "PROT_NONE"; }
std::string mmap_flags(uint32_t bits) { return join(bits, kMap); }
std::string at_flags(uint32_t bits) { return join(bits, kAt); }

std::string clone_flags(uint64_t bits) {
  const int sig = int(bits & CSIGNAL);
  std::string out = join(bits & ~uint64_t(CSIGNAL), kClone);
  return sig ? out + "|" + signal_name(sig) : out;
}

}  // namespace usk
