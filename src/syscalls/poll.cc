// poll(2), ppoll(2), select(2), pselect(2).
#include <bit>

#include "fs/vfs/saving.h"
#include "kernel/kernel.h"
#include "kernel/signal/send.h"
#include "syscalls/signal_mask.h"
#include "syscalls/time_args.h"

namespace usk::sys {
namespace {

// What a poll keeps between invocations: the files stay those of the first.
struct PollState {
  std::vector<pollfd> fds;
  std::vector<Ref<File>> files;

  template <class A>
  void fields(A& ar) {
    std::vector<std::pair<int, short>> asked;
    for (const pollfd& p : fds) asked.emplace_back(p.fd, p.events);
    ar.all("fds, files", asked, files);
    if constexpr (A::kLoading) {
      for (auto [fd, events] : asked) fds.push_back({fd, events, 0});
    }
  }
  OrFailure<void> restored(state::Restored&) {
    if (fds.size() != files.size()) return fail("another number of files");
    return {};
  }
};
USK_SAVED(PollState, "syscalls/poll-state")

int look(PollState& s) {
  int ready = 0;
  for (size_t i = 0; i < s.fds.size(); i++) {
    pollfd& p = s.fds[i];
    p.revents = 0;
    if (p.fd < 0) continue;
    if (!s.files[i]) {
      p.revents = POLLNVAL;
    } else {
      const PollMask wanted = uint32_t(uint16_t(p.events)) | POLLERR | POLLHUP;
      p.revents = short(s.files[i]->poll() & wanted);
    }
    ready += p.revents != 0;
  }
  return ready;
}

void open_files(Task& t, PollState& s) {
  s.files.resize(s.fds.size());
  for (size_t i = 0; i < s.fds.size(); i++) {
    if (s.fds[i].fd < 0) continue;
    auto f = t.fds->get(s.fds[i].fd);
    if (f && !(*f)->can(File::kPathOnly)) s.files[i] = *f;
  }
}

// How many are ready, or nothing: the caller is to wait.
std::optional<int> poll_once(Task& t, PollState& s) {
  int ready = look(s);
  if (ready || t.timed_out()) return ready;
  for (size_t i = 0; i < s.fds.size(); i++) {
    if (s.files[i]) t.waits().add(s.files[i]->queue(), uint16_t(s.fds[i].events), s.files[i]);
  }
  ready = look(s);
  if (ready) return ready;
  return std::nullopt;
}

Result<void> write_revents(Task& t, UserPtr<pollfd> fds, const PollState& s) {
  for (size_t i = 0; i < s.fds.size(); i++) {
    const uint64_t at = fds.addr + i * sizeof(pollfd) + offsetof(pollfd, revents);
    TRY(t.mem().put(UserPtr<short>{at}, s.fds[i].revents));
  }
  return {};
}

Result<PollState*> poll_state(Task& t, UserPtr<pollfd> fds, uint64_t count) {
  PollState& s = t.extra<PollState>();
  if (t.frame.first) {
    if (count > t.limit(RLIMIT_NOFILE)) return Err(EINVAL);
    s.fds = TRY(t.mem().get_array(UserPtr<const pollfd>{fds.addr}, count));
    open_files(t, s);
  }
  return &s;
}

SyscallResult do_poll(Task& t, UserPtr<pollfd> fds, uint64_t count, std::optional<int64_t> timeout,
                      OnSignal on_signal) {
  PollState* s = TRY(poll_state(t, fds, count));
  const Deadline until = t.deadline(timeout);
  auto ready = poll_once(t, *s);
  if (!ready) {
    if (on_signal == OnSignal::kRestartBlock) {
      t.restart = {.kind = RestartBlock::Kind::kPoll, .until = until, .args = {fds.addr, count}};
    }
    return Block{until, on_signal};
  }
  TRY(write_revents(t, fds, *s));
  return *ready;
}

}  // namespace

SyscallResult poll(Task& t, UserPtr<pollfd> fds, uint64_t count, int32_t timeout_ms) {
  std::optional<int64_t> timeout;
  if (timeout_ms >= 0) timeout = int64_t(timeout_ms) * 1000000;
  return do_poll(t, fds, count, timeout, OnSignal::kRestartBlock);
}

SyscallResult restart_poll(Task& t) {
  if (!t.frame.deadline) t.frame.deadline = t.restart.until;
  return do_poll(t, {t.restart.args[0]}, t.restart.args[1], std::nullopt, OnSignal::kRestartBlock);
}

SyscallResult ppoll(Task& t, UserPtr<pollfd> fds, uint64_t count, UserPtr<KernelTimespec> timeout,
                    UserPtr<const uint64_t> mask, uint64_t size) {
  std::optional<int64_t> ns;
  if (t.frame.first) {
    ns = TRY(get_timeout(t, {timeout.addr}));
    TRY(swap_mask(t, mask, size));
  }
  auto r = do_poll(t, fds, count, ns, OnSignal::kNoHand);
  return finish_masked_wait(t, std::move(r), timeout);
}

namespace {

constexpr int kMaxSelect = 1 << 20;
constexpr PollMask kIn = POLLRDNORM | POLLRDBAND | POLLIN | POLLHUP | POLLERR;
constexpr PollMask kOut = POLLWRBAND | POLLWRNORM | POLLOUT | POLLERR;
constexpr PollMask kExcept = POLLPRI;

struct SelectState {
  int count = 0;
  std::vector<uint64_t> wanted[3], got[3];
  struct Item {
    int fd;
    Ref<File> file;
    PollMask events;
    USK_FIELDS(fd, file, events)
  };
  std::vector<Item> items;

  USK_FIELDS(count, wanted, items)
  OrFailure<void> restored(state::Restored&) {
    const size_t words = (size_t(std::clamp(count, 0, kMaxSelect)) + 63) / 64;
    for (int k = 0; k < 3; k++) {
      if (wanted[k].size() != words) return fail("a set of another size");
      got[k].assign(words, 0);
    }
    for (const Item& item : items) {
      if (!item.file || item.fd < 0 || item.fd >= count) return fail("a file of no set");
    }
    return {};
  }
};
USK_SAVED(SelectState, "syscalls/select-state")

Result<void> read_sets(Task& t, SelectState& s, int count, const UserPtr<uint64_t> (&sets)[3]) {
  static constexpr PollMask kEvents[3] = {POLLIN | POLLRDNORM | POLLRDBAND,
                                          POLLOUT | POLLWRNORM | POLLWRBAND, POLLPRI};
  if (count < 0) return Err(EINVAL);
  s.count = int(std::min<uint64_t>({uint64_t(count), t.limit(RLIMIT_NOFILE), kMaxSelect}));
  const size_t words = (size_t(s.count) + 63) / 64;
  for (int k = 0; k < 3; k++) {
    s.wanted[k].assign(words, 0);
    s.got[k].assign(words, 0);
    if (sets[k]) s.wanted[k] = TRY(t.mem().get_array(UserPtr<const uint64_t>{sets[k].addr}, words));
  }
  for (int fd = 0; fd < s.count; fd++) {
    PollMask events = 0;
    for (int k = 0; k < 3; k++) {
      if (s.wanted[k][size_t(fd) / 64] >> (fd % 64) & 1) events |= kEvents[k];
    }
    if (!events) continue;
    Ref<File> file = TRY(t.fds->get(fd));
    if (file->can(File::kPathOnly)) return Err(EBADF);
    s.items.push_back({fd, file, events});
  }
  return {};
}

int look(SelectState& s) {
  static constexpr PollMask kReady[3] = {kIn, kOut, kExcept};
  int ready = 0;
  for (int k = 0; k < 3; k++) std::fill(s.got[k].begin(), s.got[k].end(), 0);
  for (auto& item : s.items) {
    const PollMask now = item.file->poll();
    const size_t word = size_t(item.fd) / 64;
    const uint64_t bit = 1ull << (item.fd % 64);
    for (int k = 0; k < 3; k++) {
      if (!(s.wanted[k][word] & bit) || !(now & kReady[k])) continue;
      s.got[k][word] |= bit;
      ready++;
    }
  }
  return ready;
}

SyscallResult do_select(Task& t, int count, const UserPtr<uint64_t> (&sets)[3],
                        std::optional<int64_t> timeout) {
  SelectState& s = t.extra<SelectState>();
  if (t.frame.first) TRY(read_sets(t, s, count, sets));
  const Deadline until = t.deadline(timeout);
  int ready = look(s);
  if (!ready && !t.timed_out()) {
    for (auto& item : s.items) t.waits().add(item.file->queue(), item.events, item.file);
    ready = look(s);
    if (!ready) return Block{until, OnSignal::kNoHand};
  }
  for (int k = 0; k < 3; k++) {
    if (sets[k]) TRY(t.mem().copy_out(sets[k].addr, std::as_bytes(std::span(s.got[k]))));
  }
  return ready;
}

}  // namespace

SyscallResult select(Task& t, int32_t count, UserPtr<uint64_t> in, UserPtr<uint64_t> out,
                     UserPtr<uint64_t> except, UserPtr<timeval> timeout) {
  std::optional<int64_t> ns;
  if (t.frame.first && timeout) {
    const timeval tv = TRY(t.mem().get(timeout));
    if (tv.tv_sec < 0 || tv.tv_usec < 0) return Err(EINVAL);
    const int64_t sec = std::min<int64_t>(tv.tv_sec, INT64_MAX / kNsPerSecond / 4);
    ns = sec * kNsPerSecond + std::min<int64_t>(tv.tv_usec, INT64_MAX / 4000) * 1000;
  }
  auto r = do_select(t, count, {in, out, except}, ns);
  // Linux writes back what is left, whatever happened.
  if (timeout && !t.frame.deadline.value_or(Deadline{}).infinite()) {
    const int64_t left = std::max<int64_t>(0, t.frame.deadline->ns - t.kernel.time.monotonic());
    if (!r || !std::holds_alternative<Block>(r->v_)) {
      (void)t.mem().put(timeout, timeval{left / kNsPerSecond, left % kNsPerSecond / 1000});
    }
  }
  return r;
}

SyscallResult pselect6(Task& t, int32_t count, UserPtr<uint64_t> in, UserPtr<uint64_t> out,
                       UserPtr<uint64_t> except, UserPtr<KernelTimespec> timeout,
                       UserPtr<const SigsetArg> mask) {
  std::optional<int64_t> ns;
  if (t.frame.first) {
    ns = TRY(get_timeout(t, {timeout.addr}));
    if (mask) {
      const SigsetArg arg = TRY(t.mem().get(mask));
      TRY(swap_mask(t, {arg.addr}, arg.size));
    }
  }
  auto r = do_select(t, count, {in, out, except}, ns);
  return finish_masked_wait(t, std::move(r), timeout);
}

}  // namespace usk::sys
