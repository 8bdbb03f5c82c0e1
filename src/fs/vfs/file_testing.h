// What unit tests of files share: bytes in and out, a caller, waiters that count.
#pragma once
#include <map>
#include <string>
#include <string_view>

#include "fs/vfs/caller.h"
#include "fs/vfs/file.h"
#include "fs/vfs/internal.h"
#include "fs/vfs/terminal.h"

namespace usk::testing {

inline Ref<const Creds> test_creds() {
  static Ref<Creds> creds = root_creds(UserNamespace::make_initial());
  return creds;
}

inline Ref<const Creds> user_creds(Uid uid) {
  auto creds = make_ref<Creds>();
  creds->uid = creds->euid = creds->suid = creds->fsuid = uid;
  creds->gid = creds->egid = creds->sgid = creds->fsgid = uid;
  creds->user_ns = test_creds()->user_ns;
  return creds;
}

inline Result<size_t> write_to(File& file, std::string_view bytes) {
  KernelIn in(std::as_bytes(std::span(bytes)));
  uint64_t pos = 0;
  return file.write(in, pos);
}

// A file system for inodes that a test makes. One for all: it holds its own mount.
inline Ref<InternalFs> test_fs() {
  static const auto& fs = *new Ref(make_ref<InternalFs>("test", 0));
  return fs;
}

// Up to `n` bytes; the error otherwise.
inline Result<std::string> read_from(File& file, size_t n = 1 << 17) {
  std::string s(n, '\0');
  KernelOut out(std::as_writable_bytes(std::span(s)));
  uint64_t pos = 0;
  s.resize(TRY(file.read(out, pos)));
  return s;
}

template <class T>
Result<T> read_object(File& file) {
  T v{};
  KernelOut out(std::as_writable_bytes(std::span(&v, 1)));
  uint64_t pos = 0;
  TRY(file.read(out, pos));
  return v;
}

template <class T>
Result<size_t> write_object(File& file, const T& v) {
  return write_to(file, {reinterpret_cast<const char*>(&v), sizeof v});
}

// Guest memory that can be written nowhere.
class FaultyOut final : public IoOut {
 public:
  explicit FaultyOut(size_t size) : size_(size) {}
  size_t size() const override { return size_; }
  Result<size_t> put(std::span<const std::byte>) override { return Err(EFAULT); }

 private:
  size_t size_;
};

class CountingWaiter final : public Waiter {
 public:
  void notify(PollMask events) override {
    ++count;
    seen |= events;
  }
  // Whether it was told of any of `events` since the last call.
  bool take(PollMask events) {
    const bool told = seen & events;
    seen = 0;
    return told;
  }
  std::atomic<int> count{0};
  std::atomic<PollMask> seen{0};
};

// A process, with memory that maps an address to what a test put there.
class FakeCaller : public Caller {
 public:
  const Creds& creds() const override { return *who; }
  Result<void> copy_in(std::span<std::byte> dst, uint64_t addr) override {
    if (addr < 4096) return Err(EFAULT);
    memcpy(dst.data(), reinterpret_cast<const void*>(addr), dst.size());
    return {};
  }
  Result<void> copy_out(uint64_t addr, std::span<const std::byte> src) override {
    if (addr < 4096) return Err(EFAULT);
    memcpy(reinterpret_cast<void*>(addr), src.data(), src.size());
    return {};
  }
  // ioctl with a pointer to `v`.
  template <class T>
  Result<int64_t> ioctl(File& file, uint32_t cmd, T& v) {
    return file.ioctl(*this, cmd, reinterpret_cast<uint64_t>(&v));
  }
  Result<int64_t> ioctl_value(File& file, uint32_t cmd, uint64_t v = 0) {
    return file.ioctl(*this, cmd, v);
  }

  SessionId session() override { return session_id; }
  GroupId group() override { return group_id; }
  bool is_session_leader() override { return leader; }
  bool group_is_orphaned() override { return orphaned; }
  bool ignores_or_blocks(int signal) override { return ignored >> signal & 1; }
  Ref<Terminal> controlling_terminal() override { return terminal; }
  void set_controlling_terminal(Ref<Terminal> t) override { terminal = std::move(t); }
  int group_to_guest(GroupId id) override { return id; }
  GroupId group_from_guest(int id) override { return id; }
  SessionId session_of_group(GroupId id) override {
    auto it = groups.find(id);
    return it == groups.end() ? 0 : it->second;
  }
  Result<int> add_fd(Ref<File> file, bool cloexec) override {
    added = std::move(file);
    return 77;
  }

  Ref<const Creds> who = test_creds();
  SessionId session_id = 10;
  GroupId group_id = 10;
  bool leader = true, orphaned = false;
  uint64_t ignored = 0;  // Bit n: signal n is ignored or blocked.
  std::map<GroupId, SessionId> groups{{10, 10}, {11, 10}, {20, 20}};
  Ref<File> added;
  Ref<Terminal> terminal;
};

}  // namespace usk::testing
