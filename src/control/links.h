// Connections to people outside that live longer than a request: a debugger's, a trace's. Each has
// a socket of its own, which came with the request, and never waits for its far end.
#pragma once
#include <functional>
#include <memory>

#include "base/failure.h"
#include "control/watcher.h"
#include "gdb/server.h"
#include "syscalls/trace.h"

namespace usk {

class Link {
 public:
  virtual ~Link() = default;
  // Ends it, from whatever callback. It may be freed when that is done, outside of callbacks.
  virtual void close() = 0;
  virtual bool is_closed() const = 0;
  // The sandbox has ended: what is left to say is said as far as it fits.
  virtual void finish() = 0;
};

// `over` is called, once, when it is closed by its far end or has nothing more to do.
using LinkOver = std::function<void()>;
Result<std::unique_ptr<Link>> make_debug_link(Watcher& watcher, UniqueFd socket,
                                              Ref<ThreadGroup> process, LinkOver over);
// Lines that find no room are left out; their number is told.
Result<std::unique_ptr<Link>> make_trace_link(Kernel& kernel, Watcher& watcher, UniqueFd socket,
                                              TraceChoice choice, LinkOver over);

}  // namespace usk
