#include "enforce/names.h"

#include <fmt/format.h>

#include <cstdint>

#include "enforce/enforcer.h"

namespace usk {

using policy::Category;

bool makes_names(Category c) {
  switch (c) {
    case Category::kCreate:
    case Category::kMkdir:
    case Category::kSymlink:
    case Category::kMkbdev:
    case Category::kMkcdev:
    case Category::kMkfifo:
    case Category::kNetBind:
    case Category::kRename: return true;
    default: return false;
  }
}

bool changes_names(Category c) {
  switch (c) {
    case Category::kDelete:
    case Category::kRmdir:
    case Category::kTruncate:
    case Category::kChmod:
    case Category::kChown:
    case Category::kChgrp:
    case Category::kChattr:
    case Category::kUtime: return true;
    default: return makes_names(c);
  }
}

namespace {

// The length of the UTF-8 sequence at the beginning; 0: it is none.
size_t sequence_length(std::string_view text) {
  const auto first = uint8_t(text[0]);
  const size_t n = first < 0x80   ? 1
                   : first < 0xc2 ? 0
                   : first < 0xe0 ? 2
                   : first < 0xf0 ? 3
                   : first < 0xf5 ? 4
                                  : 0;
  if (n == 0 || text.size() < n) return 0;
  for (size_t i = 1; i < n; i++) {
    if ((uint8_t(text[i]) & 0xc0) != 0x80) return 0;
  }
  const auto second = n > 1 ? uint8_t(text[1]) : uint8_t(0);
  // Overlong forms, surrogates, beyond the last code point.
  if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
      (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f)) {
    return 0;
  }
  return n;
}

}  // namespace

bool is_safe_name(std::string_view name) {
  if (name.empty()) return true;
  if (std::string_view(" -~").find(name.front()) != std::string_view::npos || name.back() == ' ') {
    return false;
  }
  while (!name.empty()) {
    const size_t n = sequence_length(name);
    if (n == 0) return false;
    const auto byte = uint8_t(name[0]);
    const bool control = byte < 0x20 || byte == 0x7f;
    if (control ||
        std::string_view("*?[]\"<>|()&'!\\;$`").find(name[0]) != std::string_view::npos) {
      return false;
    }
    name.remove_prefix(n);
  }
  return true;
}

bool serves_ghosts(std::string_view call) {
  // Each between two blanks.
  static constexpr std::string_view kServed =
      " arch_prctl brk clock_getres clock_gettime clock_nanosleep close dup dup2 dup3 "
      "epoll_ctl epoll_pwait epoll_wait exit exit_group fcntl fdatasync fsync futex "
      "futex_wait futex_wake getpid getppid getrandom getrusage gettid gettimeofday getuid "
      "geteuid getgid getegid lseek madvise membarrier mremap munmap nanosleep pause poll "
      "ppoll pread64 preadv pselect6 pwrite64 pwritev read readv recvfrom restart_syscall "
      "rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigreturn rt_sigsuspend "
      "sched_yield select set_robust_list set_tid_address shutdown sigaltstack time times "
      "wait4 waitid write writev ";
  return kServed.find(fmt::format(" {} ", call)) != std::string_view::npos;
}

std::string descriptor_name(const File& file) {
  const uint32_t type = file.inode().type();
  if (file.path().dentry->is_anonymous()) {
    std::string name = file.path().dentry->name();
    constexpr std::string_view kMemfd = "/memfd:", kAnon = "anon_inode:[", kDeleted = " (deleted)";
    if (name.starts_with(kMemfd)) {
      name = name.substr(kMemfd.size());
      if (name.ends_with(kDeleted)) name.resize(name.size() - kDeleted.size());
      return "!memfd:" + name;
    }
    if (name.starts_with(kAnon) && name.ends_with(']')) {
      return "!" + name.substr(kAnon.size(), name.size() - kAnon.size() - 1);
    }
    if (type == S_IFIFO) return "!pipe";
    if (name.find(":[") != name.npos && type == S_IFREG) return "!nsfs";
  }
  switch (type) {
    case S_IFREG: return "!file";
    case S_IFDIR: return "!dir";
    case S_IFLNK: return file.inode().is_magic_link() ? "!magiclink" : "!symlink";
    case S_IFBLK: return "!bdev";
    case S_IFCHR: return "!cdev";
    case S_IFSOCK: return "!socket";
    case S_IFIFO: return "!fifo";
    default: return "!unknown";
  }
}

}  // namespace usk
