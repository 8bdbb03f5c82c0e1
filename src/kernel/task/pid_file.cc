#include "kernel/task/pid_file.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "fs/vfs/saving.h"
#include "kernel/task/thread_group.h"

namespace usk {

USK_SAVED(PidFile, "kernel/pid_file")

PidFile::~PidFile() {
  Lock lock(task_mutex);  // The last count of a pid gives its number back.
  pid_.reset();
}

PollMask PidFile::poll() {
  Lock lock(task_mutex);
  const bool gone = !pid_->group || pid_->group->zombie;
  return gone ? POLLIN | POLLRDNORM : 0;
}

std::string PidFile::fdinfo() const {
  Lock lock(task_mutex);
  const bool gone = !pid_->group;
  auto numbers = pid_->numbers();
  std::reverse(numbers.begin(), numbers.end());
  if (gone) return "Pid:\t-1\nNSpid:\t-1\n";
  return fmt::format("Pid:\t{}\nNSpid:\t{}\n", pid_->root_nr(), fmt::join(numbers, "\t"));
}

}  // namespace usk
