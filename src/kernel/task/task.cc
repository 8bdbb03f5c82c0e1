#include "kernel/task/task.h"

#include <algorithm>
#include <cstring>

#include "fs/vfs/guard.h"
#include "fs/vfs/saving.h"
#include "host/random.h"
#include "kernel/futex/futex.h"
#include "kernel/kernel.h"
#include "kernel/task/exec.h"

namespace usk {

USK_SAVED(Task, "kernel/task")
USK_SAVED(FsState, "kernel/fs_state")
USK_SAVED(UtsNamespace, "kernel/uts_namespace")
USK_SAVED(PlainNamespace, "kernel/namespace")
USK_SAVED(platform::ThreadState, "platform/thread_state")
USK_SAVED(ExecImage, "kernel/exec_image")

OrFailure<Ref<Task>> Task::make_saved(state::Fields& in) {
  return make_ref<Task>(*TRY(in.services().get<Kernel>()), TRY(in.ref<Pid>("pid")),
                        TRY(in.ref<ThreadGroup>("group")));
}

// What other objects wake while they come back must not queue it: that is done once all are there.
OrFailure<void> Task::restored(state::Restored&) {
  if (where != Where::kGone) where = Where::kRunning;
  return {};
}

void SyscallFrame::begin(uint64_t number, const std::array<uint64_t, 6>& arguments) {
  nr = number;
  args = arguments;
  first = true;
  begun = false;
  deadline.reset();
  progress = 0;
  pins.clear();
  extra.reset();
  result = 0;
  registers_set = false;
  vsyscall = false;
}

Task::Task(Kernel& k, Ref<Pid> p, Ref<ThreadGroup> g)
    : kernel(k), pid(std::move(p)), group(std::move(g)), waits_(*this) {
  memset(&affinity, 0xff, sizeof affinity);
}

Task::~Task() {
  if (park_timer) kernel.time.disarm(*park_timer);
}

UserMemory Task::mem() { return UserMemory(*mm, *cpu, memory_limits()); }

Result<Ref<File>> Task::file_or_path(int fd) {
  for (auto& [n, f] : frame.pins) {
    if (n == fd) return f;
  }
  Ref<File> f = TRY(fds->get(fd));
  frame.pins.emplace_back(fd, f);
  return f;
}

Result<Ref<File>> Task::file(int fd) {
  Ref<File> f = TRY(file_or_path(fd));
  if (f->can(File::kPathOnly)) return Err(EBADF);
  return f;
}

Result<int> Task::add_fd(Ref<File> f, bool cloexec, int from) {
  const uint64_t most = limit(RLIMIT_NOFILE);
  if (from == 0 && installed_guard && installed_guard->scatters_descriptors()) {
    constexpr uint64_t kSpread = 1024;
    uint32_t start = 0;
    host::fill_random(std::as_writable_bytes(std::span(&start, 1)));
    start %= uint32_t(std::clamp<uint64_t>(most, 1, kSpread));
    auto fd = fds->add(f, cloexec, most, int(start));
    if (!failed_with(fd, EMFILE)) return fd;
  }
  return fds->add(std::move(f), cloexec, most, from);
}

WalkContext Task::walk_context() const {
  WalkContext ctx;
  ctx.root = fs->root();
  ctx.cwd = fs->cwd();
  ctx.creds = creds;
  ctx.mounts = ns.mounts;
  ctx.umask = fs->umask();
  return ctx;
}

Result<Path> Task::at(int dirfd) {
  if (dirfd == AT_FDCWD) return fs->cwd();
  return TRY(file_or_path(dirfd))->path();
}

GuestOut Task::out(UserOut buf) { return GuestOut(mem(), UserBuffers(buf.addr, buf.len)); }
GuestIn Task::in(UserIn buf) { return GuestIn(mem(), UserBuffers(buf.addr, buf.len)); }

Deadline Task::deadline(std::optional<int64_t> relative_ns) {
  if (!frame.deadline) {
    Deadline d;
    if (relative_ns) {
      const int64_t now = kernel.time.monotonic();
      d.ns = *relative_ns > INT64_MAX - now ? INT64_MAX : now + *relative_ns;
    }
    frame.deadline = d;
  }
  return *frame.deadline;
}

bool Task::timed_out() const {
  return frame.deadline && !frame.deadline->infinite() &&
         kernel.time.monotonic() >= frame.deadline->ns;
}

MemoryLimits Task::memory_limits() const {
  return {.as = limit(RLIMIT_AS),
          .data = limit(RLIMIT_DATA),
          .stack = limit(RLIMIT_STACK),
          .memlock = creds->capable(14 /* CAP_IPC_LOCK */) ? UINT64_MAX : limit(RLIMIT_MEMLOCK)};
}

uint64_t Task::limit(int resource) const { return group->limits[size_t(resource)].rlim_cur; }

void Task::set_name(std::string_view n) {
  comm.fill(0);
  memcpy(comm.data(), n.data(), std::min(n.size(), comm.size() - 1));
}

bool Task::has_work() {
  if (group->exiting || killed_by_exec || group_stop_pending || in_group_stop) return true;
  if (tracing.trap_stop || tracing.trap_notify) return true;
  return (pending.set() | group->pending.set()) & ~blocked;
}

void Task::recalc_interrupted() { interrupted = has_work() || saved_mask.has_value(); }

bool Task::fatal_signal_pending() { return group->exiting || killed_by_exec; }

}  // namespace usk
