#include "boot/root.h"

#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "fs/hostfs/hostfs.h"
#include "fs/overlay/overlay.h"
#include "fs/proc/proc_fs.h"
#include "fs/tmpfs/tmpfs.h"
#include "fs/tty/devpts.h"
#include "fs/vfs/vfs_ops.h"
#include "host/environment.h"
#include "host/inheritance.h"

namespace usk {
namespace {

// What of the host's root is shown by default. Homes, mounts and run-time state are not.
constexpr std::array<std::string_view, 14> kSystem = {"bin",    "etc", "lib",  "lib32", "lib64",
                                                      "libx32", "opt", "sbin", "srv",   "usr",
                                                      "var",    "nix", "gnu",  "snap"};
// Secrets within it.
constexpr std::array<std::string_view, 12> kSecrets = {
    "etc/shadow",      "etc/shadow-",    "etc/gshadow",    "etc/gshadow-",
    "etc/ssl/private", "etc/sudoers",    "etc/sudoers.d",  "etc/krb5.keytab",
    "var/lib/private", "var/spool/cron", "var/lib/docker", "var/lib/containerd"};

// Whether the rest does not show the caller's directory.
bool shows_cwd() {
  const std::string& cwd = host::current_directory();
  if (cwd.empty() || cwd == "/") return false;
  const std::string top = cwd.substr(1, cwd.find('/', 1) - 1);
  return std::find(kSystem.begin(), kSystem.end(), top) == kSystem.end();
}

class RootBuilder {
 public:
  RootBuilder(Kernel& kernel, const SandboxConfig& config, const std::optional<RootImage>& image)
      : kernel_(kernel), config_(config), image_(image) {}

  OrFailure<WalkContext> build() {
    TRY(make_base());
    TRY(mount_standard());
    TRY(make_devices());
    if (config_.root.empty()) TRY(show_cwd());
    for (const MountSpec& m : config_.mounts) TRY(add_mount(m));
    if (image_ && image_->config && !image_->config->cwd.empty()) {
      TRY(make_directory(image_->config->cwd));
    }
    if (overlay_) overlay_->settle();
    return ctx_;
  }

 private:
  OrFailure<void> make_base() {
    const std::string dir = config_.root.empty() ? "/" : config_.root;
    OverlayOptions options;
    if (config_.root.empty()) {
      for (const std::string& name : host::list_directory("/")) {
        if (std::find(kSystem.begin(), kSystem.end(), name) == kSystem.end()) {
          options.hidden.push_back(name);
        }
      }
      options.hidden.insert(options.hidden.end(), kSecrets.begin(), kSecrets.end());
      for (const std::string& name : host::list_directory("/etc/ssh")) {
        if (name.ends_with("_key")) options.hidden.push_back("etc/ssh/" + name);
      }
    }
    FsTree tree =
        TRY(image_ ? copy_on_write(image_->tree, dir, options) : copy_on_write(dir, options));
    overlay_ = ref_cast<OverlayFs>(tree.fs);
    auto creds = root_creds(kernel_.root_user_ns);
    ctx_.mounts = MountNamespace::make(Mount::make(tree, MS_RELATIME, "usk"), kernel_.root_user_ns);
    ctx_.root = ctx_.cwd = ctx_.mounts->root();
    ctx_.creds = creds;
    ctx_.umask = 022;
    return {};
  }

  OrFailure<FsTree> host_tree(const std::string& dir, bool writable) {
    auto fd = host::open_dir(dir);
    if (!fd) return fail(fmt::format("{}: {}", dir, strerror(int(fd.error()))));
    HostFsOptions options;
    options.writable = writable;
    auto tree = make_hostfs(*fd, options);
    if (!tree) return fail(fmt::format("{}: {}", dir, strerror(int(tree.error()))));
    return *tree;
  }

  OrFailure<FsTree> copy_on_write(const std::string& dir, const OverlayOptions& options) {
    return copy_on_write(TRY(host_tree(dir, false)), dir, options);
  }

  OrFailure<FsTree> copy_on_write(const FsTree& lower, const std::string& dir,
                                  const OverlayOptions& options) {
    auto tree = make_overlay({lower}, options);
    if (!tree) return fail(fmt::format("{}: {}", dir, strerror(int(tree.error()))));
    return *tree;
  }

  OrFailure<void> make_directory(const std::string& path, uint32_t mode = 0755) {
    for (size_t slash = 0; slash != path.npos;) {
      slash = path.find('/', slash + 1);
      auto r = vfs::mkdir(ctx_, ctx_.root, path.substr(0, slash), mode);
      if (!r && !failed_with(r, EEXIST)) {
        return fail(
            fmt::format("cannot make {} in the sandbox: {}", path, strerror(int(r.error()))));
      }
    }
    return {};
  }

  OrFailure<void> attach(FsTree tree, const std::string& target, unsigned long flags,
                         const std::string& source) {
    TRY(make_directory(target));
    auto at = walk(ctx_, ctx_.root, target, kFollow);
    if (!at) return fail(fmt::format("{}: {}", target, strerror(int(at.error()))));
    auto r = ctx_.mounts->attach(Mount::make(std::move(tree), flags | MS_RELATIME, source), *at);
    if (!r) return fail(fmt::format("cannot mount {}: {}", target, strerror(int(r.error()))));
    return {};
  }

  OrFailure<void> mount_tmpfs(const std::string& target, uint32_t mode, unsigned long flags) {
    TmpfsOptions options;
    options.mode = mode;
    auto tree = make_tmpfs(options);
    if (!tree) return fail(fmt::format("tmpfs: {}", strerror(int(tree.error()))));
    return attach(*tree, target, flags, "tmpfs");
  }

  OrFailure<void> mount_standard() {
    TRY(mount_tmpfs("/dev", 0755, MS_NOSUID));
    TRY(mount_tmpfs("/dev/shm", 01777, MS_NOSUID | MS_NODEV));
    TRY(mount_tmpfs("/tmp", 01777, MS_NOSUID | MS_NODEV));
    TRY(mount_tmpfs("/run", 0755, MS_NOSUID | MS_NODEV));
    if (config_.root.empty()) TRY(mount_tmpfs("/var/tmp", 01777, MS_NOSUID | MS_NODEV));
    DevPtsOptions pts;
    pts.gid = 5;
    pts.mode = 0620;
    pts.ptmxmode = 0666;
    auto tree = make_devpts(pts);
    if (!tree) return fail(fmt::format("devpts: {}", strerror(int(tree.error()))));
    TRY(attach(*tree, "/dev/pts", MS_NOSUID | MS_NOEXEC, "devpts"));
    for (const char* dir : {"/root", "/home"}) TRY(make_directory(dir));
    return mount_proc_and_sys();
  }

  OrFailure<void> mount_proc_and_sys() {
    auto tree = make_procfs(kernel_, kernel_.root_pid_ns);
    if (!tree) return fail(fmt::format("proc: {}", strerror(int(tree.error()))));
    TRY(attach(*tree, "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "proc"));
    tree = make_sysfs(kernel_, kernel_.root_pid_ns);
    if (!tree) return fail(fmt::format("sysfs: {}", strerror(int(tree.error()))));
    return attach(*tree, "/sys", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "sysfs");
  }

  OrFailure<void> make_devices() {
    struct Node {
      const char* path;
      unsigned major, minor;
    };
    static constexpr Node kNodes[] = {
        {"/dev/null", 1, 3},    {"/dev/zero", 1, 5}, {"/dev/full", 1, 7},    {"/dev/random", 1, 8},
        {"/dev/urandom", 1, 9}, {"/dev/tty", 5, 0},  {"/dev/console", 5, 1}, {"/dev/ptmx", 5, 2}};
    WalkContext open_mask = ctx_;
    open_mask.umask = 0;
    for (const Node& n : kNodes) {
      auto r = vfs::mknod(open_mask, ctx_.root, n.path, S_IFCHR | 0666, makedev(n.major, n.minor));
      if (!r) return fail(fmt::format("{}: {}", n.path, strerror(int(r.error()))));
    }
    static constexpr std::pair<const char*, const char*> kLinks[] = {
        {"/proc/self/fd", "/dev/fd"},
        {"/proc/self/fd/0", "/dev/stdin"},
        {"/proc/self/fd/1", "/dev/stdout"},
        {"/proc/self/fd/2", "/dev/stderr"}};
    for (auto [target, path] : kLinks) {
      auto r = vfs::symlink(ctx_, target, ctx_.root, path);
      if (!r) return fail(fmt::format("{}: {}", path, strerror(int(r.error()))));
    }
    return {};
  }

  OrFailure<void> add_mount(MountSpec m) {
    // "--rw ." means the same directory inside.
    if (!m.target.starts_with('/')) m.target = host::current_directory() + "/" + m.target;
    if (m.kind == MountSpec::Kind::kTmpfs)
      return mount_tmpfs(m.target, 01777, MS_NOSUID | MS_NODEV);
    if (m.kind == MountSpec::Kind::kCopyOnWrite) {
      return attach(TRY(copy_on_write(m.source, {})), m.target, 0, m.source);
    }
    const bool writable = m.kind == MountSpec::Kind::kReadWrite;
    return attach(TRY(host_tree(m.source, writable)), m.target, writable ? 0 : MS_RDONLY, m.source);
  }

  // The caller's directory, copy-on-write.
  OrFailure<void> show_cwd() {
    if (!shows_cwd()) return {};
    const std::string cwd = host::current_directory();
    OverlayOptions options;
    for (const char* secret : {".ssh", ".gnupg", ".aws", ".netrc", ".kube", ".docker",
                               ".config/gcloud", ".password-store", ".mozilla", ".bash_history"}) {
      options.hidden.push_back(secret);
    }
    return attach(TRY(copy_on_write(cwd, options)), cwd, 0, cwd);
  }

  Kernel& kernel_;
  const SandboxConfig& config_;
  const std::optional<RootImage>& image_;
  WalkContext ctx_;
  Ref<OverlayFs> overlay_;
};

}  // namespace

OrFailure<void> name_host_places(SandboxConfig& config) {
  const auto name = [](std::string& place) -> OrFailure<void> {
    auto lasting = host::lasting_name(place);
    if (!lasting) {
      return fail(place + " is a pipe or no file at all; give a directory, or a file with a name");
    }
    place = std::move(*lasting);
    return {};
  };
  TRY(name(config.root));
  for (MountSpec& m : config.mounts) TRY(name(m.source));
  return {};
}

std::vector<HostPlace> host_places(const SandboxConfig& config) {
  std::vector<HostPlace> places;
  if (config.root.empty()) {
    for (std::string_view name : kSystem) places.push_back({"/" + std::string(name)});
    if (shows_cwd()) places.push_back({host::current_directory()});
  } else {
    places.push_back({image_place(config.root)});
  }
  for (const MountSpec& m : config.mounts) {
    if (m.kind == MountSpec::Kind::kTmpfs) continue;
    places.push_back({m.source, m.kind == MountSpec::Kind::kReadWrite});
  }
  return places;
}

OrFailure<WalkContext> build_root(Kernel& kernel, const SandboxConfig& config,
                                  const std::optional<RootImage>& image) {
  return RootBuilder(kernel, config, image).build();
}

}  // namespace usk
