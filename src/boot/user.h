// --user: whose credentials the command runs with.
#pragma once
#include "base/failure.h"
#include "fs/vfs/walk.h"

namespace usk {

// `user` is "" (root), "NAME", "UID", "NAME:GROUP" or "UID:GID"; names are looked up in the
// sandbox's /etc/passwd and /etc/group (passwd(5), group(5)), as docker and su do, with
// supplementary groups.
OrFailure<Ref<const Creds>> user_creds(const WalkContext& root, const std::string& user);

// The home directory of `user`, by the same /etc/passwd; "/" where that does not tell.
std::string user_home(const WalkContext& root, const std::string& user);

}  // namespace usk
