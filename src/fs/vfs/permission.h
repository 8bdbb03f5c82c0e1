// Who may do what to a file: inode(7), capabilities(7), path_resolution(7).
#pragma once
#include "base/result.h"
#include "creds/creds.h"
#include "fs/vfs/types.h"

namespace usk {

// What of a file's attributes decides.
struct Ownership {
  uint32_t mode = 0;
  Uid uid = 0;
  Gid gid = 0;
};

// EACCES unless the mode bits, or CAP_DAC_OVERRIDE or CAP_DAC_READ_SEARCH, grant all of `may`
// (kMay*).
Result<void> check_mode_bits(const Ownership& file, uint32_t may, const Creds& creds);

// A capability over one file: held, and the file's owners have ids in the caller's namespace.
bool capable_over(const Creds& creds, int cap, const Attr& attr);

// Owner of the file, or CAP_FOWNER over it.
bool owner_or_capable(const Creds& creds, const Attr& attr);

}  // namespace usk
