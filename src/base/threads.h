// What may be had cheaper while the process has one thread, as one worker has (decision 0008).
#pragma once
#include <sys/single_threaded.h>

#include <atomic>

namespace usk {

// Libc's word for it, true until the first thread is made. What is done to an atomic object by
// plain loads and stores meanwhile is seen by that thread, since making it is a barrier.
inline bool single_threaded() { return __libc_single_threaded; }

// fetch_add() that is no locked instruction where nobody else can look.
template <class T>
T add_to(std::atomic<T>& n, T by, std::memory_order order = std::memory_order_relaxed) {
  if (!single_threaded()) return n.fetch_add(by, order);
  const T before = n.load(std::memory_order_relaxed);
  n.store(T(before + by), std::memory_order_relaxed);
  return before;
}

}  // namespace usk
