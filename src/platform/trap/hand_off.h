// When the kernel process looks for posts by itself instead of being woken.
#pragma once
#include <cstddef>
#include <cstdint>

namespace usk::platform {

// Waking a sleeping kernel process costs microseconds, polling costs a processor. So it polls only
// while calls come quickly one after the other and a processor is free for it: promoted after
// kStreak posts that came within kQuick of their order, demoted when nothing came for kIdle, when
// the guest needs the processor, or when others do. It waits longer before each new attempt while
// they bring little. All times in nanoseconds; docs/decisions/0008 has the measurements.
class HandOff {
 public:
  static constexpr int kStreak = 16;
  static constexpr int64_t kQuickNs = 100'000;
  // What a slower post takes off the streak: a program that starts has many page faults.
  static constexpr int kSetback = 2;
  // As long as the host takes for a process to be made, or to end.
  static constexpr int64_t kIdleNs = 400'000;
  // A look that comes so long after the one before: other work had the processor meanwhile.
  static constexpr int64_t kGapNs = 150'000;
  // Polling that met so many posts was worth it.
  static constexpr uint64_t kWorthwhile = 16;
  // An attempt that met too few costs kIdle at most; one on a processor that others use costs a
  // time slice of theirs.
  static constexpr int64_t kShortestPauseNs = 2'000'000, kLongestIdlePauseNs = 20'000'000,
                           kDisturbedPauseNs = 16'000'000, kLongestPauseNs = 500'000'000;

  enum class Stop {
    kIdle,       // No post came.
    kEmpty,      // Nothing runs in the guest.
    kCrowded,    // The guest has a thread for each processor.
    kShared,     // It runs where the guest's thread does, and finds no other place.
    kPreempted,  // Others want its processor.
    kAwait,      // It must sleep until a command is done.
    kSlower,     // Crowd: it was no faster, or that is to be looked at again.
  };

  explicit HandOff(int cpus) : cpus_(cpus) {}

  // A post was taken, `think_ns` after the order before it.
  void posted(int64_t think_ns);
  // Whether to begin to poll, with this many threads in the guest.
  bool should_poll(size_t running, int64_t now) const;
  // Whether the guest leaves it a processor.
  bool crowded(size_t running) const { return running >= size_t(cpus_); }
  // How many processors are free beside these threads and the kernel process.
  size_t left_over(size_t running) const {
    return size_t(cpus_) > running + 1 ? size_t(cpus_) - running - 1 : 0;
  }
  // Where a thread is to run on that waits for an answer on the processor `its`, while the kernel
  // process has `own`, where the thread is woken most quickly, and is about to sleep there.
  enum class Place { kComes, kStays, kLeaves };
  struct Others {              // Threads of the guest that run ...
    bool any, at_own, at_its;  // ... at all, and there.
  };
  static Place place(uint32_t its, uint32_t own, Others others);
  // Polling ended; `posts` had been taken by it.
  void stopped(Stop why, int64_t now, uint64_t posts);
  int64_t pause() const { return pause_; }

 private:
  const int cpus_;
  int streak_ = 0;
  int64_t not_before_ = 0;
  int64_t pause_ = kShortestPauseNs / 2;
};

}  // namespace usk::platform
