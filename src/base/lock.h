// Ranked locks with clang's thread-safety annotations.
#pragma once
#include <atomic>

#include "base/check.h"
#include "base/threads.h"

#ifdef __clang__
#define USK_TSA(x) __attribute__((x))
#else
#define USK_TSA(x)
#endif
#define CAPABILITY(x) USK_TSA(capability(x))
#define SCOPED_CAPABILITY USK_TSA(scoped_lockable)
#define GUARDED_BY(x) USK_TSA(guarded_by(x))
#define REQUIRES(...) USK_TSA(requires_capability(__VA_ARGS__))
#define EXCLUDES(...) USK_TSA(locks_excluded(__VA_ARGS__))
#define ACQUIRE(...) USK_TSA(acquire_capability(__VA_ARGS__))
#define RELEASE(...) USK_TSA(release_capability(__VA_ARGS__))
#define RETURNS_LOCK(x) USK_TSA(lock_returned(x))
#define NO_THREAD_SAFETY_ANALYSIS USK_TSA(no_thread_safety_analysis)

namespace usk {

// The lock order, outermost first: a thread may only take a lock whose rank is greater than all
// it holds; debug builds check every acquisition. There is no default: a new lock takes a side.
enum class Rank : unsigned {
  kFilePos,     // A file's position; held over a read or write of it.
  kRename,      // Renames of directories, one at a time (fs/vfs).
  kMounts,      // The mount tree of a mount namespace.
  kDentry,      // Children of a dentry.
  kEpoll,       // An epoll set; it polls files.
  kOverlay,     // What an overlay inode stands for; held over calls to the layers below.
  kIpc,         // The System V objects of one kind in an ipc namespace.
  kInode,       // An inode's attributes and contents.
  kFile,        // State of an open file, a pipe, a terminal, a socket.
  kFilePeer,    // The second of a pair of files (the other end of a socket).
  kFileLocks,   // Advisory locks of one inode.
  kFdTable,     // A descriptor table.
  kMm,          // The area map of an address space.
  kFutex,       // A futex hash bucket.
  kTaskSet,     // Process tree, signals, stops, ptrace relations, pid maps.
  kTimer,       // The heap of deadlines.
  kEpollReady,  // An epoll set's ready list; taken by wake-ups.
  kWaitQueue,   // Members of a wait queue.
  kRunQueue,    // Who runs, who is parked.
  kLeaf,        // Holds nothing else while held.
};

#ifdef USK_DEBUG_CHECKS
inline thread_local unsigned held_ranks = 0;
#endif

namespace lock_internal {

// A lock that is taken and given back without a call where nobody else wants it, and without a
// locked instruction while there is one thread: most calls take a dozen of them.
class Word {
 public:
  void lock() {
    int expected = kFree;
    if (single_threaded() && state_.load(std::memory_order_relaxed) == kFree) {
      state_.store(kHeld, std::memory_order_relaxed);
    } else if (!state_.compare_exchange_strong(expected, kHeld, std::memory_order_acquire)) {
      wait();
    }
  }
  void unlock() {
    if (single_threaded()) {
      state_.store(kFree, std::memory_order_relaxed);
    } else if (state_.exchange(kFree, std::memory_order_release) == kWanted) {
      state_.notify_one();
    }
  }

 private:
  enum : int { kFree, kHeld, kWanted };
  // Whoever slept takes it as wanted: it cannot know whether it was the only one.
  [[gnu::noinline]] void wait() {
    CHECK(!single_threaded());  // It would wait for itself.
    while (state_.exchange(kWanted, std::memory_order_acquire) != kFree) {
      state_.wait(kWanted, std::memory_order_relaxed);
    }
  }
  std::atomic<int> state_{kFree};
};

}  // namespace lock_internal

template <Rank kRank>
class CAPABILITY("mutex") Mutex {
 public:
  void lock() ACQUIRE() {
#ifdef USK_DEBUG_CHECKS
    CHECK(held_ranks >> unsigned(kRank) == 0);
    held_ranks |= 1u << unsigned(kRank);
#endif
    mu_.lock();
  }
  void unlock() RELEASE() {
#ifdef USK_DEBUG_CHECKS
    held_ranks &= ~(1u << unsigned(kRank));
#endif
    mu_.unlock();
  }
  // Second of two locks of one rank; only lock_both() may use these.
  void lock_second() ACQUIRE() { mu_.lock(); }
  void unlock_second() RELEASE() { mu_.unlock(); }

 private:
  lock_internal::Word mu_;
};

template <class M>
class SCOPED_CAPABILITY Lock {
 public:
  explicit Lock(M& mu) ACQUIRE(mu) : mu_(mu) { mu_.lock(); }
  ~Lock() RELEASE() { mu_.unlock(); }
  Lock(const Lock&) = delete;

 private:
  M& mu_;
};

// Two locks of one rank, in order of address; `a` and `b` may be the same lock.
template <class M>
class SCOPED_CAPABILITY LockBoth {
 public:
  LockBoth(M& a, M& b) ACQUIRE(a, b) NO_THREAD_SAFETY_ANALYSIS : first_(&a < &b ? a : b),
                                                                 second_(&a < &b ? b : a) {
    first_.lock();
    if (&first_ != &second_) second_.lock_second();
  }
  ~LockBoth() RELEASE() NO_THREAD_SAFETY_ANALYSIS {
    if (&first_ != &second_) second_.unlock_second();
    first_.unlock();
  }
  LockBoth(const LockBoth&) = delete;

 private:
  M& first_;
  M& second_;
};

}  // namespace usk
