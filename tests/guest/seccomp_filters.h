// Filters for the tests of seccomp(2).
#pragma once

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <vector>

#include "tests/guest/harness.h"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

namespace guest {

using Filter = std::vector<sock_filter>;

inline sock_filter op(int code, uint32_t k = 0, uint8_t jt = 0, uint8_t jf = 0) {
  return {static_cast<uint16_t>(code), jt, jf, k};
}
inline sock_filter load(size_t offset) {
  return op(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(offset));
}
inline sock_filter verdict(uint32_t value) { return op(BPF_RET | BPF_K, value); }
inline sock_filter if_equal(uint32_t value, uint8_t then, uint8_t otherwise) {
  return op(BPF_JMP | BPF_JEQ | BPF_K, value, then, otherwise);
}
constexpr uint32_t kArgs = offsetof(seccomp_data, args);

// `value` for one call, ALLOW for all others.
inline Filter on_call(long nr, uint32_t value) {
  return {load(offsetof(seccomp_data, nr)), if_equal(static_cast<uint32_t>(nr), 0, 1),
          verdict(value), verdict(SECCOMP_RET_ALLOW)};
}

inline long set_filter(const Filter& filter, unsigned flags = 0) {
  sock_fprog program = {static_cast<unsigned short>(filter.size()),
                        const_cast<sock_filter*>(filter.data())};
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

inline void no_new_privs() { MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)); }

// For the calling thread from here on.
inline void confine(const Filter& filter, unsigned flags = 0) {
  no_new_privs();
  ASSERT_EQ(set_filter(filter, flags), 0);
}

}  // namespace guest
