#include "platform/counters.h"

#include <signal.h>

#include "platform/platform.h"

namespace usk::platform {
namespace {

constexpr CounterInfo kAll[] = {
#define COUNTER(group, name, what) {#group, #name, what, &Counters::name},
#include "platform/counters.def"
#undef COUNTER
};

}  // namespace

const std::span<const CounterInfo> kCounters = kAll;

void count_fault(Counters& c, int signal) {
  switch (signal) {
    case SIGSEGV: c.segv++; break;
    case SIGBUS: c.bus++; break;
    case SIGILL: c.ill++; break;
    case SIGFPE: c.fpe++; break;
    case SIGTRAP: c.trap++; break;
    default: break;
  }
}

std::vector<CallSite> Platform::call_sites(size_t) { return {}; }

}  // namespace usk::platform
