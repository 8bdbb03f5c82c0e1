#include "fs/vfs/permission.h"

#include <linux/capability.h>

namespace usk {

namespace {

bool capable_over(const Creds& creds, int cap, const Ownership& file) {
  return creds.capable(cap) && creds.user_ns->maps_uid(file.uid) &&
         creds.user_ns->maps_gid(file.gid);
}

}  // namespace

bool capable_over(const Creds& creds, int cap, const Attr& attr) {
  return capable_over(creds, cap, Ownership{attr.mode, attr.uid, attr.gid});
}

bool owner_or_capable(const Creds& creds, const Attr& attr) {
  if (creds.fsuid == attr.uid) return true;
  return capable_over(creds, CAP_FOWNER, attr);
}

Result<void> check_mode_bits(const Ownership& file, uint32_t may, const Creds& creds) {
  uint32_t bits = file.mode;
  if (creds.fsuid == file.uid) {
    bits >>= 6;
  } else if (creds.in_group(file.gid)) {
    bits >>= 3;
  }
  if ((bits & may) == may) return {};
  const bool read_only = !(may & kMayWrite);
  if (S_ISDIR(file.mode)) {
    if (read_only && capable_over(creds, CAP_DAC_READ_SEARCH, file)) return {};
    if (capable_over(creds, CAP_DAC_OVERRIDE, file)) return {};
    return Err(EACCES);
  }
  if (may == kMayRead && capable_over(creds, CAP_DAC_READ_SEARCH, file)) return {};
  // Executing needs some execute bit even of root.
  if ((!(may & kMayExec) || (file.mode & 0111)) && capable_over(creds, CAP_DAC_OVERRIDE, file)) {
    return {};
  }
  return Err(EACCES);
}

}  // namespace usk
