// Where a dump goes: core_pattern and the rules of core(5).
#include <cstring>

#include "base/log.h"
#include "fs/pipe/pipe_file.h"
#include "fs/vfs/dentry.h"
#include "kernel/core/core_dump.h"
#include "kernel/core/name.h"
#include "kernel/kernel.h"

namespace usk {
namespace {

// Linux: a limit below a page makes no file.
constexpr uint64_t kSmallestLimit = platform::kPageSize;

CoreFacts facts_of(Task& t, const siginfo_t& info, int dumpable, uint64_t limit) {
  CoreFacts f;
  f.pid = t.tgid();
  f.root_pid = t.group->pid->root_nr();
  f.tid = t.tid();
  f.root_tid = t.pid->root_nr();
  f.uid = t.creds->uid;
  f.gid = t.creds->gid;
  f.dumpable = dumpable;
  f.signal = info.si_signo;
  f.time = t.kernel.time.now(CLOCK_REALTIME) / 1'000'000'000;
  if (t.ns.uts) f.host = t.ns.uts->host();
  f.comm = t.name();
  if (t.mm->executable) {
    f.executable = PathText::of(t.mm->executable->path(), t.fs->root()).shown();
  } else {
    f.executable = f.comm + " (path unknown)";
  }
  f.limit = limit;
  return f;
}

}  // namespace

bool CoreDump::open() {
  CoreSettings& settings = dumper_->kernel.core;
  const std::string pattern = settings.pattern();
  const CoreFacts facts = facts_of(*dumper_, info_, dumpable_, limit_);
  if (pattern.starts_with('|')) return open_pipe(core_command(pattern, facts));
  if (limit_ < kSmallestLimit) return false;
  const std::string name = core_name(pattern, settings.uses_pid != 0, facts);
  auto file = make_core_file(*dumper_, name, dumpable_ == 2);
  if (!file) {
    LOG_INFO("no core of process {}: {} cannot be made: {}", facts.pid, name,
             strerror(int(file.error())));
    return false;
  }
  out_.emplace(std::move(*file), limit_, dumper_->limit(RLIMIT_FSIZE));
  has_written_ = true;
  return true;
}

// A limit of 1 is how a helper says that its own crash is not to start another one.
bool CoreDump::open_pipe(const std::vector<std::string>& command) {
  Kernel& kernel = dumper_->kernel;
  if (limit_ == 1 || command.empty() || !kernel.hooks.start_helper) return false;
  auto [reader, writer] = make_pipe(O_NONBLOCK, root_creds(kernel.root_user_ns));
  if (!kernel.hooks.start_helper(kernel, command, std::move(reader))) return false;
  is_pipe_ = true;
  out_.emplace(std::move(writer), UINT64_MAX, UINT64_MAX);
  has_written_ = true;
  return true;
}

// With core_pipe_limit the process stays to be looked at in /proc until the helper has finished.
CoreDump::Next CoreDump::wait_for_reader() {
  File& file = out_->file();
  dumper_->waits().clear();
  if (dumper_->kernel.core.pipe_limit == 0 || (file.poll() & POLLERR)) return Next::kDone;
  dumper_->waits().add_file(Ref<File>::share(&file), POLLERR);
  return file.poll() & POLLERR ? Next::kDone : Next::kWait;
}

}  // namespace usk
