#include "fs/vfs/fd_table.h"

#include <bit>

#include "base/id_counter.h"
#include "fs/vfs/file_count.h"

namespace usk {

uint64_t FdTable::next_id() {
  static IdCounter ids("descriptor table");
  return ids.next();
}

Result<FdTable::Slot> FdTable::get_slot(int fd) {
  Lock lock(mu_);
  if (fd < 0 || size_t(fd) >= slots_.size() || !slots_[fd].file) return Err(EBADF);
  return slots_[fd];
}

Result<Ref<File>> FdTable::get(int fd) {
  Lock lock(mu_);
  if (fd < 0 || size_t(fd) >= slots_.size() || !slots_[fd].file) return Err(EBADF);
  return slots_[fd].file;
}

Result<int> FdTable::add(Ref<File> file, bool cloexec, uint64_t limit, int from) {
  Lock lock(mu_);
  size_t fd = std::max(size_t(from), lowest_free_);
  while (fd < slots_.size() && slots_[fd].file) fd++;
  if (size_t(from) <= lowest_free_) lowest_free_ = fd;
  if (fd >= limit || fd > INT32_MAX) return Err(EMFILE);
  if (count_of_files() > most_files()) return Err(ENFILE);
  if (fd >= slots_.size()) slots_.resize(fd + 1);
  slots_[fd] = {std::move(file), cloexec};
  return int(fd);
}

Result<Ref<File>> FdTable::replace(int fd, Ref<File> file, bool cloexec, uint64_t limit) {
  if (fd < 0 || uint64_t(fd) >= limit) return Err(EBADF);
  Lock lock(mu_);
  if (size_t(fd) >= slots_.size()) slots_.resize(size_t(fd) + 1);
  std::swap(slots_[fd].file, file);
  slots_[fd].cloexec = cloexec;
  return file;
}

Result<Ref<File>> FdTable::remove(int fd) {
  Lock lock(mu_);
  if (fd < 0 || size_t(fd) >= slots_.size() || !slots_[fd].file) return Err(EBADF);
  lowest_free_ = std::min(lowest_free_, size_t(fd));
  slots_[fd].cloexec = false;
  return std::exchange(slots_[fd].file, {});
}

Result<void> FdTable::set_cloexec(int fd, bool cloexec) {
  Lock lock(mu_);
  if (fd < 0 || size_t(fd) >= slots_.size() || !slots_[fd].file) return Err(EBADF);
  slots_[fd].cloexec = cloexec;
  return {};
}

std::vector<int> FdTable::open_fds(int first, int last) {
  std::vector<int> fds;
  Lock lock(mu_);
  for (size_t fd = std::max(first, 0); fd < slots_.size() && int64_t(fd) <= last; fd++) {
    if (slots_[fd].file) fds.push_back(int(fd));
  }
  return fds;
}

std::vector<Ref<File>> FdTable::remove_cloexec() {
  std::vector<Ref<File>> files;
  Lock lock(mu_);
  for (size_t fd = 0; fd < slots_.size(); fd++) {
    if (!slots_[fd].file || !slots_[fd].cloexec) continue;
    files.push_back(std::move(slots_[fd].file));
    slots_[fd] = {};
    lowest_free_ = std::min(lowest_free_, fd);
  }
  return files;
}

std::vector<Ref<File>> FdTable::remove_all() {
  std::vector<Slot> slots;
  {
    Lock lock(mu_);
    slots.swap(slots_);
    lowest_free_ = 0;
  }
  std::vector<Ref<File>> files;
  for (Slot& s : slots) {
    if (s.file) files.push_back(std::move(s.file));
  }
  return files;
}

Ref<FdTable> FdTable::clone() {
  auto copy = make_ref<FdTable>();
  std::vector<Slot> slots;
  size_t lowest_free;
  {
    Lock lock(mu_);
    slots = slots_;
    lowest_free = lowest_free_;
  }
  Lock lock(copy->mu_);
  copy->slots_ = std::move(slots);
  copy->lowest_free_ = lowest_free;
  return copy;
}

size_t FdTable::size() {
  Lock lock(mu_);
  // Linux: 64 at first; then a power of two times 128.
  if (slots_.size() <= 64) return 64;
  return std::bit_ceil((slots_.size() - 1) / 128 + 1) * 128;
}

}  // namespace usk
