#include "fs/vfs/permission.h"

#include <linux/capability.h>

namespace usk {

bool capable_over(const Creds& creds, int cap, const Attr& attr) {
  return creds.capable(cap) && creds.user_ns->maps_uid(attr.uid) &&
         creds.user_ns->maps_gid(attr.gid);
}

bool owner_or_capable(const Creds& creds, const Attr& attr) {
  if (creds.fsuid == attr.uid) return true;
  return capable_over(creds, CAP_FOWNER, attr);
}

Result<void> check_mode_bits(const Attr& attr, uint32_t may, const Creds& creds) {
  uint32_t bits = attr.mode;
  if (creds.fsuid == attr.uid) {
    bits >>= 6;
  } else if (creds.in_group(attr.gid)) {
    bits >>= 3;
  }
  if ((bits & may) == may) return {};
  const bool read_only = !(may & kMayWrite);
  if (S_ISDIR(attr.mode)) {
    if (read_only && capable_over(creds, CAP_DAC_READ_SEARCH, attr)) return {};
    if (capable_over(creds, CAP_DAC_OVERRIDE, attr)) return {};
    return Err(EACCES);
  }
  if (may == kMayRead && capable_over(creds, CAP_DAC_READ_SEARCH, attr)) return {};
  // Executing needs some execute bit even of root.
  if ((!(may & kMayExec) || (attr.mode & 0111)) && capable_over(creds, CAP_DAC_OVERRIDE, attr)) {
    return {};
  }
  return Err(EACCES);
}

}  // namespace usk
