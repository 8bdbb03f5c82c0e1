#include "fs/vfs/file_signals.h"

#include <fcntl.h>

#include "fs/vfs/file.h"

namespace usk {
namespace {

Mutex<Rank::kLeaf> list_mutex;
std::vector<Ref<FileSignaller>> list GUARDED_BY(list_mutex);
std::atomic<bool> any{false};

uint32_t inotify_mask(uint32_t what) {
  static constexpr std::pair<uint32_t, uint32_t> kEvents[] = {
      {DN_ACCESS, IN_ACCESS},
      {DN_MODIFY, IN_MODIFY},
      {DN_CREATE, IN_CREATE | IN_MOVED_TO},
      {DN_DELETE, IN_DELETE | IN_MOVED_FROM},
      {DN_RENAME, IN_MOVED_FROM | IN_MOVED_TO},
      {DN_ATTRIB, IN_ATTRIB}};
  uint32_t mask = 0;
  for (auto [dn, in] : kEvents) {
    if (what & dn) mask |= in;
  }
  return mask;
}

}  // namespace

void FileSignaller::notify(PollMask events) {
  if (pending_.fetch_or(events) == 0) list_again();
}

void FileSignaller::list_again() {
  Lock lock(list_mutex);
  list.push_back(Ref<FileSignaller>::share(this));
  any.store(true, std::memory_order_release);
}

Ref<File> FileSignaller::file() {
  Lock lock(mu_);
  return file_ && file_->try_ref() ? Ref<File>::adopt(file_) : Ref<File>();
}

void FileSignaller::file_gone() {
  Lock lock(mu_);
  file_ = nullptr;
}

DirectoryMark::DirectoryMark(Ref<FileSignaller> signaller, uint32_t what)
    : signaller_(std::move(signaller)),
      mask_(inotify_mask(what)),
      once_(!(what & uint32_t(DN_MULTISHOT))) {}

void DirectoryMark::on_event(uint32_t, uint32_t, std::string_view) {
  if (once_ && mask_.exchange(0) == 0) return;
  signaller_->notify(kMessage);
}

bool file_signals_pending() { return any.load(std::memory_order_acquire); }

std::vector<std::pair<Ref<FileSignaller>, PollMask>> take_file_signals() {
  std::vector<Ref<FileSignaller>> taken;
  {
    Lock lock(list_mutex);
    taken.swap(list);
    any.store(false, std::memory_order_release);
  }
  std::vector<std::pair<Ref<FileSignaller>, PollMask>> out;
  for (auto& s : taken) {
    const PollMask events = s->pending_.exchange(0);
    out.emplace_back(std::move(s), events);
  }
  return out;
}

}  // namespace usk
