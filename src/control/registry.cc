#include "control/registry.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <string.h>

#include <algorithm>

#include "control/message.h"
#include "host/environment.h"
#include "host/file.h"
#include "host/file_io.h"
#include "host/local_socket.h"
#include "host/poll.h"
#include "host/process.h"
#include "host/random.h"

namespace usk {
namespace {

constexpr char kSocket[] = "control";
constexpr char kState[] = "state.json";
constexpr char kNewState[] = "state.json.new";
constexpr char kLock[] = "lock";

bool is_own_directory(const HostFd& dir, uint32_t others) {
  auto s = host::stat_at(dir, "");
  return s && S_ISDIR(s->stx_mode) && s->stx_uid == host::effective_uid() &&
         !(s->stx_mode & others);
}

// $XDG_RUNTIME_DIR/usk, /run/user/UID/usk or /tmp/usk-UID: the first that is ours alone.
OrFailure<Ref<HostFd>> open_runtime(std::string* path = nullptr) {
  const uint32_t uid = host::effective_uid();
  std::vector<std::pair<std::string, std::string>> places;
  std::string xdg;
  if (host::environment("XDG_RUNTIME_DIR", xdg) && xdg.starts_with('/')) {
    places.push_back({xdg, "usk"});
  }
  places.push_back({fmt::format("/run/user/{}", uid), "usk"});
  places.push_back({"/tmp", fmt::format("usk-{}", uid)});
  for (const auto& [parent, name] : places) {
    auto up = host::open_dir(parent);
    if (!up || (parent != "/tmp" && !is_own_directory(**up, 022))) continue;
    (void)host::mkdir_at(**up, name, 0700);  // Or it is there: looked at next.
    auto dir = host::open_beneath(**up, name, O_RDONLY | O_DIRECTORY);
    if (dir && is_own_directory(**dir, 077)) {
      if (path) *path = parent + "/" + name;
      return *dir;
    }
    if (parent == "/tmp") {
      return fail(
          fmt::format("{}/{} is not a directory of yours alone (mode 0700); remove it or "
                      "set XDG_RUNTIME_DIR",
                      parent, name));
    }
  }
  return fail(
      "there is no place for running sandboxes; set XDG_RUNTIME_DIR to a directory of "
      "yours");
}

OrFailure<Ref<HostFd>> lock_runtime(const HostFd& runtime) {
  auto lock = host::open_beneath(runtime, kLock, O_RDWR | O_CREAT, 0600);
  if (lock) {
    if (auto r = host::lock_exclusive(**lock); !r) lock = std::unexpected(r.error());
  }
  if (!lock) {
    return fail(fmt::format("cannot lock the list of sandboxes: {}", strerror(int(lock.error()))));
  }
  return *lock;
}

// Of what is longer than any entry, the beginning.
std::string read_text(const HostFd& dir, const std::string& path) {
  constexpr uint64_t kLongest = 1 << 20;
  auto file = host::open_beneath(dir, path, O_RDONLY | O_NONBLOCK);
  if (!file) return {};
  const auto info = host::stat_at(**file, "");
  std::string text(info ? std::min<uint64_t>(info->stx_size, kLongest) : 0, 0);
  auto n = host::pread(**file, std::as_writable_bytes(std::span(text)), 0);
  text.resize(n ? *n : 0);
  return text;
}

bool is_id(const std::string& s) {
  return s.size() == 12 && s.find_first_not_of("0123456789abcdef") == s.npos;
}

// What the directory says, if its process lives.
std::optional<SandboxEntry> live_entry(const HostFd& runtime, const std::string& id) {
  auto json = parse_object(read_text(runtime, id + "/" + kState));
  if (!json) return std::nullopt;
  SandboxEntry e;
  e.id = id;
  e.name = text_of(*json, "name");
  e.pid = int(number_of(*json, "pid"));
  e.status = text_of(*json, "status");
  e.created = text_of(*json, "created");
  e.command = texts_of(*json, "command");
  const auto start = host::process_start(e.pid);
  if (e.pid <= 0 || !start || int64_t(*start) != number_of(*json, "start", -1)) return std::nullopt;
  return e;
}

// Fails only if something else was put there; then it stays.
void remove_entry(const HostFd& runtime, const std::string& id) {
  if (auto dir = host::open_beneath(runtime, id, O_RDONLY | O_DIRECTORY)) {
    (void)host::unlink_at(**dir, kSocket, 0);
    (void)host::unlink_at(**dir, kState, 0);
    (void)host::unlink_at(**dir, kNewState, 0);
  }
  (void)host::unlink_at(runtime, id, AT_REMOVEDIR);
}

OrFailure<std::vector<SandboxEntry>> list_locked(const HostFd& runtime) {
  auto names = host::read_dir(runtime);
  if (!names) {
    return fail(fmt::format("cannot list the sandboxes: {}", strerror(int(names.error()))));
  }
  std::vector<SandboxEntry> out;
  for (const host::HostDirEntry& d : *names) {
    if (!is_id(d.name)) continue;
    if (auto e = live_entry(runtime, d.name)) {
      out.push_back(std::move(*e));
    } else {
      remove_entry(runtime, d.name);
    }
  }
  std::ranges::sort(out, {}, [](const SandboxEntry& e) { return std::tie(e.created, e.id); });
  return out;
}

std::string new_id() {
  std::array<std::byte, 6> bytes;
  host::fill_random(bytes);
  std::string id;
  for (std::byte b : bytes) id += fmt::format("{:02x}", unsigned(b));
  return id;
}

std::string timestamp() {
  const int64_t ns = host::realtime_now();
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(time_t(ns / 1000000000)),
                     ns / 1000000 % 1000);
}

}  // namespace

bool is_valid_name(const std::string& name) {
  constexpr char kAllowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
  return !name.empty() && name.size() <= 63 && name.find_first_not_of(kAllowed) == name.npos &&
         name[0] != '-' && name[0] != '.';
}

OrFailure<std::vector<SandboxEntry>> list_sandboxes() {
  Ref<HostFd> runtime = TRY(open_runtime());
  Ref<HostFd> lock = TRY(lock_runtime(*runtime));
  return list_locked(*runtime);
}

OrFailure<SandboxEntry> find_sandbox(const std::string& wanted) {
  const std::vector<SandboxEntry> all = TRY(list_sandboxes());
  std::vector<SandboxEntry> matching;
  for (const SandboxEntry& e : all) {
    if (e.name == wanted || e.id == wanted) return e;
    if (!wanted.empty() && e.id.starts_with(wanted)) matching.push_back(e);
  }
  if (matching.size() == 1) return matching[0];
  if (matching.empty()) {
    return fail(fmt::format("no sandbox {:?} is running; usk list shows those that are", wanted));
  }
  return fail(fmt::format("{} sandboxes have ids that begin with {}; give more of it",
                          matching.size(), wanted));
}

OrFailure<UniqueFd> connect_sandbox(const SandboxEntry& entry) {
  Ref<HostFd> runtime = TRY(open_runtime());
  auto dir = host::open_beneath(*runtime, entry.id, O_PATH | O_DIRECTORY);
  if (!dir) return fail(fmt::format("sandbox {} has just ended", entry.id));
  auto socket = host::connect_local(**dir, kSocket);
  if (!socket) {
    return fail(fmt::format("cannot reach sandbox {} (process {}): {}", entry.id, entry.pid,
                            strerror(int(socket.error()))));
  }
  return std::move(*socket);
}

OrFailure<std::unique_ptr<Registration>> Registration::make(
    const std::string& name, const std::vector<std::string>& command) {
  if (!name.empty() && !is_valid_name(name)) {
    return fail("--name: letters, digits and _.- only, at most 63, beginning with none of .-");
  }
  std::unique_ptr<Registration> r(new Registration);
  r->runtime_ = TRY(open_runtime(&r->path_));
  Ref<HostFd> lock = TRY(lock_runtime(*r->runtime_));
  for (const SandboxEntry& e : TRY(list_locked(*r->runtime_))) {
    if (!name.empty() && e.name == name) {
      return fail(
          fmt::format("--name {}: sandbox {} has this name; end it with usk kill {} or "
                      "choose another",
                      name, e.id, name));
    }
  }
  SandboxEntry entry{.id = new_id(),
                     .name = name,
                     .pid = host::own_pid(),
                     .created = timestamp(),
                     .command = command};
  if (auto made = host::mkdir_at(*r->runtime_, entry.id, 0700); !made) {
    return fail(fmt::format("cannot register the sandbox: {}", strerror(int(made.error()))));
  }
  r->entry_ = std::move(entry);  // From here on the destructor cleans up.
  auto dir = host::open_beneath(*r->runtime_, r->entry_.id, O_RDONLY | O_DIRECTORY);
  if (!dir) {
    return fail(fmt::format("cannot register the sandbox: {}", strerror(int(dir.error()))));
  }
  auto socket = host::listen_local(**dir, kSocket);
  if (!socket) {
    return fail(fmt::format("cannot make a control socket: {}", strerror(int(socket.error()))));
  }
  r->socket_ = std::move(*socket);
  r->directory_ = *dir;
  r->path_ += "/" + r->entry_.id;
  const auto start = host::process_start(r->entry_.pid);
  if (!start) return fail("cannot read /proc/self/stat; mount /proc");
  r->start_ = *start;
  TRY(r->write_entry());
  return r;
}

OrFailure<void> Registration::set_status(std::string status) {
  if (entry_.status == status) return {};
  entry_.status = std::move(status);
  return write_entry();
}

// Readers see the old text or the new one.
OrFailure<void> Registration::write_entry() {
  const Json json = {
      {"id", entry_.id},         {"name", entry_.name},       {"pid", entry_.pid},
      {"status", entry_.status}, {"created", entry_.created}, {"command", entry_.command},
      {"start", start_}};
  const std::string text = to_text(json, 2) + "\n";
  auto file = host::open_beneath(*directory_, kNewState, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  Result<size_t> n = Err(EIO);
  if (file) n = host::pwrite(**file, std::as_bytes(std::span(text)), 0);
  Errno error = !file ? file.error() : !n ? n.error() : Errno(ENOSPC);
  if (n && *n == text.size()) {
    const auto renamed = host::rename_at(*directory_, kNewState, *directory_, kState, 0);
    if (renamed) return {};
    error = renamed.error();
  }
  return fail(fmt::format("cannot write {}: {}", kState, strerror(int(error))));
}

Registration::~Registration() {
  if (!entry_.id.empty()) remove_entry(*runtime_, entry_.id);
}

}  // namespace usk
