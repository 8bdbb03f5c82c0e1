#include "kernel/core/notes.h"

#include <elf.h>
#include <sys/procfs.h>

#include <cstring>

#include "arch/x86_64/xstate.h"
#include "fs/vfs/dentry.h"
#include "kernel/kernel.h"
#include "kernel/task/exit.h"

#ifndef NT_X86_XSTATE
#define NT_X86_XSTATE 0x202
#endif

namespace usk {
namespace {

constexpr size_t kFxSize = 512;  // user_fpregs_struct: the legacy part of an XSAVE area.

template <class T>
std::span<const std::byte> bytes_of(const T& v) {
  return std::as_bytes(std::span(&v, 1));
}

constexpr size_t padded(size_t n) { return (n + 3) & ~size_t(3); }

constexpr size_t note_size(std::string_view name, size_t contents) {
  return sizeof(Elf64_Nhdr) + padded(name.size() + 1) + padded(contents);
}

void append(NoteBytes& out, std::span<const std::byte> bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
  out.resize(padded(out.size()));
}

timeval as_timeval(int64_t ns) { return {ns / 1'000'000'000, ns % 1'000'000'000 / 1000}; }

int number_of(const Ref<Pid>& pid, const Task& seen_by) {
  return pid ? pid->nr_in(seen_by.pid_ns()) : 0;
}

struct Kin {
  int parent = 0, group = 0, session = 0;
};
Kin kin_of(const Task& t) REQUIRES(task_mutex) {
  const ThreadGroup& g = *t.group;
  Kin k;
  if (g.parent) k.parent = number_of(g.parent->pid, t);
  if (g.process_group) {
    k.group = number_of(g.process_group->id, t);
    k.session = number_of(g.session().id, t);
  }
  return k;
}

// The arguments, with blanks between them.
void copy_arguments(Task& t, std::span<char> out) {
  const auto& l = t.mm->layout;
  if (l.arg_start == 0 || l.arg_end <= l.arg_start) return;
  const size_t length = std::min<uint64_t>(l.arg_end - l.arg_start, out.size() - 1);
  const auto n = t.mm->read_forced(l.arg_start, std::as_writable_bytes(out.first(length)));
  for (size_t i = 0; i < n.value_or(0); i++) {
    if (out[i] == '\0') out[i] = ' ';
  }
}

elf_prpsinfo process_info(Task& t) EXCLUDES(task_mutex) {
  constexpr uint64_t kDumping = 0x200, kSignalled = 0x400, kRandomized = 0x400000;
  elf_prpsinfo p{};
  copy_arguments(t, p.pr_psargs);
  p.pr_sname = 'R';
  p.pr_nice = char(t.nice);
  p.pr_flag = kDumping | kSignalled | kRandomized;
  p.pr_uid = t.creds->user_ns->uid_out(t.creds->uid);
  p.pr_gid = t.creds->user_ns->gid_out(t.creds->gid);
  Lock lock(task_mutex);
  const Kin k = kin_of(t);
  p.pr_pid = t.tgid();
  p.pr_ppid = k.parent;
  p.pr_pgrp = k.group;
  p.pr_sid = k.session;
  memcpy(p.pr_fname, t.comm.data(), sizeof p.pr_fname);
  return p;
}

// NT_FILE: count and page size, then where each mapped file is, then the names. Nothing when that
// is more than Linux would write.
NoteBytes file_note(const Path& root, std::span<const Vma> areas) {
  constexpr size_t kMost = 4 << 20;
  std::vector<uint64_t> numbers = {0, platform::kPageSize};
  std::string names;
  for (const Vma& v : areas) {
    if (!v.file) continue;
    numbers.insert(numbers.end(), {v.start, v.end, v.offset / platform::kPageSize});
    names += PathText::of(v.file->path(), root).shown();
    names += '\0';
    if (numbers.size() * sizeof(uint64_t) + names.size() > kMost) return {};
  }
  numbers[0] = (numbers.size() - 2) / 3;
  NoteBytes out;
  append(out, std::as_bytes(std::span(numbers)));
  const auto text = std::as_bytes(std::span(names));
  out.insert(out.end(), text.begin(), text.end());
  return out;
}

}  // namespace

void add_note(NoteBytes& out, std::string_view name, uint32_t type,
              std::span<const std::byte> contents) {
  Elf64_Nhdr header{};
  header.n_namesz = uint32_t(name.size() + 1);
  header.n_descsz = uint32_t(contents.size());
  header.n_type = type;
  append(out, bytes_of(header));
  const std::string terminated(name);
  append(out, std::as_bytes(std::span(terminated.c_str(), terminated.size() + 1)));
  append(out, contents);
}

void add_status_note(NoteBytes& out, Task& t, int signal) {
  elf_prstatus s{};
  const Regs& regs = t.cpu->regs();
  static_assert(sizeof s.pr_reg == sizeof(Regs));
  memcpy(&s.pr_reg, &regs, sizeof s.pr_reg);
  s.pr_info.si_signo = s.pr_cursig = short(signal);
  s.pr_fpvalid = 1;
  const Usage own = thread_usage(t);
  {
    Lock lock(task_mutex);
    const Usage used = t.is_leader() ? group_usage(*t.group) : own;
    s.pr_utime = as_timeval(used.user_ns);
    s.pr_stime = as_timeval(used.system_ns);
    s.pr_cutime = as_timeval(t.group->reaped_children.user_ns);
    s.pr_cstime = as_timeval(t.group->reaped_children.system_ns);
    s.pr_sigpend = t.pending.set();
    s.pr_sighold = t.blocked;
    const Kin k = kin_of(t);
    s.pr_pid = t.tid();
    s.pr_ppid = k.parent;
    s.pr_pgrp = k.group;
    s.pr_sid = k.session;
  }
  add_note(out, "CORE", NT_PRSTATUS, bytes_of(s));
}

void add_fpu_notes(NoteBytes& out, Task& t) {
  // A thread whose stub is gone has none; its place is kept.
  auto state = t.cpu->fpu_state();
  std::vector<std::byte> bytes = state ? std::move(*state) : std::vector<std::byte>();
  bytes.resize(xstate_size());
  add_note(out, "CORE", NT_PRFPREG, std::span(bytes).first(kFxSize));
  add_note(out, "LINUX", NT_X86_XSTATE, bytes);
}

size_t thread_notes_size() {
  return note_size("CORE", sizeof(elf_prstatus)) + note_size("CORE", kFxSize) +
         note_size("LINUX", xstate_size());
}

void add_process_notes(NoteBytes& out, Task& t, const siginfo_t& info, std::span<const Vma> areas) {
  add_note(out, "CORE", NT_PRPSINFO, bytes_of(process_info(t)));
  add_note(out, "CORE", NT_SIGINFO, bytes_of(info));
  add_note(out, "CORE", NT_AUXV, std::as_bytes(std::span(t.mm->auxv)));
  const NoteBytes files = file_note(t.fs->root(), areas);
  if (!files.empty()) add_note(out, "CORE", NT_FILE, files);
}

}  // namespace usk
