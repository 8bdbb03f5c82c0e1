#include "host/call.h"

#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <utility>

#include "base/check.h"

namespace usk::host {
namespace {

constexpr size_t kPage = 4096;
#ifndef SYS_mseal
constexpr long SYS_mseal = 462;
#endif

// A page of its own, so that it can be made read-only.
union alignas(kPage) Page {
  Cookies cookies;
  std::byte all[kPage];
};
Page g_page;

}  // namespace

constinit const Cookies& cookies = g_page.cookies;

bool choose_cookies() {
  uint64_t words[6];
  CHECK(getrandom(words, sizeof words, 0) == ssize_t(sizeof words));
  for (size_t i = 0; i < 6; i++) g_page.cookies.words[i] = words[i];
  CHECK(mprotect(&g_page, sizeof g_page, PROT_READ) == 0);
  // Linux 6.10 and newer: nobody can undo it.
  return ::syscall(SYS_mseal, &g_page, sizeof g_page, 0ul) == 0;
}

}  // namespace usk::host
