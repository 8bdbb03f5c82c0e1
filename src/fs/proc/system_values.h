// Values of the whole system that several files show.
#pragma once
#include "fs/proc/entry.h"

namespace usk::proc {

// The host's processors are the guest's.
const std::string& cpu_info();
int cpu_count();
// /proc/sys
Ref<Inode> make_sys_dir(const Subject& s, Ino ino, const Entry& e);
// /proc/usk
Ref<Inode> make_usk_dir(const Subject& s, Ino ino, const Entry& e);

}  // namespace usk::proc
