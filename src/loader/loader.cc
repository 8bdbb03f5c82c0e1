#include "loader/loader.h"

#include <linux/capability.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#include "fs/vfs/mask.h"
#include "host/auxv.h"
#include "kernel/kernel.h"
#include "loader/load_steps.h"

namespace usk {
namespace {

constexpr uint32_t kAddrNoRandomize = 0x0040000;  // personality(2)
constexpr int kMaxScripts = 5;

// `#!interpreter [one argument]` in the first 256 bytes: execve(2), "Interpreter scripts".
struct Script {
  std::string interpreter, argument;
  bool has_argument = false;
};

Result<std::optional<Script>> read_script(File& file) {
  char line[256] = {};
  KernelOut out(std::as_writable_bytes(std::span(line, sizeof line - 1)));
  uint64_t pos = 0;
  const size_t n = TRY(file.read(out, pos));
  std::string_view text(line, n);
  if (!text.starts_with("#!")) return std::nullopt;
  text.remove_prefix(2);
  const size_t end = text.find('\n');
  const bool complete = end != text.npos;
  if (complete) text = text.substr(0, end);
  constexpr std::string_view kBlank = " \t";
  text.remove_prefix(std::min(text.find_first_not_of(kBlank), text.size()));
  const size_t last = text.find_last_not_of(kBlank);
  text = text.substr(0, last == text.npos ? 0 : last + 1);
  if (text.empty()) return Err(ENOEXEC);
  Script s;
  const size_t blank = text.find_first_of(kBlank);
  // A cut-off interpreter name would run another program.
  if (blank == text.npos && !complete && n == sizeof line - 1) return Err(ENOEXEC);
  s.interpreter = text.substr(0, blank);
  if (blank != text.npos) {
    text.remove_prefix(text.find_first_not_of(kBlank, blank));
    s.argument = text;
    s.has_argument = true;
  }
  return s;
}

// Follows `#!` lines to a binary; the request's arguments grow in front.
Result<Ref<File>> resolve_scripts(LoadRequest& q) {
  for (int depth = 0;; depth++) {
    Ref<File> file = TRY(open_executable(q.walk, q.file));
    auto script = TRY(read_script(*file));
    if (!script) return file;
    if (installed_guard) TRY(installed_guard->start(*file, {.script = true}));
    if (depth >= kMaxScripts) return Err(ELOOP);
    if (q.by_cloexec_fd) return Err(ENOENT);
    std::vector<std::string> argv{script->interpreter};
    if (script->has_argument) argv.push_back(script->argument);
    argv.push_back(q.name);
    if (q.argv.size() > 1) argv.insert(argv.end(), q.argv.begin() + 1, q.argv.end());
    q.argv = std::move(argv);
    q.name = script->interpreter;
    q.file = TRY(walk(q.walk, q.walk.cwd, q.name, kFollow));
  }
}

Result<void> check_argument_size(const LoadRequest& q) {
  size_t total = q.name.size();
  for (auto* list : {&q.argv, &q.envp}) {
    for (const std::string& s : *list) {
      if (s.size() >= kMaxArgLength) return Err(E2BIG);
      total += s.size() + 1 + sizeof(uint64_t);
    }
  }
  const uint64_t room = std::max<uint64_t>(q.limits.stack / 4, kMaxArgLength);
  if (total > std::min<uint64_t>(room, kMaxArgTotal)) return Err(E2BIG);
  return {};
}

Result<NewProgram> new_program(Kernel& kernel, const LoadRequest& q) {
  platform::NewSpace space = TRY(kernel.platform().new_space());
  NewProgram p;
  p.mm = make_ref<AddressSpace>(space.space);
  p.cpu = std::move(space.thread);
  p.limits = q.limits;
  p.randomize = !(q.personality & kAddrNoRandomize);
  p.stack_top = platform::kGuestEnd - platform::kPageSize - random_offset(p, 22);
  const uint64_t gap =
      std::clamp<uint64_t>(q.limits.stack, 128 << 20, platform::kGuestEnd / 6 * 5) + (1 << 20);
  p.mm->layout.mmap_base = page_down(p.stack_top - gap - random_offset(p, 28));
  return p;
}

// Capabilities and ids after execve: capabilities(7), "Transformation of capabilities".
struct NewCreds {
  Ref<const Creds> creds;
  bool secure = false;
};
Result<NewCreds> exec_creds(const LoadRequest& q, const File& file) {
  const Creds& old = *q.creds;
  Ref<Creds> c = old.clone();
  const Attr attr = TRY(file.inode().getattr());
  const bool forbidden = installed_guard && !installed_guard->honours_set_ids();
  const bool suid_ok =
      !old.no_new_privs && !forbidden && !q.traced && !file.path().mount->has(MS_NOSUID);
  if (suid_ok && (attr.mode & S_ISUID) && old.user_ns->maps_uid(attr.uid)) c->euid = attr.uid;
  if (suid_ok && (attr.mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) &&
      old.user_ns->maps_gid(attr.gid)) {
    c->egid = attr.gid;
  }
  c->suid = c->fsuid = c->euid;
  c->sgid = c->fsgid = c->egid;
  const uint32_t root = old.user_ns->uid_in(0).value_or(UINT32_MAX);
  const bool gains = c->euid != old.euid || c->egid != old.egid;
  CapSet file_permitted = 0, file_inheritable = 0;
  bool file_effective = false;
  if (!(c->securebits & 1 /* SECBIT_NOROOT */)) {
    if (c->euid == root || c->uid == root) file_permitted = file_inheritable = kFullCaps;
    if (c->euid == root) file_effective = true;
  }
  if (gains) c->ambient = 0;
  c->permitted =
      (old.inheritable & file_inheritable) | (file_permitted & old.bounding) | c->ambient;
  if (old.no_new_privs) c->permitted &= old.permitted | c->ambient;
  c->effective = file_effective ? c->permitted : c->ambient;
  c->securebits &= ~uint32_t(1 << 4);  // SECBIT_KEEP_CAPS
  NewCreds out;
  out.secure = c->euid != c->uid || c->egid != c->gid || gains;
  out.creds = c;
  return out;
}

using Aux = std::vector<std::pair<uint64_t, uint64_t>>;
void add_credentials(Aux& aux, const Creds& c, bool secure) {
  const UserNamespace& ns = *c.user_ns;
  aux.emplace_back(AT_UID, ns.uid_out(c.uid));
  aux.emplace_back(AT_EUID, ns.uid_out(c.euid));
  aux.emplace_back(AT_GID, ns.gid_out(c.gid));
  aux.emplace_back(AT_EGID, ns.gid_out(c.egid));
  aux.emplace_back(AT_SECURE, secure);
}

// Maps program and interpreter; returns where to start and what the auxiliary vector says of it.
Result<Aux> map_program(NewProgram& p, const ElfImage& main, const ElfImage* interpreter) {
  uint64_t wanted = 0;
  if (!main.fixed && interpreter) wanted = 0x555555554000 + random_offset(p, 28);
  const uint64_t bias = TRY(map_image(p, main, wanted));
  uint64_t entry = bias + main.entry, base = 0;
  auto& layout = p.mm->layout;
  layout.start_code = bias + main.load.front().p_vaddr;
  layout.end_code = bias + main.load.front().p_vaddr + main.load.front().p_filesz;
  for (const Elf64_Phdr& ph : main.load) {
    if (ph.p_flags & PF_X) layout.end_code = bias + ph.p_vaddr + ph.p_filesz;
    layout.start_data = bias + ph.p_vaddr;
    layout.end_data = bias + ph.p_vaddr + ph.p_filesz;
  }
  p.mm->set_break_start(bias + main.high + random_offset(p, 13));
  if (interpreter) {
    base = TRY(map_image(p, *interpreter, 0)) + interpreter->low;
    entry = base - interpreter->low + interpreter->entry;
  }
  p.cpu->regs().set_ip(entry);
  Aux aux;
  aux.emplace_back(AT_HWCAP, host::auxiliary(AT_HWCAP));
  aux.emplace_back(AT_PAGESZ, platform::kPageSize);
  aux.emplace_back(AT_CLKTCK, 100);
  aux.emplace_back(AT_PHDR, header_address(main, bias));
  aux.emplace_back(AT_PHENT, sizeof(Elf64_Phdr));
  aux.emplace_back(AT_PHNUM, main.header_count);
  aux.emplace_back(AT_BASE, base);
  aux.emplace_back(AT_FLAGS, 0);
  aux.emplace_back(AT_ENTRY, bias + main.entry);
  aux.emplace_back(AT_HWCAP2, host::auxiliary(AT_HWCAP2));
  aux.emplace_back(AT_MINSIGSTKSZ, host::auxiliary(AT_MINSIGSTKSZ));
  return aux;
}

std::string base_name(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == path.npos ? path : path.substr(slash + 1);
}

}  // namespace

Result<Ref<File>> open_executable(const WalkContext& ctx, const Path& named) {
  // What is masked is not run either: a program could read itself.
  const Path mask = TRY(walk_to_mask(ctx, named));
  const Path& path = mask ? mask : named;
  Inode& inode = path.inode();
  if (inode.is_symlink()) return Err(ELOOP);
  if (!inode.is_regular()) return Err(EACCES);
  if (path.mount->has(MS_NOEXEC)) return Err(EACCES);
  TRY(inode.permission(kMayExec, *ctx.creds));
  Ref<File> file = TRY(inode.open(path, O_RDONLY, ctx.creds));
  if (installed_guard) TRY(installed_guard->execute(*file));
  return file;
}

Result<std::shared_ptr<ExecImage>> load_program(Kernel& kernel, LoadRequest q) {
  TRY(check_argument_size(q));
  const std::string comm = base_name(q.name);
  Ref<File> file = TRY(resolve_scripts(q));
  ElfImage main = TRY(read_elf(file));
  if (installed_guard) {
    TRY(installed_guard->start(*file, {.fixed = main.fixed,
                                       .dynamic = main.interpreter.has_value(),
                                       .executable_stack = (main.stack_prot & PROT_EXEC) != 0}));
  }
  auto hold = TRY(ExecutableHold::take(file));
  std::optional<ElfImage> interpreter;
  if (main.interpreter) {
    const Path at = TRY(walk(q.walk, q.walk.cwd, *main.interpreter, kFollow));
    auto image = read_elf(TRY(open_executable(q.walk, at)));
    if (!image) return Err(failed_with(image, ENOEXEC) ? ELIBBAD : int(image.error()));
    interpreter = std::move(*image);
  }
  const NewCreds creds = TRY(exec_creds(q, *file));
  NewProgram p = TRY(new_program(kernel, q));
  Aux aux = TRY(map_program(p, main, interpreter ? &*interpreter : nullptr));
  add_credentials(aux, *creds.creds, creds.secure);
  if (const uint64_t vdso = TRY(map_vdso(p, kernel.time.page().memory())))
    aux.emplace_back(AT_SYSINFO_EHDR, vdso);
  StackContents contents{q.argv, q.envp, q.name, aux, main.stack_prot};
  if (contents.argv.empty()) contents.argv.push_back("");  // Linux since 5.18.
  TRY(build_stack(p, contents));
  p.mm->executable = file;
  p.mm->executable_hold = std::move(hold);
  // A program that its user may not read, or that acts for another user.
  const bool changes = q.creds->uid != q.creds->euid || q.creds->gid != q.creds->egid;
  if (creds.secure || changes || !file->inode().permission(kMayRead, *q.creds)) {
    p.mm->dumpable = kernel.core.suid_dumpable;
  }

  auto image = std::make_shared<ExecImage>();
  image->mm = p.mm;
  image->cpu = std::move(p.cpu);
  image->comm = comm;
  image->creds = creds.creds;
  image->secure = creds.secure;
  return image;
}

}  // namespace usk
