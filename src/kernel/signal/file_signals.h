// Sends the signals of files: SIGIO, or what F_SETSIG chose.
#pragma once
#include "fs/vfs/file.h"
#include "kernel/kernel.h"

namespace usk {

// What files noted since the last call (fs/vfs/file_signals.h) goes to their owners.
void send_file_signals(Kernel& kernel) EXCLUDES(task_mutex);

// F_SETOWN and its kin: `id` as the caller's pid namespace has it; 0 is nobody. ESRCH.
Result<void> set_file_owner(Task& t, File& file, int type, int id) EXCLUDES(task_mutex);
// The owner's id as the caller sees it; 0 for nobody.
int file_owner_id(Task& t, const File::Owner& owner) EXCLUDES(task_mutex);

}  // namespace usk
