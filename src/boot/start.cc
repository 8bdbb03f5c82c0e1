#include "boot/start.h"

#include <fmt/format.h>
#include <string.h>

#include "boot/user.h"
#include "fs/vfs/vfs_ops.h"
#include "kernel/task/caller.h"
#include "kernel/task/clone.h"
#include "loader/loader.h"

namespace usk {
namespace {

// The command as the shell would find it: a path with a slash, or along PATH.
OrFailure<std::string> find_command(const WalkContext& ctx, const std::string& name,
                                    const std::vector<std::string>& env) {
  auto check = [&](const std::string& path) -> Result<void> {
    const Path p = TRY(walk(ctx, ctx.cwd, path, kFollow));
    return vfs::may_execute(ctx, p);
  };
  if (name.find('/') != name.npos) {
    auto r = check(name);
    if (r) return name;
    const bool missing = failed_with(r, ENOENT) || failed_with(r, ENOTDIR);
    return fail(fmt::format("{}: {} (in the sandbox)", name, strerror(int(r.error()))),
                missing ? 127 : 126);
  }
  std::string_view path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  for (const std::string& e : env) {
    if (e.starts_with("PATH=")) path = std::string_view(e).substr(5);
  }
  bool denied = false;
  while (!path.empty()) {
    const size_t colon = path.find(':');
    std::string candidate(path.substr(0, colon));
    path.remove_prefix(colon == path.npos ? path.size() : colon + 1);
    candidate += "/" + name;
    auto r = check(candidate);
    if (r) return candidate;
    denied |= failed_with(r, EACCES);
  }
  if (denied) return fail(fmt::format("{}: not executable", name), 126);
  return fail(fmt::format("{}: command not found in the sandbox's PATH", name), 127);
}

// A process that runs `image`, in the namespaces of process 1; not yet scheduled.
Result<Ref<Task>> make_program_process(Kernel& kernel, ProcessSpec process, ExecImage& image) {
  process.creds = image.creds;
  {
    Lock lock(task_mutex);
    process.ns = kernel.init->leader->ns;
  }
  Ref<Task> task = TRY(make_process(kernel, process));
  task->mm = image.mm;
  task->cpu = std::move(image.cpu);
  task->cpu->owner = task.get();
  task->set_name(image.comm);
  return task;
}

Tty* controlling_terminal(const StreamSource& source) {
  if (source.remote) return &source.remote->tty();
  return source.terminal ? source.terminal->tty().get() : nullptr;
}

}  // namespace

std::array<rlimit64, RLIM_NLIMITS> default_limits(uint64_t pids) {
  std::array<rlimit64, RLIM_NLIMITS> l;
  l.fill({RLIM64_INFINITY, RLIM64_INFINITY});
  l[RLIMIT_STACK] = {8 << 20, RLIM64_INFINITY};
  l[RLIMIT_CORE] = {0, RLIM64_INFINITY};
  l[RLIMIT_NOFILE] = {1024, 1048576};
  l[RLIMIT_MEMLOCK] = {8 << 20, 8 << 20};
  l[RLIMIT_SIGPENDING] = {65536, 65536};
  l[RLIMIT_MSGQUEUE] = {819200, 819200};
  l[RLIMIT_NICE] = l[RLIMIT_RTPRIO] = {0, 0};
  const uint64_t tasks = pids ? pids : 65536;
  l[RLIMIT_NPROC] = {tasks, tasks};
  return l;
}

void merge_environment(std::vector<std::string>& env, const std::vector<std::string>& given) {
  for (const std::string& e : given) {
    const std::string key = e.substr(0, e.find('=') + 1);
    std::erase_if(env, [&](const std::string& old) { return old.starts_with(key); });
    env.push_back(e);
  }
}

namespace {

// What is to be run, found as who starts it finds it: the policy has no say in that.
OrFailure<LoadRequest> find_program(const WalkContext& root, const CommandSpec& spec) {
  const GuardPause pause;
  LoadRequest q;
  q.walk = root;
  WalkContext& ctx = q.walk;
  ctx.creds = TRY(user_creds(root, spec.user));
  if (!spec.cwd.empty()) {
    auto cwd = walk(ctx, ctx.root, spec.cwd, kFollow | kWantDirectory);
    if (!cwd) return fail(fmt::format("--cwd {}: {}", spec.cwd, strerror(int(cwd.error()))));
    ctx.cwd = *cwd;
  }
  q.name = TRY(find_command(ctx, spec.argv[0], spec.env));
  auto file = walk(ctx, ctx.cwd, q.name, kFollow);
  if (!file) return fail(fmt::format("{}: {}", q.name, strerror(int(file.error()))), 127);
  q.file = *file;
  q.argv = spec.argv;
  q.envp = spec.env;
  q.creds = ctx.creds;
  return q;
}

OrFailure<Ref<FdTable>> make_streams(const StreamSource& source, const WalkContext& ctx) {
  const GuardPause pause;
  auto fds = make_ref<FdTable>();
  if (source.remote) {
    TRY(install_terminal(*source.remote, *fds, ctx));
  } else if (source.streams) {
    TRY(install_streams(source.poller, *source.streams, *fds, ctx));
  } else {
    TRY(install_stdio(source.poller, source.terminal, *fds, ctx));
  }
  return fds;
}

}  // namespace

OrFailure<Ref<ThreadGroup>> start_command(Kernel& kernel, const WalkContext& root,
                                          const CommandSpec& spec, const StreamSource& source) {
  LoadRequest q = TRY(find_program(root, spec));
  const WalkContext ctx = q.walk;
  const std::string path = q.name;
  auto image = load_program(kernel, std::move(q));
  if (!image) {
    return fail(fmt::format("{}: {}", path, strerror(int(image.error()))), 126);
  }
  ProcessSpec process;
  process.fds = TRY(make_streams(source, ctx));
  process.fs = make_ref<FsState>(ctx.root, ctx.cwd, 022);
  process.limits = spec.limits;
  auto task = make_program_process(kernel, std::move(process), **image);
  if (!task) return fail("cannot make the command's process");
  if (Tty* tty = controlling_terminal(source)) {
    TaskCaller caller(**task);
    tty->adopt_leader(caller);
  }
  kernel.scheduler.add(**task);
  return (*task)->group;
}

Result<void> start_helper(Kernel& kernel, const std::vector<std::string>& argv, Ref<File> input) {
  WalkContext ctx;
  Ref<FsState> fs;
  {
    Lock lock(task_mutex);
    fs = kernel.init->leader->fs;
    ctx.mounts = kernel.init->leader->ns.mounts;
  }
  ctx.root = ctx.cwd = fs->root();
  ctx.creds = root_creds(kernel.root_user_ns);
  LoadRequest q;
  q.argv = argv;
  q.file = TRY(walk(ctx, ctx.cwd, argv[0], kFollow));
  q.name = argv[0];
  q.walk = ctx;
  q.creds = ctx.creds;
  auto image = TRY(load_program(kernel, std::move(q)));
  ProcessSpec process;
  process.fds = make_ref<FdTable>();
  process.fs = make_ref<FsState>(ctx.root, ctx.cwd, 022);
  process.limits = default_limits(0);
  process.limits[RLIMIT_CORE] = {1, 1};
  TRY(process.fds->add(std::move(input), /*cloexec=*/false, /*limit=*/1, 0));
  Ref<Task> task = TRY(make_program_process(kernel, std::move(process), *image));
  kernel.scheduler.add(*task);
  return {};
}

}  // namespace usk
