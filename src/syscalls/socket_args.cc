#include "syscalls/socket_args.h"

#include "syscalls/path_args.h"

namespace usk {
namespace {

// Linux: net.core.optmem_max
constexpr uint64_t kMaxControl = 128 << 10;

constexpr uint64_t aligned(uint64_t n) { return (n + 7) & ~uint64_t(7); }

Result<void> get_rights(Task& t, std::span<const std::byte> body, ControlData& control) {
  if (body.size() % sizeof(int) != 0) return Err(EINVAL);
  for (; !body.empty(); body = body.subspan(sizeof(int))) {
    int fd;
    memcpy(&fd, body.data(), sizeof fd);
    control.files.push_back(TRY(t.fds->get(fd)));
    if (installed_guard) {
      TRY(installed_guard->passing(Category::kSendfd, *control.files.back()));
    }
  }
  return {};
}

Result<void> get_creds(Task& t, std::span<const std::byte> body, ControlData& control) {
  ucred c;
  if (body.size() != sizeof c) return Err(EINVAL);
  memcpy(&c, body.data(), sizeof c);
  const UserNamespace& ns = *t.creds->user_ns;
  const auto uid = ns.uid_in(c.uid), gid = ns.gid_in(c.gid);
  if (!uid || !gid) return Err(EINVAL);
  int pid = 0;
  {
    Lock lock(task_mutex);
    if (Ref<Pid> found = t.pid_ns().find(c.pid)) pid = found->root_nr();
  }
  if (pid == 0) return Err(ESRCH);
  control.creds = SocketCreds{pid, *uid, *gid};
  return {};
}

Result<void> get_one(Task& t, const cmsghdr& h, std::span<const std::byte> body,
                     ControlData& control) {
  if (h.cmsg_level != SOL_SOCKET) {
    control.others.push_back(
        {h.cmsg_level, h.cmsg_type, {reinterpret_cast<const char*>(body.data()), body.size()}});
    return {};
  }
  switch (h.cmsg_type) {
    case SCM_RIGHTS: return get_rights(t, body, control);
    case SCM_CREDENTIALS: return get_creds(t, body, control);
    default: return Err(EINVAL);
  }
}

// Builds msg_control in the guest.
class ControlWriter {
 public:
  ControlWriter(Task& t, uint64_t addr, uint64_t room) : t_(t), addr_(addr), room_(room) {}
  // False, with nothing written, where not even the header fits.
  Result<bool> put(int level, int type, std::span<const std::byte> body, int& flags) {
    if (left() < sizeof(cmsghdr)) {
      flags |= MSG_CTRUNC;
      return false;
    }
    uint64_t size = sizeof(cmsghdr) + body.size();
    if (size > left()) {
      flags |= MSG_CTRUNC;
      size = left();
    }
    const cmsghdr header{size, level, type};
    std::vector<std::byte> bytes(size);
    memcpy(bytes.data(), &header, sizeof header);
    memcpy(bytes.data() + sizeof header, body.data(), size - sizeof header);
    TRY(t_.mem().copy_out(addr_ + done_, bytes));
    done_ += std::min(aligned(size), left());
    return true;
  }
  uint64_t left() const { return room_ - done_; }
  uint64_t done() const { return done_; }

 private:
  Task& t_;
  uint64_t addr_, room_, done_ = 0;
};

// As many files as fit become descriptors; the others are let go.
Result<void> put_rights(Task& t, std::vector<Ref<File>>& files, bool cloexec, ControlWriter& out,
                        int& flags) {
  const uint64_t room = out.left();
  const uint64_t fit = room > sizeof(cmsghdr) ? (room - sizeof(cmsghdr)) / sizeof(int) : 0;
  if (installed_guard) {
    for (const Ref<File>& f : files) TRY(installed_guard->passing(Category::kRecvfd, *f));
  }
  std::vector<int> fds;
  while (fds.size() < std::min<uint64_t>(fit, files.size())) {
    auto fd = t.add_fd(files[fds.size()], cloexec);
    if (!fd) break;
    fds.push_back(*fd);
  }
  if (fds.size() < files.size()) flags |= MSG_CTRUNC;
  if (fds.empty()) return {};
  TRY(out.put(SOL_SOCKET, SCM_RIGHTS, std::as_bytes(std::span(fds)), flags));
  return {};
}

}  // namespace

Result<Ref<Socket>> get_socket(Task& t, Fd fd) {
  auto socket = ref_cast<Socket>(TRY(t.file(fd.n)));
  if (!socket) return Err(ENOTSOCK);
  return socket;
}

Result<SocketAddress> get_address(Task& t, uint64_t addr, int32_t size) {
  if (size < 0 || size_t(size) > sizeof(sockaddr_storage)) return Err(EINVAL);
  SocketAddress a;
  a.bytes.resize(size_t(size));
  TRY(t.mem().copy_in(std::as_writable_bytes(std::span(a.bytes)), addr));
  return a;
}

Result<void> put_address(Task& t, const SocketAddress& from, uint64_t addr, UserPtr<int32_t> size) {
  const int32_t room = TRY(t.mem().get(size));
  if (room < 0) return Err(EINVAL);
  const size_t n = std::min<size_t>(size_t(room), from.bytes.size());
  TRY(t.mem().copy_out(addr, std::as_bytes(std::span(from.bytes)).first(n)));
  return t.mem().put(size, int32_t(from.bytes.size()));
}

Result<ControlData> get_control(Task& t, uint64_t addr, uint64_t size) {
  ControlData control;
  if (size == 0) return control;
  if (size > kMaxControl) return Err(ENOBUFS);
  std::vector<std::byte> bytes(size);
  TRY(t.mem().copy_in(bytes, addr));
  std::span<const std::byte> rest(bytes);
  while (rest.size() >= sizeof(cmsghdr)) {
    cmsghdr h;
    memcpy(&h, rest.data(), sizeof h);
    if (h.cmsg_len < sizeof h || h.cmsg_len > rest.size()) return Err(EINVAL);
    TRY(get_one(t, h, rest.subspan(sizeof h, h.cmsg_len - sizeof h), control));
    rest = rest.subspan(std::min<uint64_t>(aligned(h.cmsg_len), rest.size()));
  }
  return control;
}

Result<uint64_t> put_control(Task& t, ControlData control, uint64_t addr, uint64_t room,
                             bool cloexec, int& flags) {
  ControlWriter out(t, addr, room);
  if (control.creds) {
    TaskCaller caller(t);
    const UserNamespace& ns = *t.creds->user_ns;
    const ucred c{caller.process_to_guest(control.creds->pid), ns.uid_out(control.creds->uid),
                  ns.gid_out(control.creds->gid)};
    TRY(out.put(SOL_SOCKET, SCM_CREDENTIALS, std::as_bytes(std::span(&c, 1)), flags));
  }
  for (const ControlData::Raw& r : control.others) {
    TRY(out.put(r.level, r.type, std::as_bytes(std::span(r.bytes)), flags));
  }
  if (!control.files.empty()) TRY(put_rights(t, control.files, cloexec, out, flags));
  return out.done();
}

Result<Path> TaskSocketNames::make_socket_node(std::string_view path) {
  const std::string name(path);
  const Path at = t_.fs->cwd();
  auto place = vfs::make_socket(t_.walk_context(), at, name, 0777);
  if (failed_with(place, EEXIST)) return Err(EADDRINUSE);
  return place;
}

Result<Path> TaskSocketNames::find_socket_node(std::string_view path) {
  const std::string name(path);
  const WalkContext ctx = t_.walk_context();
  Path place = TRY(walk(ctx, ctx.cwd, name, kFollow));
  TRY(ask(Category::kNetConnect, place));
  TRY(vfs::access(ctx, place, kMayWrite));
  return place;
}

}  // namespace usk
