// /proc/PID/uid_map, gid_map and setgroups: user_namespaces(7).
#pragma once
#include "fs/proc/entry.h"

namespace usk::proc {

Result<std::string> uid_map_text(const Subject& s);
Result<std::string> gid_map_text(const Subject& s);
Result<std::string> setgroups_text(const Subject& s);
Result<void> write_uid_map(const Subject& s, std::string_view text);
Result<void> write_gid_map(const Subject& s, std::string_view text);
Result<void> write_setgroups(const Subject& s, std::string_view text);
// /proc/PID/net
Ref<Inode> make_net_dir(const Subject& s, Ino ino, const Entry& e);

}  // namespace usk::proc
