// Writes down which host calls are made, for the test that compares them with calls.def: each call
// is a SIGSYS (seccomp(2), SECCOMP_RET_TRAP), whose handler notes it and makes it.
#pragma once
#include <linux/filter.h>

#include <vector>

#include "base/failure.h"
#include "host/confinement.h"

namespace usk::host {

// Installs the handler. Lines go to `fd`, which stays open:
//   used INDEX NAME             the first use of a rule of host_calls()
//   missing NAME ARGS... at IP  a call that no rule permits
OrFailure<void> start_recorder(Role role, int fd);
// What comes before the other rules of such a filter: the handler's own calls pass.
std::vector<sock_filter> recorder_exceptions();

}  // namespace usk::host
